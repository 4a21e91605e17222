"""Rankings made one, and a ranking made diverse. Pure maths; everything is deterministic and says how ties go.

Sources: reciprocal rank fusion, Cormack, Clarke and Buettcher 2009; maximal marginal relevance, Carbonell and Goldstein
1998.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from phronesis.core.ports import Vectors
from phronesis.index.exact import Rows, cosines

RRF_CONSTANT = 60
"""k of reciprocal rank fusion, as in the paper: how little the first few ranks of one side outweigh agreement of both."""


class BestView(NamedTuple):
    """Where a concept is nearest to a query."""

    score: float
    """Cosine, rounded to 6 decimals."""
    view: int
    """0 = the first; of equally near ones the lowest."""


def fuse(rankings: Sequence[Sequence[int]], *, constant: int = RRF_CONSTANT) -> dict[int, float]:
    """Sum over the rankings of 1 / (constant + rank), rank from 1, for whatever stands in at least one of them.

    A ranking that names an owner twice counts its better place."""
    fused: dict[int, float] = {}
    for ranking in rankings:
        for rank, owner in enumerate(dict.fromkeys(ranking), start=1):
            fused[owner] = fused.get(owner, 0.0) + 1.0 / (constant + rank)
    return fused


def fused_order(fused: Mapping[int, float], scores: Mapping[int, float]) -> list[int]:
    """Owners by fused score, best first; ties by ``scores`` (higher first, a missing one last), then by owner."""
    # Sums of the same ranks in another order may differ in the last digit, which must not break a tie.
    return sorted(fused, key=lambda owner: (-round(fused[owner], 12), -scores.get(owner, -2.0), owner))


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
