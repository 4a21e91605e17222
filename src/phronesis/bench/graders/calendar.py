"""Meetings in calendars: the slot that is named, against the gold one and against the question's own constraints."""

from __future__ import annotations

import re
from typing import Literal

from pydantic import BaseModel

from phronesis.bench.dataset import Example
from phronesis.bench.graders.by_answer import NoOptions
from phronesis.bench.graders.calendar_question import DAYS, Slot, free_slot
from phronesis.bench.graders.clock import TIME, clock_of, minutes_of
from phronesis.bench.graders.facts import needed, text_of, unfit
from phronesis.bench.graders.grader import WRONG, Attempted, Grade, GraderContext, graded
from phronesis.bench.graders.table import GraderEntry

_SLOT = re.compile(rf"(?i)\b({'|'.join(DAYS)})\b[\s,:*]{{0,6}}(?:from\s+)?({TIME})\s*(?:-|–|—|to|until)\s*({TIME})")


class ByCalendar:
    """Right when the first ``Day, H:MM - H:MM`` of the text is the gold slot, whatever else would do.

    Fact: ``slot``. Figures: ``exact`` (1 = the gold slot) and ``valid`` (1 = it fits every constraint of the question;
    given only where the question can be read)."""

    reads: Literal["answer", "text"] = "text"

    def check(self, example: Example) -> None:
        _gold(example)

    async def grade(self, example: Example, attempt: Attempted) -> Grade:
        gold, found = _gold(example), slot_of(text_of(attempt))
        if found is None:
            return WRONG
        exact = found == gold
        valid = free_slot(example.task.question, found)
        figures = {"exact": float(exact)} | ({} if valid is None else {"valid": float(valid)})
        return graded(exact, f"{found.day.title()}, {clock_of(found.start)} - {clock_of(found.end)}", **figures)

    async def close(self) -> None:
        pass


def slot_of(text: str) -> Slot | None:
    """The first slot that the text names."""
    found = _SLOT.search(text)
    start, end = (minutes_of(found[side]) for side in (2, 3)) if found else (None, None)
    return Slot(found[1].lower(), start, end) if found and start is not None and end is not None else None


def _gold(example: Example) -> Slot:
    found = slot_of(needed(example, "slot", str))
    if found is None or found.start >= found.end:
        raise unfit(example, "slot", 'it is no "Day, H:MM - H:MM"')
    return found


def _build(context: GraderContext, options: BaseModel) -> ByCalendar:
    return ByCalendar()


ENTRY = GraderEntry(
    name="calendar",
    summary="the gold slot for a meeting; a figure tells whether the slot fits the constraints (NATURAL PLAN)",
    options=NoOptions,
    build=_build,
)
