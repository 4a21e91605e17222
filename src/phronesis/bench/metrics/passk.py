"""What k samples reach, estimated without bias from n recorded ones: an oracle, a vote, a weighted vote, a scorer's choice.

All are means over the subsets of size k that could have been drawn instead. Undefined, and NaN, where fewer than k were.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from phronesis.bench.metrics.subsets import subsets


def pass_at_k(n: int, c: int, k: int) -> float:
    """Chance that a random subset of k of n samples, c of them right, holds a right one: 1 - C(n-c, k) / C(n, k).

    In [0, 1]; never falls in c or k; exact (integers until the division). NaN when k > n. Raises ValueError unless
    0 <= c <= n and k >= 1. Chen et al. 2021, arXiv 2107.03374, section 2.1."""
    _check(n, k)
    if not 0 <= c <= n:
        raise ValueError(f"{c} of {n} samples cannot be right")
    if k > n:
        return math.nan
    return 1 - math.comb(n - c, k) / math.comb(n, k)


oracle_at_k = pass_at_k
"""What a choice that always finds a right sample would reach; the same figure under the name that curves use."""


def maj_at_k(
    answers: Sequence[str | None], right: Mapping[str, bool], k: int, *, draws: int = 400, seed: int = 0
) -> float:
    """Chance that the majority of a random subset of k samples is right.

    answers: canonical answers in the order they were drawn, None where none could be read; None never votes, and a subset
    without a vote is wrong. right: whether each answer is. Ties go to the first of the subset in that order, as the shipped
    vote has it, so that k = n gives what was really voted. Exact up to 2000 subsets, else the mean of ``draws`` seeded ones.
    NaN when k > n. Raises ValueError for k < 1 and for an answer that ``right`` lacks."""
    return weighted_at_k(answers, [1.0] * len(answers), right, k, draws=draws, seed=seed)


def weighted_at_k(
    answers: Sequence[str | None],
    weights: Sequence[float],
    right: Mapping[str, bool],
    k: int,
    *,
    draws: int = 400,
    seed: int = 0,
) -> float:
    """The same for the answer with the greatest summed weight. Equal weights are ``maj_at_k``; sums that differ by less
    than 1e-9 are a tie. Raises ValueError for a weight that is negative or not finite, and for lengths that differ."""
    _check(len(answers), k)
    if len(weights) != len(answers):
        raise ValueError(f"{len(answers)} answers have {len(weights)} weights")
    bad = next((weight for weight in weights if not 0 <= weight < math.inf), None)
    if bad is not None:
        raise ValueError(f"a vote's weight must be finite and 0 or more, not {bad!r}")
    codes: dict[str, int] = {}
    for answer in answers:
        if answer is not None:
            codes.setdefault(answer, len(codes))
    missing = next((answer for answer in codes if answer not in right), None)
    if missing is not None:
        raise ValueError(f"nobody says whether the answer {missing!r} is right")
    if k > len(answers):
        return math.nan
    coded = np.array([-1 if answer is None else codes[answer] for answer in answers])
    good = np.array([*(bool(right[answer]) for answer in codes), False])
    drawn = subsets(len(answers), k, draws=draws, seed=seed)
    return float(good[_winners(coded, np.array(weights, dtype=float), drawn, len(codes))].mean())


def _winners(
    coded: NDArray[np.int64], weights: NDArray[np.float64], drawn: NDArray[np.int64], kinds: int
) -> NDArray[np.int64]:
    """The winning code of each subset; ``kinds``, one past the last, where nobody votes."""
    by_kind = np.zeros((len(coded), kinds + 1))
    by_kind[np.arange(len(coded)), np.where(coded < 0, kinds, coded)] = weights
    members = np.zeros((len(drawn), len(coded)))
    np.put_along_axis(members, drawn, 1.0, axis=1)
    totals = np.round(members @ by_kind, 9)
    totals[:, kinds] = -1.0
    cast = coded[drawn]
    cast = np.where(cast < 0, kinds, cast)
    leader = np.take_along_axis(totals, cast, axis=1).argmax(axis=1)
    winners: NDArray[np.int64] = np.take_along_axis(cast, leader[:, None], axis=1)[:, 0]
    return winners


def best_at_k(scores: Sequence[float | None], right: Sequence[bool], k: int) -> float:
    """Chance that the sample with the highest score in a random subset of k is right.

    Exact: sorted by score the sample of rank r (from 0) is the best of C(n-1-r, k-1) subsets. Equal scores go to the first;
    samples without a score, or with NaN, stand below all others. NaN when k > n. Raises ValueError for k < 1 and for lengths
    that differ. Cost n log n."""
    count = len(scores)
    _check(count, k)
    if len(right) != count:
        raise ValueError(f"{count} scores have {len(right)} grades")
    if k > count:
        return math.nan
    known = [-math.inf if score is None or math.isnan(score) else score for score in scores]
    without = [score is None or math.isnan(score) for score in scores]
    order = sorted(range(count), key=lambda index: (without[index], -known[index], index))
    won = sum(math.comb(count - 1 - rank, k - 1) for rank, index in enumerate(order) if right[index])
    return won / math.comb(count, k)


def _check(n: int, k: int) -> None:
    if k < 1 or n < 0:
        raise ValueError(f"no subset of {k} can be drawn from {n} samples")
