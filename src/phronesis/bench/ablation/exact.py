"""An exact test of whether showing something lowers success, task by task, against the same tasks without it.

Without an effect the draws of one task, those with and those without, are exchangeable: given how many of them are right,
which of them are is a matter of chance. So the number of right ones among those with it is hypergeometric in each task, and
the sum over tasks has a distribution that is known exactly: the conditional test of Mantel and Haenszel. With one draw of
each kind it is the sign test on the tasks whose outcomes differ (McNemar, exact, one-sided). Several draws with it against
one without are weighed as they must be: comparing means by their signs would not be (a task that is usually right differs
in one direction much more often than in the other). Draws of one kind that resemble each other more than the task's
difficulty makes them (near-equal prompts, a temperature of 0) break this, and p comes out too small.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Stratum:
    """One task's outcomes, right or not."""

    without: tuple[bool, ...]
    shown: tuple[bool, ...]

    @property
    def tells(self) -> bool:
        """Whether outcomes differ and there are both kinds of draws; otherwise it says nothing in either direction."""
        return bool(self.without and self.shown) and len({*self.without, *self.shown}) == 2

    @property
    def difference(self) -> float:
        """Share right with it less the share right without. Both kinds must be there."""
        return sum(self.shown) / len(self.shown) - sum(self.without) / len(self.without)


def lower_p(strata: Sequence[Stratum]) -> float:
    """P(as few right with it as were seen, or fewer | how many of each task's draws are right, no effect), in (0, 1].

    1 when no task tells anything. Cost: the square of the number of draws."""
    seen, chances = _distribution(strata)
    return float(min(1.0, chances[: seen + 1].sum()))


def either_p(strata: Sequence[Stratum]) -> float:
    """The same for an effect in either direction: twice the smaller tail, at most 1."""
    seen, chances = _distribution(strata)
    return float(min(1.0, 2 * min(chances[: seen + 1].sum(), chances[seen:].sum())))


def _distribution(strata: Sequence[Stratum]) -> tuple[int, NDArray[np.float64]]:
    """How many are right with it, and the chance of each number, over the tasks that tell anything."""
    told = [item for item in strata if item.tells]
    chances = np.ones(1)
    for item in told:
        chances = np.convolve(chances, hypergeometric(item))
    return sum(sum(item.shown) for item in told), chances


def hypergeometric(item: Stratum) -> NDArray[np.float64]:
    """Chance of 0, 1, ... right ones among those shown."""
    draws, shown = len(item.without) + len(item.shown), len(item.shown)
    right = sum(item.without) + sum(item.shown)
    ways = [math.comb(right, count) * math.comb(draws - right, shown - count) for count in range(shown + 1)]
    return np.array(ways, dtype=np.float64) / math.comb(draws, shown)
