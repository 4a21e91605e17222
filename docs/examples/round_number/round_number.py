"""Round number: doubts an answer that has more decimal places than any number of its question. Free.

Sums about whole things mostly come out whole, so 360.25 boxes are more likely a slip than an answer. It is a habit of school
problems and no law: averages, rates and shares of money break it, and it says nothing about two answers that are both whole.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from pydantic import Field

from phronesis.agents.scorers.table import ScorerEntry, ScorerOptions
from phronesis.core.result import Candidate
from phronesis.core.site import Site
from phronesis.core.task import Task

_PLACES = re.compile(r"\d\.(\d+)")


def places(text: str) -> int:
    """The most decimal places of any number in the text; 0 when there is none."""
    return max((len(digits) for digits in _PLACES.findall(text)), default=0)


class RoundNumberOptions(ScorerOptions):
    """What can be set."""

    doubt: float = Field(default=0.2, ge=0, le=0.5)
    """Score of an answer that is finer than its question."""


@dataclass(frozen=True)
class RoundNumber:
    """0.5 for an answer as coarse as its question, ``doubt`` for a finer one, 0 for none at all."""

    doubt: float
    name: str = "round_number"

    def calls_for(self, candidate: Candidate) -> int:
        return 0

    async def score(self, task: Task, candidate: Candidate, *, site: Site) -> float:
        if candidate.answer is None:
            return 0.0
        finer = "/" in candidate.answer or places(candidate.answer) > places(task.question)
        return self.doubt if finer else 0.5


ENTRY = ScorerEntry(
    name="round_number",
    kind="outcome",
    summary="doubts an answer with more decimal places than its question; free",
    build=lambda around, options: RoundNumber(options.doubt),
    options=RoundNumberOptions,
)
