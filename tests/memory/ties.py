"""Comparing what the index finds with what exact search finds."""

from __future__ import annotations

from collections.abc import Sequence

Found = Sequence[tuple[str, float]]


def assert_same_but_for_ties(hits: Found, exact: Found) -> None:
    """HNSW may miss a neighbour; where others score the same as the last, another of them may stand in, and nothing else
    may differ."""
    last = exact[-1][1]
    assert [score for _, score in hits] == [score for _, score in exact]
    assert [hit for hit in hits if hit[1] > last] == [hit for hit in exact if hit[1] > last]
