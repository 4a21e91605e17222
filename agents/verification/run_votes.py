"""How several runs of a judge become one figure for each response. Pure: numbers in, numbers out.

Source: SPCT (Inference-Time Scaling for Generalist Reward Modeling, arXiv 2504.02495): the scores of the runs are summed, and
a meta score decides which runs count. Agreement as a meta score is ours.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

SPREAD = 9.0
"""Farthest that two scores from 1 to 10 can lie apart."""
TOP = 10
_SHARE = 0.01
"""Of one point of the sum: what first places decide."""


def agreements(runs: Sequence[Sequence[int]]) -> list[float]:
    """How near each run is to the mean of the others, in [0, 1]: 1 minus the mean distance of its scores; 1 when alone."""
    if len(runs) < 2:
        return [1.0] * len(runs)
    sums = [sum(column) for column in zip(*runs, strict=True)]
    others = len(runs) - 1
    return [
        1.0
        - sum(abs(score - (total - score) / others) for score, total in zip(run, sums, strict=True))
        / (len(run) * SPREAD)
        for run in runs
    ]


def kept(metas: Sequence[float | None], most: int) -> tuple[int, ...]:
    """Indices of the ``most`` runs with the highest meta scores, in their order; ties to the earlier, unknown ones last."""
    known = [-1.0 if meta is None else meta for meta in metas]
    order = sorted(range(len(known)), key=known.__getitem__, reverse=True)
    return tuple(sorted(order[:most]))


@dataclass(frozen=True, slots=True)
class Tally:
    """The runs' scores together, by response."""

    sums: tuple[int, ...]
    """S_i."""
    first_places: tuple[int, ...]
    """Runs in which no other response scored higher."""
    runs: int

    @property
    def figures(self) -> tuple[float, ...]:
        """S_i / (10 runs), less what ranks responses of equal sums by first places, in (0, 1]. Equal figures are a tie, which
        goes to the first."""
        return tuple(
            (total - _SHARE * (1 - places / self.runs)) / (TOP * self.runs)
            for total, places in zip(self.sums, self.first_places, strict=True)
        )

    @property
    def tied(self) -> bool:
        """Whether more than one response has the highest figure, or there are no runs to tell them apart."""
        return not self.runs or self.figures.count(max(self.figures)) > 1


def tally(runs: Sequence[Sequence[int]]) -> Tally:
    """Sums and first places. Without runs there are none."""
    columns = list(zip(*runs, strict=True))
    best = [max(run) for run in runs]
    places = [sum(score == top for score, top in zip(column, best, strict=True)) for column in columns]
    return Tally(tuple(sum(column) for column in columns), tuple(places), len(runs))
