"""Scores to choices: the best attempt, and the weights that a score-weighted vote counts with."""

from __future__ import annotations

import math
from collections.abc import Sequence


def first_best(scores: Sequence[float | None]) -> int | None:
    """Index of the highest score, the first of equals; None when nobody has one."""
    known = [index for index, score in enumerate(scores) if score is not None]
    return max(known, key=lambda index: (scores[index], -index), default=None)


def min_max(scores: Sequence[float]) -> list[float]:
    """Scores moved to [0, 1], the lowest to 0 and the highest to 1; all 1 when they are equal (Bag of Tricks, 2502.07191)."""
    low, high = min(scores, default=0.0), max(scores, default=0.0)
    return [1.0 if high == low else (score - low) / (high - low) for score in scores]


def score_weights(scores: Sequence[float | None], *, rescaled: bool = False) -> list[float]:
    """What each attempt's vote counts: its score, as it is or moved to [0, 1] by ``min_max``.

    An attempt without a score counts with the mean of the others. Where that makes every vote worth nothing, or nobody has
    a score, each counts 1: equal scores are a majority vote."""
    known = [score for score in scores if score is not None]
    worth = iter(min_max(known) if rescaled else known)
    weights = [None if score is None else next(worth) for score in scores]
    counted = [weight for weight in weights if weight is not None]
    if not any(counted):
        return [1.0] * len(scores)
    neutral = math.fsum(counted) / len(counted)
    return [neutral if weight is None else weight for weight in weights]
