"""An exact test of paired differences: the two sides of each cluster are swapped at random."""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction

import numpy as np

_FINEST = 840
"""Sums that need a finer common denominator are rounded to this one."""


def swapped_p(sums: Sequence[Fraction]) -> float:
    """Two-sided p of the sums of second - first, one per cluster: the chance of a total as far from 0 or farther if in each
    cluster it is a coin's toss which side is which. Exact, in (0, 1]; 1 without a sum other than 0, and with one cluster.

    Whatever the questions of a cluster and the draws of a question share stays together, so nothing is assumed of them.
    Clusters of one question drawn once make it McNemar's exact test. Cost: clusters times the total of the sums. Source: the
    sign-flip randomisation test (Fisher 1935)."""
    told = [item for item in sums if item]
    scale = min(_FINEST, math.lcm(*(item.denominator for item in told))) if told else 1
    whole = [round(item * scale) for item in told]
    chances = np.ones(1)
    for size in map(abs, whole):
        grown = np.zeros(len(chances) + size)
        grown[: len(chances)] += chances / 2
        grown[size:] += chances / 2
        chances = grown
    total = sum(map(abs, whole))
    far = np.abs(2 * np.arange(total + 1) - total) >= abs(sum(whole))
    return float(min(1.0, chances[far].sum()))
