"""Exact cosine search over a table of vectors that knows when each row was valid."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from phronesis.core.ports import Vectors

FOREVER = 2**63 - 1
"""``until`` of a row that is still valid."""
_MARGIN = 1e-5
"""More than a matrix product and ``cosines`` ever differ by, so that no row is lost before it is scored for good."""
_DECIMALS = 6

Numbers = NDArray[np.int64]
Allowed = NDArray[np.bool_]
"""Which rows may be found."""


class Scored(NamedTuple):
    """An owner (a concept's number) and the cosine of its best view, rounded to 6 decimals."""

    owner: int
    score: float


class Rows(NamedTuple):
    """Columns of a table, row by row."""

    seq: Numbers
    """Number of the vector in its ledger; rises."""
    owner: Numbers
    view: Numbers
    """0 = the first view."""
    since: Numbers
    """First ledger version that has the row."""
    until: Numbers
    """First ledger version that no longer has it; FOREVER = valid now."""
    vectors: Vectors


def cosines(vectors: Vectors, query: Vectors) -> NDArray[np.float64]:
    """Cosine of each unit row with a unit query, rounded to 6 decimals: the same number however many rows stand beside
    it, which a matrix product does not promise."""
    products = vectors.astype(np.float64) * query.astype(np.float64)
    found: NDArray[np.float64] = np.round(products.sum(axis=1), _DECIMALS)
    return found


def rank(owners: Numbers, vectors: Vectors, query: Vectors, k: int) -> list[Scored]:
    """The k best owners by their best row, best first; ties by owner, lowest first."""
    scores = cosines(vectors, query)
    return merge([Scored(int(owners[row]), float(scores[row])) for row in np.lexsort((owners, -scores))], k)


def nearest(
    owners: Numbers, vectors: Vectors, query: Vectors, k: int, *, allowed: Allowed | None = None
) -> list[Scored]:
    """``rank`` of the allowed rows of a large table: a matrix product finds whom to score exactly."""
    valid = len(owners) if allowed is None else int(np.count_nonzero(allowed))
    if not valid or k < 1:
        return []
    scores = vectors @ query
    if allowed is not None and valid < len(owners):
        scores[~allowed] = -np.inf
    wanted = min(k, valid)
    while True:
        least = np.partition(scores, len(owners) - wanted)[len(owners) - wanted]
        rows = np.flatnonzero(scores >= least - _MARGIN)
        found = rank(owners[rows], vectors[rows], query, k)
        if len(found) >= k or wanted == valid:
            return found
        wanted = min(4 * wanted, valid)


def merge(scored: Sequence[Scored], k: int) -> list[Scored]:
    """The k best of several rankings: each owner once, with its best score; ties by owner, lowest first."""
    best: dict[int, float] = {}
    for owner, score in scored:
        best[owner] = max(score, best.get(owner, -2.0))
    return sorted((Scored(*item) for item in best.items()), key=lambda hit: (-hit.score, hit.owner))[:k]


class VectorTable:
    """Vectors in memory, appended to as the ledger grows. Not safe in threads: the caller holds a lock."""

    def __init__(self, dimension: int, *, base: int = 0) -> None:
        """``base``: rows up to this seq are left to somebody else (an index)."""
        self.base = base
        self.last = base
        """Highest seq held."""
        self._count = 0
        self._numbers = np.zeros((5, 64), dtype=np.int64)
        self._vectors: Vectors = np.zeros((64, dimension), dtype=np.float32)

    def __len__(self) -> int:
        return self._count

    def append(self, rows: Rows) -> None:
        """Adds rows in rising order of seq."""
        count = self._count + len(rows.seq)
        if count > len(self._vectors):
            room = max(count, 2 * len(self._vectors))
            vectors = np.zeros((room, self._vectors.shape[1]), dtype=np.float32)
            numbers = np.zeros((5, room), dtype=np.int64)
            vectors[: self._count] = self._vectors[: self._count]
            numbers[:, : self._count] = self._numbers[:, : self._count]
            self._vectors, self._numbers = vectors, numbers
        self._vectors[self._count : count] = rows.vectors
        for column, values in zip(self._numbers, rows[:5], strict=True):
            column[self._count : count] = values
        if count > self._count:
            self.last = int(self._numbers[0, count - 1])
        self._count = count

    def close(self, owner: int, until: int) -> None:
        """Ends the validity of the owner's rows that were valid before the ledger version ``until``."""
        _, owners, _, since, ends = self._numbers[:, : self._count]
        ends[(owners == owner) & (since < until) & (ends > until)] = until

    def drop(self, owner: int) -> None:
        """Takes the owner's rows out of every version, and their vectors out of memory."""
        rows = np.flatnonzero(self._numbers[1, : self._count] == owner)
        self._numbers[4, rows] = 0
        self._vectors[rows] = 0

    def nearest(self, query: Vectors, k: int, *, at: int, first_view: bool = False) -> list[Scored]:
        """The k owners nearest to the query among the rows valid at ledger version ``at``; ties by owner."""
        _, owners, views, since, until = self._numbers[:, : self._count]
        allowed = (since <= at) & (until > at)
        if first_view:
            allowed &= views == 0
        return nearest(owners, self._vectors[: self._count], query, k, allowed=allowed)
