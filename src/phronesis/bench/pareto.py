"""Which arms are worth their cost: none is as accurate for less, and none is more accurate for as much."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from phronesis.bench.running.summary import CellSummary

Point = tuple[float, float]
"""(cost, accuracy)."""
Cost = Literal["tokens", "seconds"]


def dominates(one: Point, other: Point) -> bool:
    """Whether the first costs no more, is no less accurate, and is better in one of the two. NaN dominates nothing."""
    return one[0] <= other[0] and one[1] >= other[1] and one != other


def pareto_front(points: Sequence[Point]) -> list[int]:
    """Indices of the (cost, accuracy) points that none dominates, in their order; equal points stay together. A point with
    a NaN is never on it."""
    known = [index for index, point in enumerate(points) if not any(math.isnan(value) for value in point)]
    return [index for index in known if not any(dominates(points[other], points[index]) for other in known)]


@dataclass(frozen=True, kw_only=True)
class FrontRow:
    """One arm in a front's table."""

    arm: str
    cost: float
    """Mean per question."""
    accuracy: float
    dominated_by: str | None
    """The most accurate arm of the front that dominates it (of several the cheapest); None = it is on the front."""


@dataclass(frozen=True, kw_only=True)
class Front:
    """Accuracy against one cost on one set."""

    set: str
    cost: Cost
    rows: tuple[FrontRow, ...]
    """From the cheapest; arms without an accuracy are left out."""

    def to_json(self) -> dict[str, Any]:
        rows = [
            {"arm": row.arm, self.cost: round(row.cost, 4), "accuracy": round(row.accuracy, 4)}
            | {"dominated_by": row.dominated_by}
            for row in self.rows
        ]
        return {"set": self.set, "cost": self.cost, "rows": rows}


def fronts(summaries: Sequence[CellSummary]) -> list[Front]:
    """Accuracy against generated tokens and against seconds, for each set in the order of the summaries."""
    names = dict.fromkeys(item.set for item in summaries)
    return [_front([item for item in summaries if item.set == name], cost) for name in names for cost in _COSTS]


_COSTS: tuple[Cost, ...] = ("tokens", "seconds")


def _front(summaries: Sequence[CellSummary], cost: Cost) -> Front:
    known = [item for item in summaries if not math.isnan(item.accuracy.value)]
    points: list[Point] = [(float(getattr(item, cost)), item.accuracy.value) for item in known]
    best = pareto_front(points)
    rows = []
    for index, item in enumerate(known):
        above = [at for at in best if dominates(points[at], points[index])]
        ruler = max(above, key=lambda at: (points[at][1], -points[at][0]), default=None)
        rows.append(
            FrontRow(
                arm=item.arm,
                cost=points[index][0],
                accuracy=points[index][1],
                dominated_by=None if ruler is None else known[ruler].arm,
            )
        )
    return Front(set=summaries[0].set, cost=cost, rows=tuple(sorted(rows, key=lambda row: (row.cost, -row.accuracy))))
