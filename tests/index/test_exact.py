"""Exact search against a plain reference."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from phronesis.core.ports import Vectors
from phronesis.index.exact import FOREVER, Rows, VectorTable, cosines, merge

DIMENSION = 6


def unit(rows: int, seed: int) -> Vectors:
    # Few distinct directions, so that ties happen.
    vectors = np.random.default_rng(seed).integers(-1, 2, (rows, DIMENSION)).astype(np.float32)
    vectors[~vectors.any(axis=1), 0] = 1.0
    unit_rows: Vectors = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return unit_rows


@given(
    owners=st.lists(st.integers(1, 30), min_size=1, max_size=80),
    spans=st.lists(st.tuples(st.integers(1, 5), st.integers(1, 6)), min_size=80, max_size=80),
    k=st.integers(1, 12),
    at=st.integers(0, 7),
    seed=st.integers(0, 99),
)
def test_nearest_equals_sorting_everything(
    owners: list[int], spans: list[tuple[int, int]], k: int, at: int, seed: int
) -> None:
    vectors = unit(len(owners), seed)
    query = unit(1, seed + 1)[0]
    table = VectorTable(DIMENSION)
    for row, owner in enumerate(owners):
        since, length = spans[row]
        one = [np.array([value]) for value in (row + 1, owner, row % 2, since, since + length)]
        table.append(Rows(*one, vectors=vectors[row : row + 1]))  # type: ignore[misc]  # five columns
    for first_view in (False, True):
        best: dict[int, float] = {}
        for row, score in enumerate(cosines(vectors, query).tolist()):
            since, length = spans[row]
            if since <= at < since + length and not (first_view and row % 2):
                best[owners[row]] = max(score, best.get(owners[row], -2.0))
        expected = sorted(((-score, owner) for owner, score in best.items()))[:k]
        found = table.nearest(query, k, at=at, first_view=first_view)
        assert [(-hit.score, hit.owner) for hit in found] == expected


def test_closed_rows_are_found_only_by_older_versions() -> None:
    vectors = unit(3, 1)
    table = VectorTable(DIMENSION)
    ends = np.array([FOREVER] * 3)
    table.append(Rows(np.array([1, 2, 3]), np.array([1, 2, 3]), np.zeros(3, int), np.array([1, 2, 3]), ends, vectors))
    table.close(2, 5)
    table.close(2, 5)
    assert {hit.owner for hit in table.nearest(vectors[1], 3, at=5)} == {1, 3}
    assert {hit.owner for hit in table.nearest(vectors[1], 3, at=4)} == {1, 2, 3}
    assert {hit.owner for hit in table.nearest(vectors[1], 3, at=1)} == {1}
    assert table.nearest(vectors[1], 3, at=0) == []


def test_a_score_does_not_depend_on_the_rows_beside_it() -> None:
    vectors = np.random.default_rng(3).standard_normal((500, 384)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    together = cosines(vectors, vectors[7])
    assert [float(cosines(vectors[row : row + 1], vectors[7])[0]) for row in range(500)] == together.tolist()


def test_merge_takes_each_owner_once_with_its_best_score() -> None:
    from phronesis.index.exact import Scored

    found = merge([Scored(2, 0.5), Scored(1, 0.4), Scored(2, 0.9), Scored(3, 0.9)], 2)
    assert found == [Scored(2, 0.9), Scored(3, 0.9)]
