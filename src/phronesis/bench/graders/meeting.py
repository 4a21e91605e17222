"""Days of meetings with friends, simulated step by step (NATURAL PLAN)."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel

from phronesis.bench.dataset import Example
from phronesis.bench.graders.by_answer import NoOptions
from phronesis.bench.graders.clock import minutes_of
from phronesis.bench.graders.facts import needed, text_of, unfit
from phronesis.bench.graders.grader import WRONG, Attempted, Grade, GraderContext, graded
from phronesis.bench.graders.meeting_plan import Day, Friend, meetings, steps_of
from phronesis.bench.graders.table import GraderEntry


class ByMeetings:
    """Right when as many friends are met as in the golden plan, whoever they are.

    Facts: ``constraints`` (first start place and time, then [person, place, "H:MMAM to H:MMPM", minutes]),
    ``dist_matrix`` (minutes by place and place), ``golden_plan`` (its sentences). Read are the sentences ``You travel /
    wait / meet`` behind the last ``SOLUTION:``, or a JSON list of {location, person_name, start_time}. The plan is
    followed up to its first invalid step; times of arrival that it claims are not read but counted. Figure
    ``meetings``: the valid ones."""

    reads: Literal["answer", "text"] = "text"

    def check(self, example: Example) -> None:
        _gold(example, _day(example))

    async def grade(self, example: Example, attempt: Attempted) -> Grade:
        day = _day(example)
        gold = _gold(example, day)
        steps = steps_of(text_of(attempt), day)
        if not steps:
            return WRONG
        count, wrong = meetings(steps, day)
        return graded(count >= gold, f"{count} of {gold} met" + (f"; {wrong}" if wrong else ""), meetings=float(count))

    async def close(self) -> None:
        pass


def _gold(example: Example, day: Day) -> int:
    """Meetings of the golden plan."""
    plan = "\n".join(str(step) for step in needed(example, "golden_plan", list))
    count, wrong = meetings(steps_of(plan, day), day)
    if wrong or not count:
        raise unfit(example, "golden_plan", wrong or "it meets nobody")
    return count


def _day(example: Example) -> Day:
    try:
        matrix = needed(example, "dist_matrix", dict)
        travel = {_folded(at): {_folded(to): float(far) for to, far in row.items()} for at, row in matrix.items()}
    except (AttributeError, TypeError, ValueError):
        raise unfit(example, "dist_matrix", "it is not {place: {place: minutes}}") from None
    match needed(example, "constraints", list):
        case [[str(place), str(time)], *rows] if (start := minutes_of(time)) is not None and rows:
            return Day(_folded(place), start, dict(_friend(example, row) for row in rows), travel)
    raise unfit(example, "constraints", 'its first row is not [place, "H:MM"], or it is the only one')


def _friend(example: Example, row: Any) -> tuple[str, Friend]:
    match row:
        case [str(person), str(place), str(window), int(minutes)]:
            start, end = (minutes_of(side) for side in (*window.split(" to "), "", "")[:2])
            if start is not None and end is not None and start < end:
                return _folded(person), Friend(_folded(place), start, end, minutes)
    raise unfit(example, "constraints", f'{row!r} is not [person, place, "H:MM to H:MM", minutes]')


def _folded(name: str) -> str:
    return " ".join(str(name).split()).casefold().replace("’", "'")


def _build(context: GraderContext, options: BaseModel) -> ByMeetings:
    return ByMeetings()


ENTRY = GraderEntry(
    name="meeting",
    summary="a day's plan that meets as many friends as the golden one (NATURAL PLAN)",
    options=NoOptions,
    build=_build,
)
