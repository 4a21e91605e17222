"""How a budget is split between solutions and verifications, and which attempts are verified and chosen.

Source: When To Solve, When To Verify (arXiv 2504.01005). Cost is counted in solutions: a verification costs ``ratio`` of one
(lambda). The rule of ``split`` is drawn from the paper's curves (solutions grow faster than verifications), it is not the
paper's own. Pure: numbers in, numbers out.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Hashable, Sequence
from typing import NamedTuple, TypeVar

A = TypeVar("A", bound=Hashable)
SMALL = 32
"""Budget up to which verifying does not pay."""


class Split(NamedTuple):
    """What a budget is spent on."""

    solutions: int
    """S."""
    verifications: int
    """V, of each solution; 0 = self-consistency."""


def units(solutions: int, verifications: int, ratio: float) -> float:
    """C = S (1 + lambda V), the cost in solutions."""
    return solutions * (1 + ratio * verifications)


def split(budget: int, ratio: float) -> Split:
    """V = 2^round(0.4 log2 C) and S = C / (1 + lambda V), rounded down; all solutions up to ``SMALL``, and where fewer than
    two of them would be left to choose from. Never costs more than the budget.

    Raises ValueError for a budget below 1 or a negative ratio."""
    if budget < 1 or not ratio >= 0:
        raise ValueError(f"the budget must be 1 or more and the ratio 0 or more, not {budget} and {ratio}")
    if budget <= SMALL:
        return Split(budget, 0)
    verifications = 2 ** round(0.4 * math.log2(budget))
    solutions = int(budget / (1 + ratio * verifications))
    return Split(solutions, verifications) if solutions >= 2 else Split(budget, 0)


def leading(answers: Sequence[A | None], most: int | None) -> tuple[A, ...]:
    """The ``most`` answers with the most votes (None = all of them), ties to the answer seen first; None never votes."""
    votes = Counter(answer for answer in answers if answer is not None)
    return tuple(answer for answer, _ in votes.most_common(most))


def best_supported(answers: Sequence[A], scores: Sequence[float | None]) -> int | None:
    """Index of the highest score; of equal ones that whose answer was given most often, then the first. None when nobody has
    a score."""
    votes = Counter(answers)
    known = [(score, votes[answers[index]], -index) for index, score in enumerate(scores) if score is not None]
    return -max(known)[2] if known else None
