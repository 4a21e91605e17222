"""Rankings made one. Pure maths; deterministic, ties stated.

Source: reciprocal rank fusion, Cormack, Clarke and Buettcher 2009.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

RRF_CONSTANT = 60
"""k of reciprocal rank fusion, as in the paper: how little the first few ranks of one side outweigh agreement of both."""


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
