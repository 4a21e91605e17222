"""Accuracy against what was spent so far, when a run may be cut at any budget.

Idea: Qi et al. 2025, arXiv 2505.13438. An event of a question is (spent, whether the answer available from then on is
right); spent is B_seq for latency curves and B_total for cost curves. Between events the last one holds; before the first
there is no answer, which counts 0. Of events at the same place the last one holds.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Events = Sequence[tuple[float, bool]]


@dataclass(frozen=True, slots=True)
class AnytimeCurve:
    """Accuracy by budget."""

    budgets: tuple[float, ...]
    """Ascending."""
    accuracies: tuple[float, ...]
    """Mean over questions; NaN without any."""

    def value(self, prior: Sequence[float] | None = None) -> float:
        """J: mean accuracy over budgets drawn from a prior; uniform by default, else weights of any sum. Lies between the
        least and the greatest accuracy. NaN without budgets. Raises ValueError for a prior that is no prior."""
        weights = np.ones(len(self.budgets)) if prior is None else np.array(prior, dtype=float)
        if len(weights) != len(self.budgets) or (weights < 0).any() or (len(weights) and not weights.sum() > 0):
            raise ValueError(f"{list(weights)} are no weights of {len(self.budgets)} budgets")
        return float(weights @ np.array(self.accuracies) / weights.sum()) if len(weights) else math.nan

    def log_auc(self) -> float:
        """Area under the step curve over the logarithm of the budget, over the length of that axis; in [0, 1].

        Exact where the budgets hold all places at which the curve steps (``union_grid``), else a lower bound of a curve that
        rises. NaN with fewer than two budgets. Raises ValueError for a budget of 0."""
        if len(self.budgets) < 2:
            return math.nan
        if self.budgets[0] <= 0:
            raise ValueError("a budget of 0 has no logarithm: leave it out")
        widths = np.diff(np.log(self.budgets))
        return float(widths @ np.array(self.accuracies[:-1]) / widths.sum())

    def time_to_accuracy(self, target: float) -> float | None:
        """The least of the budgets at which the accuracy is at least the target; None if it never is."""
        return next((at for at, value in zip(self.budgets, self.accuracies, strict=True) if value >= target), None)


def anytime(events: Sequence[Events], budgets: Sequence[float]) -> AnytimeCurve:
    """The curve over questions at these budgets; they are sorted, and doubles left out. A later event never changes it at a
    smaller budget. Raises ValueError for a budget or an event below 0."""
    grid = sorted(set(budgets))
    table = held(events, grid)
    means = table.mean(axis=0).tolist() if len(events) else [math.nan] * len(grid)
    return AnytimeCurve(tuple(grid), tuple(means))


def held(events: Sequence[Events], budgets: Sequence[float]) -> NDArray[np.float64]:
    """1 where the answer available at a budget is right, else 0: a row per question, a column per budget, for paired
    comparisons. Events may come in any order."""
    table = np.zeros((len(events), len(budgets)))
    if any(not budget >= 0 for budget in budgets):
        raise ValueError("a budget lies below 0")
    for row, mine in enumerate(events):
        ordered = sorted(mine, key=lambda event: event[0])
        if any(not spent >= 0 for spent, _ in ordered):
            raise ValueError(f"an event of question {row} lies below 0")
        states = np.array([0.0, *(float(right) for _, right in ordered)])
        table[row] = states[np.searchsorted([spent for spent, _ in ordered], budgets, side="right")]
    return table


def union_grid(*strategies: Sequence[Events]) -> list[float]:
    """Every budget above 0 at which an answer of any of these steps, ascending: where two curves are compared."""
    return sorted({spent for events in strategies for mine in events for spent, _ in mine if spent > 0})


def regret(events: Sequence[Events], stops: Sequence[float]) -> float:
    """What stopping elsewhere would have won: mean over questions of the best answer at any budget less the answer at the
    stop used, in [0, 1]. NaN without questions. Raises ValueError for lengths that differ."""
    if len(events) != len(stops):
        raise ValueError(f"{len(events)} questions have {len(stops)} stops")
    lost = [
        max((float(right) for _, right in _final(mine)), default=0.0) - float(held([mine], [stop])[0, 0])
        for mine, stop in zip(events, stops, strict=True)
    ]
    return math.fsum(lost) / len(lost) if lost else math.nan


def _final(events: Events) -> list[tuple[float, bool]]:
    """The event that holds at each place."""
    return list(dict(sorted(events, key=lambda event: event[0])).items())
