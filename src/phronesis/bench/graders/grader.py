"""The grader port: one attempt at an example, and what it is worth."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol

from phronesis.bench.dataset import Example
from phronesis.core.settings import Settings


@dataclass(frozen=True, slots=True)
class Attempted:
    """What is graded: an attempt at a task."""

    answer: str | None
    """Canonical answer as the strategy read it; None when it could not be read."""
    text: str = ""
    """The whole attempt."""
    retrieved: tuple[str, ...] | None = None
    """Ids of the paragraphs it was made from; None = nothing was retrieved."""


@dataclass(frozen=True, slots=True)
class Grade:
    """What an attempt is worth."""

    correct: bool
    score: float
    """In [0, 1]; 1 when it is right and the grader knows no shares."""
    parsed: bool = True
    """Whether there was an answer to grade; one that could not be read is wrong, and counted."""
    read: str = ""
    """The answer as the grader understood it."""
    figures: Mapping[str, float] = field(default_factory=dict)
    """Further figures by name: ``f1``, ``recall``, ``tests_passed``."""


WRONG = Grade(correct=False, score=0.0, parsed=False)
"""An attempt in which no answer was found."""


def graded(correct: bool, read: str = "", **figures: float) -> Grade:
    """The grade of an answer that is right or wrong."""
    return Grade(correct=correct, score=float(correct), read=read, figures=figures)


class Grader(Protocol):
    """Grades attempts. ``close`` ends what it keeps running."""

    @property
    def reads(self) -> Literal["answer", "text"]:
        """Whether a grade depends on the answer alone: equal answers are then graded once."""
        ...

    def check(self, example: Example) -> None:
        """Raises ConfigurationError when the example lacks what this grader reads; called before anything is spent."""
        ...

    async def grade(self, example: Example, attempt: Attempted) -> Grade:
        """The grade. Raises ToolError when it cannot be had (a crash, a time limit): the item is then ungraded, which is
        neither right nor wrong."""
        ...

    async def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class GraderContext:
    """What a grader may use."""

    settings: Settings
    folder: Path | None = None
    """The data set's folder."""
