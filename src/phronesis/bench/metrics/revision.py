"""What revising does to answers: how often they change, and for better or worse.

After the strategic-games metrics of Yuan et al. 2025, arXiv 2506.12012, taken from rounds of a game to rounds of refinement.
Rates are None where they have nothing to count.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

Round = tuple[str | None, bool]
"""(answer, whether it is right)."""


@dataclass(frozen=True, slots=True)
class RevisionReport:
    """Counts over all chains and their steps from one round to the next; rates follow from them."""

    chains: int
    steps: int
    changed: int
    """Steps to another answer; two unreadable ones are the same."""
    changed_right: int
    """Changed to a right answer, from whatever."""
    changed_from_wrong: int
    changed_from_right: int
    repaired: int
    """Changed from a wrong to a right answer."""
    spoiled: int
    """Changed from a right to a wrong answer."""
    from_right: int
    """Steps that began at a right answer."""
    fixes: int
    """Steps from wrong to right, changed or not; equal to ``repaired`` where equal answers are graded equally."""
    breaks: int
    accuracies: tuple[float, ...]
    """Of all chains by round; a chain that ended keeps its last answer. accuracy_t - accuracy_{t-1} = (fixes_t - breaks_t) /
    chains."""

    @property
    def change_rate(self) -> float | None:
        """How readily answers are changed; as the overcorrection risk rate of the source counts it."""
        return _share(self.changed, self.steps)

    @property
    def correction_success(self) -> float | None:
        """CSR: share of changes that end at a right answer."""
        return _share(self.changed_right, self.changed)

    @property
    def fix_rate(self) -> float | None:
        """Share of changes of a wrong answer that make it right."""
        return _share(self.repaired, self.changed_from_wrong)

    @property
    def break_rate(self) -> float | None:
        """Share of changes of a right answer that make it wrong: overcorrection proper."""
        return _share(self.spoiled, self.changed_from_right)

    @property
    def break_share(self) -> float | None:
        """The same over all steps that began at a right answer, changed or not."""
        return _share(self.breaks, self.from_right)

    @property
    def net_gain(self) -> int:
        """fixes - breaks."""
        return self.fixes - self.breaks

    @property
    def slope(self) -> float | None:
        """Accuracy per round, by least squares over ``accuracies``."""
        return slope(self.accuracies)


def revisions(chains: Sequence[Sequence[Round]]) -> RevisionReport:
    """The report of chains of answers, one per question, rounds in order; empty chains are left out.

    Answers are compared as given: give canonical ones. Chains may differ in length."""
    kept = [chain for chain in chains if chain]
    steps = [pair for chain in kept for pair in pairwise(chain)]
    changes = [(before[1], now[1]) for before, now in steps if before[0] != now[0]]
    longest = max((len(chain) for chain in kept), default=0)
    return RevisionReport(
        chains=len(kept),
        steps=len(steps),
        changed=len(changes),
        changed_right=sum(now for _, now in changes),
        changed_from_wrong=sum(not before for before, _ in changes),
        changed_from_right=sum(before for before, _ in changes),
        repaired=sum(now and not before for before, now in changes),
        spoiled=sum(before and not now for before, now in changes),
        from_right=sum(before[1] for before, _ in steps),
        fixes=sum(now[1] and not before[1] for before, now in steps),
        breaks=sum(before[1] and not now[1] for before, now in steps),
        accuracies=tuple(sum(chain[min(at, len(chain) - 1)][1] for chain in kept) / len(kept) for at in range(longest)),
    )


def slope(values: Sequence[float]) -> float | None:
    """Least-squares slope of values over their index 0, 1, 2, ...; None with fewer than two."""
    count = len(values)
    if count < 2:
        return None
    middle, mean = (count - 1) / 2, math.fsum(values) / count
    return math.fsum((at - middle) * (value - mean) for at, value in enumerate(values)) / (count * (count**2 - 1) / 12)


def over_budget(spent: Sequence[float], budgets: Sequence[float | None]) -> float | None:
    """Share of runs that spent more than their declared budget; None where none declared one."""
    declared = [(cost, budget) for cost, budget in zip(spent, budgets, strict=True) if budget is not None]
    return _share(sum(cost > budget for cost, budget in declared), len(declared))


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None
