"""Whether one arm does better than another on the same questions, and what so many questions can tell apart."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from phronesis.bench.ranking import Interval

_CELLS = 4_000_000
"""Draws held at a time: bounds the memory of the bootstrap at about 32 MB."""


@dataclass(frozen=True, slots=True)
class McNemar:
    """Outcome of McNemar's test."""

    first_only: int
    """Questions that the first has right and the second wrong."""
    second_only: int
    p: float
    """Two-sided; 1 where no question tells them apart."""


def mcnemar(first: Mapping[str, bool], second: Mapping[str, bool]) -> McNemar:
    """McNemar's exact test over the questions that both have.

    Of the b + c questions that only one has right, each is either's with chance 1/2 if they are equally good:
    p = min(1, 2 P(X <= min(b, c))), X binomial. McNemar 1947; exact form: Agresti, Categorical Data Analysis, 11.1."""
    shared = first.keys() & second.keys()
    one = sum(bool(first[name]) and not second[name] for name in shared)
    other = sum(bool(second[name]) and not first[name] for name in shared)
    count = one + other
    if not count:
        return McNemar(0, 0, 1.0)
    tail = term = 1
    for wins in range(min(one, other)):
        term = term * (count - wins) // (wins + 1)
        tail += term
    return McNemar(one, other, min(1.0, tail / 2 ** (count - 1)))


def paired_difference(
    first: Mapping[str, float],
    second: Mapping[str, float],
    clusters: Sequence[Sequence[str]],
    *,
    seed: int = 0,
    rounds: int = 2000,
    level: float = 0.95,
) -> Interval:
    """Mean of second - first over the questions that both have, with its percentile interval.

    Whole clusters are drawn with replacement (questions of one template are no independent draws); a question that stands
    in none is a cluster of its own. NaN without a shared question; with a single cluster the interval is that point, which
    says nothing. Positive = the second is better. Order of the mappings does not matter, order of the clusters seeds.
    Raises ValueError for a question that stands in two clusters. Cost rounds x clusters: 2 million additions for 1000
    questions."""
    shared = [name for name in first if name in second]
    wanted, known = set(shared), set[str]()
    groups = []
    for cluster in clusters:
        mine = [name for name in cluster if name in wanted]
        twice = next((name for name in mine if name in known), None)
        if twice is not None or len(set(mine)) < len(mine):
            raise ValueError(f"the question {twice or mine[0]!r} stands in the clusters twice")
        known.update(mine)
        if mine:
            groups.append(mine)
    groups += [[name] for name in sorted(wanted - known)]
    if not groups:
        return Interval(math.nan, math.nan, math.nan)
    sums = np.array([math.fsum(second[name] - first[name] for name in group) for group in groups])
    sizes = np.array([len(group) for group in groups], dtype=float)
    rng = np.random.default_rng(seed)
    step = max(1, _CELLS // len(groups))
    means: list[float] = []
    for begin in range(0, rounds, step):
        drawn = rng.integers(0, len(groups), (min(step, rounds - begin), len(groups)))
        means += (sums[drawn].sum(axis=1) / sizes[drawn].sum(axis=1)).tolist()
    tail = (1 - level) / 2
    low, high = np.quantile(means, [tail, 1 - tail])
    return Interval(math.fsum(sums.tolist()) / float(sizes.sum()), float(low), float(high))


def least_detectable(n: int, discordant: float, *, power: float = 0.8, alpha: float = 0.05) -> float:
    """Smallest true difference in accuracy that n paired questions show as significant with this power.

    discordant: share of the questions that only one of the two has right, in [0, 1]. Solves
    d sqrt(n) = z(1 - alpha/2) sqrt(s) + z(power) sqrt(s - d^2) for d (Connor 1987, the normal approximation to McNemar's
    test; the exact test needs slightly more). NaN where even one-sided disagreement would not be seen, so for s = 0.
    Raises ValueError for n < 1 and shares or chances outside their range."""
    if n < 1 or not 0 <= discordant <= 1 or not 0 < power < 1 or not 0 < alpha < 1:
        raise ValueError(f"no difference follows from n={n}, discordant={discordant}, power={power}, alpha={alpha}")
    wide, strong = NormalDist().inv_cdf(1 - alpha / 2), NormalDist().inv_cdf(power)

    def short(difference: float) -> float:
        rest = max(0.0, discordant - difference * difference)
        return wide * math.sqrt(discordant) + strong * math.sqrt(rest) - difference * math.sqrt(n)

    low, high = 0.0, discordant
    if not discordant or short(high) > 0:
        return math.nan
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if short(middle) > 0 else (low, middle)
    return high
