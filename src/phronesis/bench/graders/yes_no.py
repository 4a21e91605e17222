"""Yes or no, true or false, whichever stands first in the answer."""

from __future__ import annotations

import re
from typing import Literal

from pydantic import BaseModel

from phronesis.bench.dataset import Example
from phronesis.bench.graders.by_answer import NoOptions
from phronesis.bench.graders.grader import WRONG, Attempted, Grade, GraderContext, graded
from phronesis.bench.graders.table import GraderEntry
from phronesis.core.errors import ConfigurationError

_WORD = re.compile(r"\b(yes|no|true|false)\b", re.IGNORECASE)


class ByYesNo:
    """Right when the answer says yes (or true) where the gold answer does, or neither does."""

    reads: Literal["answer", "text"] = "answer"

    def check(self, example: Example) -> None:
        _gold(example)

    async def grade(self, example: Example, attempt: Attempted) -> Grade:
        found = yes_or_no(attempt.answer or "")
        return WRONG if found is None else graded(found == _gold(example), "yes" if found else "no")

    async def close(self) -> None:
        pass


def yes_or_no(text: str) -> bool | None:
    """Whether the first of yes, no, true and false says yes; None without any."""
    found = _WORD.search(text)
    return None if found is None else found[1].casefold() in ("yes", "true")


def _gold(example: Example) -> bool:
    found = yes_or_no(example.gold)
    if found is None or not _WORD.fullmatch(example.gold.strip(" .")):
        raise ConfigurationError(
            f"the gold answer {example.gold[:80]!r} of {example.task.id!r} is neither yes, no, true nor false",
            mend="correct the line, or name another grader",
        )
    return found


def _build(context: GraderContext, options: BaseModel) -> ByYesNo:
    return ByYesNo()


ENTRY = GraderEntry(
    name="yes_no",
    summary="the first of yes, no, true, false in the answer says what the gold answer says",
    options=NoOptions,
    build=_build,
)
