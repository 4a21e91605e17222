"""Subsets of recorded samples: all of them while they are few, seeded draws otherwise."""

from __future__ import annotations

import math
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

MOST = 2000
"""Subsets up to which all are taken."""


def subsets(n: int, k: int, *, draws: int = 400, seed: int = 0) -> NDArray[np.int64]:
    """Index sets of size k out of n, a row each, ascending within a row: all C(n, k) of them if these are at most ``MOST``,
    else ``draws`` independent uniform ones. Raises ValueError unless 1 <= k <= n and draws >= 1."""
    if not 1 <= k <= n or draws < 1:
        raise ValueError(f"no {draws} subsets of {k} can be drawn from {n}")
    if math.comb(n, k) <= MOST:
        return np.array(list(combinations(range(n), k)), dtype=np.int64)
    keys = np.random.default_rng(seed).random((draws, n))
    chosen = np.argpartition(keys, k - 1, axis=1)[:, :k]
    return np.sort(chosen, axis=1).astype(np.int64)
