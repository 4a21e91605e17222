"""Comparing what the index finds with what exact search finds."""

from __future__ import annotations

from collections.abc import Sequence

Found = Sequence[tuple[str, float]]
MISSED = 1
"""Neighbours that HNSW may miss of one query's: in a few hundred vectors without clusters it does so now and then."""


def assert_same_but_for_ties(hits: Found, exact: Found) -> None:
    """As many hits, best first, with their exact scores; where others score the same as the last, another of them may stand
    in, and HNSW may miss MISSED of those that score higher."""
    last = exact[-1][1]
    assert len(hits) == len(exact)
    assert list(hits) == sorted(hits, key=lambda hit: -hit[1])
    known = dict(exact)
    assert all(score == known[id] if id in known else score <= last for id, score in hits)
    assert len({hit for hit in exact if hit[1] > last} - set(hits)) <= MISSED
