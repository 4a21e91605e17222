"""Whether stated chances are what comes true: ECE, Brier score, Balance score.

p: stated chances of outcome 1, in [0, 1]; y: outcomes, 0 or 1. Everything is NaN without items, does not depend on their
order, and raises ValueError for lengths that differ and for a p or y outside its range.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class ReliabilityRow:
    """One bin of a reliability diagram."""

    low: float
    high: float
    count: int
    confidence: float
    """Mean stated chance; NaN in an empty bin."""
    accuracy: float
    """Share of outcomes 1; NaN in an empty bin."""


def ece(p: Sequence[float], y: Sequence[bool | int], bins: int = 10) -> float:
    """Expected calibration error: sum over equal-width bins of (n_b / n) |accuracy_b - confidence_b|, in [0, 1].

    Bins are [low, high), the last one with 1.0; empty ones count 0. Guo et al. 2017, arXiv 1706.04599. Chance alone
    raises it while bins hold few items: give the count beside it."""
    stated, came = _read(p, y)
    return _error(stated, came, _by_width(stated, bins))


def ece_mass(p: Sequence[float], y: Sequence[bool | int], bins: int = 10) -> float:
    """The same over bins of equal mass: an item with m smaller ones goes to bin floor(bins m / n), so equal chances stay
    together and bins may differ in size."""
    stated, came = _read(p, y)
    _positive(bins)
    below = np.searchsorted(np.sort(stated), stated, side="left")
    return _error(stated, came, below * bins // max(1, len(stated)))


def reliability(p: Sequence[float], y: Sequence[bool | int], bins: int = 10) -> list[ReliabilityRow]:
    """A row per equal-width bin, lowest first, empty ones too."""
    stated, came = _read(p, y)
    where = _by_width(stated, bins)
    rows = []
    for index in range(bins):
        mine = where == index
        count = int(mine.sum())
        means = (float(stated[mine].mean()), float(came[mine].mean())) if count else (math.nan, math.nan)
        rows.append(ReliabilityRow(index / bins, (index + 1) / bins, count, *means))
    return rows


def brier(p: Sequence[float], y: Sequence[bool | int]) -> float:
    """Mean of (p - y)^2, in [0, 1]; Brier 1950."""
    stated, came = _read(p, y)
    return float(((stated - came) ** 2).mean()) if len(stated) else math.nan


def balance(p: Sequence[float], y: Sequence[bool | int]) -> float:
    """Mean of r - c: r = 1 where the decision (1 if p >= 0.5) comes true, c = max(p, 1 - p). In [-1, 0.5].

    0 for a calibrated forecaster, above it under-confident, below it over-confident. Opposite errors cancel, so it goes
    with ECE. Choi, Kim, Lee 2023, arXiv 2309.06248, as the linear form that fits their description."""
    stated, came = _read(p, y)
    if not len(stated):
        return math.nan
    kept = (stated >= 0.5) == (came > 0.5)
    return float((kept - np.maximum(stated, 1 - stated)).mean())


def _read(p: Sequence[float], y: Sequence[bool | int]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    stated, came = np.array(p, dtype=float), np.array(y, dtype=float)
    if stated.shape != came.shape:
        raise ValueError(f"{len(stated)} chances have {len(came)} outcomes")
    if not ((stated >= 0) & (stated <= 1)).all():
        raise ValueError("a stated chance lies outside [0, 1]")
    if not ((came == 0) | (came == 1)).all():
        raise ValueError("an outcome is neither 0 nor 1")
    return stated, came


def _by_width(stated: NDArray[np.float64], bins: int) -> NDArray[np.int64]:
    _positive(bins)
    return np.minimum((stated * bins).astype(np.int64), bins - 1)


def _positive(bins: int) -> None:
    if bins < 1:
        raise ValueError(f"{bins} bins hold nothing")


def _error(stated: NDArray[np.float64], came: NDArray[np.float64], where: NDArray[np.int64]) -> float:
    if not len(stated):
        return math.nan
    gaps = np.bincount(where, weights=came) - np.bincount(where, weights=stated)
    return float(np.abs(gaps).sum() / len(stated))
