"""Comparing what the index finds with what exact search finds."""

from __future__ import annotations

from collections.abc import Sequence

Found = Sequence[tuple[str, float]]


def assert_same_but_for_ties(hits: Found, exact: Found, *, missed: int = 0) -> None:
    """As many hits, best first, with their exact scores; where others score the same as the last, another of them may stand
    in. ``missed``: neighbours with a higher score that may be wanting; HNSW now and then misses one in a few hundred
    vectors without clusters."""
    last = exact[-1][1]
    assert len(hits) == len(exact)
    assert list(hits) == sorted(hits, key=lambda hit: -hit[1])
    known = dict(exact)
    assert all(score == known[id] if id in known else score <= last for id, score in hits)
    assert len({hit for hit in exact if hit[1] > last} - set(hits)) <= missed
