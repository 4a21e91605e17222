"""A concept's nearest view, and a ranking made diverse. Pure maths; everything is deterministic and says how ties go.

Source: maximal marginal relevance, Carbonell and Goldstein 1998.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from phronesis.core.ports import Vectors
from phronesis.index.exact import Rows, cosines


class BestView(NamedTuple):
    """Where a concept is nearest to a query."""

    score: float
    """Cosine, rounded to 6 decimals."""
    view: int
    """0 = the first; of equally near ones the lowest."""


def best_views(rows: Rows, query: Vectors, *, at: int) -> dict[int, BestView]:
    """Exact cosine and place of each owner's nearest view among the rows valid at a ledger version."""
    valid = (rows.since <= at) & (rows.until > at)
    scores = cosines(rows.vectors[valid], query)
    found: dict[int, BestView] = {}
    for owner, view, score in zip(rows.owner[valid].tolist(), rows.view[valid].tolist(), scores.tolist(), strict=True):
        best = found.get(owner)
        if best is None or (score, -view) > (best.score, -best.view):
            found[owner] = BestView(score, view)
    return found


def first_views(rows: Rows, *, at: int) -> dict[int, Vectors]:
    """The vector of each owner's first view at a ledger version."""
    valid = (rows.since <= at) & (rows.until > at) & (rows.view == 0)
    return dict(zip(rows.owner[valid].tolist(), rows.vectors[valid], strict=True))


def diversify(relevance: Sequence[float], vectors: Sequence[Vectors | None], k: int, *, diversity: float) -> list[int]:
    """Places of the k chosen, in the order chosen: each time the one with the greatest
    (1 - diversity) * relevance - diversity * (highest cosine with one chosen before).

    ``diversity`` in [0, 1]; 0 keeps the order given when relevance falls along it. One without a vector is like none.
    Ties go to the place that stands earlier. The first j of k chosen are the j that k = j would choose."""
    left, chosen = list(range(len(relevance))), list[int]()
    likest = [0.0] * len(relevance)
    while left and len(chosen) < k:
        worth = [(1.0 - diversity) * relevance[place] - diversity * likest[place] for place in left]
        taken = left.pop(int(np.argmax(np.round(worth, 12))))
        chosen.append(taken)
        mine = vectors[taken]
        for place in left:
            other = vectors[place]
            if mine is not None and other is not None:
                likest[place] = max(likest[place], float(np.dot(mine.astype(np.float64), other.astype(np.float64))))
    return chosen
