"""Votes over answers. None never votes; ties go to the answer that was seen first."""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

A = TypeVar("A", bound=Hashable)


@dataclass(frozen=True, slots=True)
class Vote(Generic[A]):
    """Outcome of a vote."""

    winner: A | None
    """None when nobody voted."""
    weights: dict[A, float]
    """Total weight by answer, in the order the answers were first seen."""
    leader: int | None
    """Index of the first voter for the winner."""

    @property
    def share(self) -> float:
        """The winner's share of all weight, in [0, 1]; 0 when nobody voted."""
        total = math.fsum(self.weights.values())
        return self.weights[self.winner] / total if self.winner is not None and total > 0 else 0.0


def weighted_vote(answers: Sequence[A | None], weights: Sequence[float]) -> Vote[A]:
    """The answer with the greatest summed weight.

    Sums are exact (fsum), so that the order of voters cannot change a winner; on a tie the answer whose first voter stands
    earliest wins. Raises ValueError for lengths that differ and for a weight that is negative or not a number."""
    votes: dict[A, list[float]] = {}
    for answer, weight in zip(answers, weights, strict=True):
        if not weight >= 0:
            raise ValueError(f"a vote's weight must be 0 or more, not {weight!r}")
        if answer is not None:
            votes.setdefault(answer, []).append(weight)
    totals = {answer: math.fsum(parts) for answer, parts in votes.items()}
    winner = max(totals, key=totals.__getitem__, default=None)
    leader = None if winner is None else list(answers).index(winner)
    return Vote(winner, totals, leader)


def majority(answers: Sequence[A | None]) -> Vote[A]:
    """The most frequent answer (Wang et al. 2022, arXiv 2203.11171); ties to the first seen."""
    return weighted_vote(answers, [1.0] * len(answers))
