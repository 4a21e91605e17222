"""How far a verifier agrees with people, and from which figure on accepting agrees with them best."""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np

FEW = 20
"""Verdicts below which a threshold is little more than a guess."""


def cohens_kappa(first: Sequence[Hashable], second: Sequence[Hashable]) -> float:
    """Agreement of two raters beyond chance: (observed - expected) / (1 - expected), at most 1, 0 = as by chance.

    ``expected`` is that of raters who keep their own shares and draw at random. 1 where both always say the same; NaN
    without an item. Cohen 1960."""
    count = len(first)
    if not count:
        return math.nan
    observed = sum(one == other for one, other in zip(first, second, strict=True)) / count
    expected = sum(first.count(name) * second.count(name) for name in {*first, *second}) / count**2
    return 1.0 if observed == 1 else (observed - expected) / (1 - expected)


@dataclass(frozen=True, slots=True)
class Threshold:
    """The lowest figure to accept, as far as the judged attempts tell."""

    accept: float
    """Accept from this figure on; of equally good ones the lowest. Above every figure = accept nothing: infinite."""
    agreement: float
    """Share of the attempts on which that agrees with the people."""
    ties: tuple[float, ...]
    """Every figure that agrees as often, ``accept`` first; between neighbours nothing was judged."""
    low: float
    high: float
    """Percentile interval of ``accept`` over bootstrap draws of whole groups."""


def best_threshold(
    scores: Sequence[float],
    right: Sequence[bool],
    groups: Sequence[Hashable],
    *,
    seed: int = 0,
    rounds: int = 1000,
    level: float = 0.95,
) -> Threshold | None:
    """The threshold among the figures themselves; None without an attempt.

    ``groups``: what each attempt belongs to, for example its task; attempts of one group are no independent draws and are
    drawn together, with replacement. With a single group the interval is the point, which says nothing."""
    if not scores:
        return None
    figures = np.asarray(scores, dtype=float)
    labels = np.asarray(right, dtype=bool)
    cuts = np.append(np.unique(figures), math.inf)
    agrees = (figures[None, :] >= cuts[:, None]) == labels[None, :]
    shares = agrees.mean(axis=1)
    best = np.flatnonzero(shares == shares.max())
    names = list(dict.fromkeys(groups))
    places = {name: at for at, name in enumerate(names)}
    member = np.asarray([places[name] for name in groups])
    by_group = np.stack([agrees[:, member == at].sum(axis=1) for at in range(len(names))])
    times = np.random.default_rng(seed).multinomial(len(names), [1 / len(names)] * len(names), size=rounds)
    picked = cuts[np.argmax(times @ by_group, axis=1)]
    tail = (1 - level) / 2
    low, high = (float(np.quantile(picked, at, method="nearest")) for at in (tail, 1 - tail))
    ties = tuple(float(cuts[at]) for at in best)
    return Threshold(ties[0], float(shares.max()), ties, low, high)
