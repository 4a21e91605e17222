"""How well figures rank right attempts above wrong ones, and how sure that is."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

T = TypeVar("T")
Graded = tuple[float, bool]
"""(score, whether the attempt is right)."""


@dataclass(frozen=True, slots=True)
class Interval:
    """An estimate with its percentile bootstrap interval; NaN where there is nothing to estimate from."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return "-" if math.isnan(self.value) else f"{self.value:.3f} [{self.low:.3f}, {self.high:.3f}]"


def pairs_won(graded: Sequence[Graded]) -> tuple[float, int]:
    """(pairs of a right and a wrong attempt in which the right one scores higher, ties counting half; all such pairs)."""
    good = np.array([score for score, right in graded if right])
    bad = np.sort(np.array([score for score, right in graded if not right]))
    if not len(good) or not len(bad):
        return 0.0, 0
    below, up_to = np.searchsorted(bad, good, side="left"), np.searchsorted(bad, good, side="right")
    return float((below + up_to).sum()) / 2, len(good) * len(bad)


def auroc(graded: Sequence[Graded]) -> float:
    """Area under the ROC curve: the chance that a right attempt scores above a wrong one. NaN without both kinds."""
    won, pairs = pairs_won(graded)
    return won / pairs if pairs else math.nan


def auroc_within(questions: Sequence[Sequence[Graded]]) -> float:
    """The same over pairs of attempts at one question only, each question with both kinds counting once. NaN without any."""
    areas = [auroc(graded) for graded in questions]
    known = [area for area in areas if not math.isnan(area)]
    return math.fsum(known) / len(known) if known else math.nan


def bootstrap(
    units: Sequence[T],
    estimate: Callable[[Sequence[T]], float],
    *,
    seed: int = 0,
    rounds: int = 1000,
    level: float = 0.95,
) -> Interval:
    """The estimate over all units with its percentile interval; units (questions) are drawn with replacement."""
    value = estimate(units)
    if math.isnan(value) or not units:
        return Interval(value, math.nan, math.nan)
    rng = np.random.default_rng(seed)
    drawn = [estimate([units[int(index)] for index in rng.integers(0, len(units), len(units))]) for _ in range(rounds)]
    known = [item for item in drawn if not math.isnan(item)]
    tail = (1 - level) / 2
    return Interval(value, float(np.quantile(known, tail)), float(np.quantile(known, 1 - tail)))


def paired(
    first: Sequence[float], second: Sequence[float], *, seed: int = 0, rounds: int = 2000, level: float = 0.95
) -> Interval:
    """Mean of second - first over the same questions, with its interval."""
    differences = [right - left for left, right in zip(first, second, strict=True)]
    return bootstrap(differences, _mean, seed=seed, rounds=rounds, level=level)


def mean_interval(values: Sequence[float], *, seed: int = 0) -> Interval:
    """The mean with its interval."""
    return bootstrap(values, _mean, seed=seed)


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values) if values else math.nan
