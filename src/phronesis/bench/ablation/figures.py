"""Figures of an ablation with intervals that draw both orders and clusters of questions. Pure."""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from typing import NamedTuple

import numpy as np

from phronesis.bench.ranking import Interval

ROUNDS = 2000


class Reading(NamedTuple):
    """One value, of one task in one order."""

    order: Hashable
    """What is drawn as a whole beside clusters."""
    cluster: Hashable
    value: float


def mean_over(readings: Sequence[Reading], *, seed: int = 0, level: float = 0.95) -> Interval:
    """The mean with a percentile interval: in each of ``ROUNDS`` draws, orders and clusters are drawn with replacement, each
    on its own, and a reading counts as often as its order times its cluster came. NaN without readings.

    One order is no sample of orders, so that the interval is one over clusters. With few orders it is too narrow rather
    than too wide: three orders cannot tell much of a fourth."""
    if not readings:
        return Interval(math.nan, math.nan, math.nan)
    orders = {name: place for place, name in enumerate(dict.fromkeys(item.order for item in readings))}
    clusters = {name: place for place, name in enumerate(dict.fromkeys(item.cluster for item in readings))}
    sums, counts = np.zeros((2, len(orders), len(clusters)))
    for item in readings:
        at = orders[item.order], clusters[item.cluster]
        sums[at] += item.value
        counts[at] += 1
    rng = np.random.default_rng(seed)
    rows = rng.multinomial(len(orders), [1 / len(orders)] * len(orders), ROUNDS)
    columns = rng.multinomial(len(clusters), [1 / len(clusters)] * len(clusters), ROUNDS)
    weighed = np.einsum("ro,oc,rc->r", rows, counts, columns)
    drawn = np.einsum("ro,oc,rc->r", rows, sums, columns)[weighed > 0] / weighed[weighed > 0]
    tail = (1 - level) / 2
    low, high = (float(value) for value in np.quantile(drawn, [tail, 1 - tail]))
    return Interval(float(sums.sum() / counts.sum()), low, high)


class Window(NamedTuple):
    """A stretch of the stream."""

    first: int
    """Position from 1."""
    last: int
    off: float
    """Accuracy without a memory over these tasks, averaged over orders."""
    write: float
    tasks: int
    """Readings: tasks times orders."""


def windows(readings: Sequence[tuple[int, bool, bool]], count: int = 10) -> list[Window]:
    """The learning curve: (position from 0, right without, right with) of all orders, in at most ``count`` stretches of about
    the same length; stretches without a reading are left out."""
    if not readings:
        return []
    length = max(item[0] for item in readings) + 1
    count = min(count, length)
    found = []
    for number in range(count):
        first, last = number * length // count, (number + 1) * length // count
        inside = [item for item in readings if first <= item[0] < last]
        if inside:
            off, write = (sum(item[side] for item in inside) / len(inside) for side in (1, 2))
            found.append(Window(first + 1, last, off, write, len(inside)))
    return found
