"""One version of a knowledge base in memory: what a search needs of it, and the maths of finding."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import orjson

from phronesis.core.errors import RetrievalError
from phronesis.core.ports import SearchMode, Vectors
from phronesis.core.retrieval import Passage
from phronesis.index.bm25 import WordIndex
from phronesis.index.exact import Allowed, nearest
from phronesis.index.fusing import fuse, fused_order
from phronesis.tools.knowledge.store import Store
from phronesis.tools.knowledge.vectors import active, read_vectors, view

_MASKS = 64
"""Filters whose rows are remembered."""
Where = Mapping[str, Sequence[str]]


class Found(NamedTuple):
    """A row of the snapshot and its score: cosine, BM25, or the sum of reciprocal ranks."""

    row: int
    score: float


class Snapshot:
    """The chunks of a frozen store, sorted by id, so that ties by row are ties by id. Safe in threads."""

    def __init__(self, store: Store) -> None:
        """Reads ids and vectors; the words are indexed by the first search that needs them."""
        self._store = store
        self._lock = threading.Lock()
        self._words: WordIndex | None = None
        self._masks: dict[tuple[tuple[str, tuple[str, ...]], ...], Allowed] = {}
        with store.reading() as connection:
            rows = connection.execute(
                "SELECT id, number, document, digest, title, page FROM chunks ORDER BY id"
            ).fetchall()
            documents = connection.execute(
                "SELECT documents.number, documents.source, files.source, documents.title, facts, documents.hash "
                "FROM documents JOIN files ON files.number = documents.file ORDER BY documents.source"
            ).fetchall()
            self.fingerprint = active(connection)
            vectors = read_vectors(connection, self.fingerprint, store.path) if self.fingerprint else {}
        self.ids = [str(row[0]) for row in rows]
        self._numbers = [int(row[1]) for row in rows]
        self._documents = [int(row[2]) for row in rows]
        self._digests = [bytes(row[3]) for row in rows]
        self._titles = [str(row[4]) for row in rows]
        self._pages = [row[5] for row in rows]
        self._about = {int(row[0]): tuple(row[1:5]) for row in documents}
        self._marks = [(str(row[1]), str(row[5])) for row in documents]
        kept = [row for row, number in enumerate(self._numbers) if number in vectors]
        self._vector_rows = np.array(kept, dtype=np.int64)
        dimension = self.fingerprint[1].dimension if self.fingerprint else 0
        self._vectors: Vectors = np.zeros((len(kept), dimension), dtype=np.float32)
        for place, row in enumerate(kept):
            self._vectors[place] = vectors[self._numbers[row]]

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def embedded(self) -> int:
        """Chunks that have a vector."""
        return len(self._vector_rows)

    @cached_property
    def contents(self) -> str:
        """16 hex digits over documents and chunks; the same for the same documents cut alike, whenever they came."""
        digest = hashlib.blake2b(digest_size=8)
        digest.update(orjson.dumps([self._marks, self.ids]))
        return digest.hexdigest()

    def search(
        self, query: str, vector: Vectors | None, k: int, *, mode: SearchMode, where: Where, wide: int
    ) -> list[Found]:
        """The k best, texts that are equal once. ``vector``: of the query, for ``dense`` and ``hybrid``; ``wide``: how many
        each side proposes at least. Ties by id; in ``hybrid`` by cosine, then by id."""
        if k < 1 or not query.strip() or not self.ids:
            return []
        allowed = self._allowed(where)
        wide = max(wide, k)
        while True:
            ranked = self._ranked(query, vector, wide, mode, allowed)
            found = self._distinct(ranked)
            if len(found) >= k or len(ranked) < wide or wide >= len(self):
                return found[:k]
            wide *= 4  # many equal texts

    def passages(self, found: Sequence[Found]) -> tuple[Passage, ...]:
        """The passages behind the rows."""
        with self._store.reading() as connection:
            return tuple(self._passage(connection, row, score) for row, score in found)

    def texts(self, rows: Sequence[int]) -> list[str]:
        """Title and text of each row."""
        with self._store.reading() as connection:
            return [view(self._titles[row], str(_one(connection, self._numbers[row])[2])) for row in rows]

    def _ranked(
        self, query: str, vector: Vectors | None, wide: int, mode: SearchMode, allowed: Allowed | None
    ) -> list[Found]:
        lexical = (
            [] if mode == "dense" else [Found(*match) for match in self._index().nearest(query, wide, allowed=allowed)]
        )
        if mode == "lexical" or vector is None:
            return lexical
        inside = None if allowed is None else allowed[self._vector_rows]
        dense = [Found(*hit) for hit in nearest(self._vector_rows, self._vectors, vector, wide, allowed=inside)]
        if mode == "dense":
            return dense
        fused = fuse([[hit.row for hit in dense], [hit.row for hit in lexical]])
        return [Found(row, round(fused[row], 6)) for row in fused_order(fused, dict(dense))]

    def _distinct(self, ranked: Sequence[Found]) -> list[Found]:
        """Of rows with equal texts the one that stands first."""
        best: dict[bytes, Found] = {}
        for hit in ranked:
            best.setdefault(self._digests[hit.row], hit)
        return list(best.values())

    def _index(self) -> WordIndex:
        with self._lock:
            if self._words is None:
                with self._store.reading() as connection:
                    rows = connection.execute("SELECT title, text FROM chunks ORDER BY id").fetchall()
                self._words = WordIndex([view(str(title), str(text)) for title, text in rows])
            return self._words

    def _allowed(self, where: Where) -> Allowed | None:
        if not where:
            return None
        key = tuple(sorted((name, tuple(values)) for name, values in where.items()))
        with self._lock:
            if key not in self._masks:
                if len(self._masks) >= _MASKS:
                    self._masks.clear()
                documents = {number: self._facts(number) for number in self._about}
                self._masks[key] = np.array(
                    [self._fits(row, documents[number], where) for row, number in enumerate(self._documents)],
                    dtype=np.bool_,
                )
            return self._masks[key]

    def _fits(self, row: int, facts: Mapping[str, Any], where: Where) -> bool:
        source, file, title, _ = self._about[self._documents[row]]
        own = {"source": {source, file}, "title": {title, self._titles[row]}, "page": {as_text(self._pages[row])}}
        for name, values in where.items():
            held = set(own.get(name, set()))
            if name in facts:
                held.add(as_text(facts[name]))
            if not held & set(values):
                return False
        return True

    def _facts(self, document: int) -> dict[str, Any]:
        return dict(orjson.loads(self._about[document][3]))

    def _passage(self, connection: Any, row: int, score: float) -> Passage:
        start, end, text = _one(connection, self._numbers[row])
        source, _, _, _ = self._about[self._documents[row]]
        facts = self._facts(self._documents[row])
        if self._pages[row] is not None:
            facts = {**facts, "page": self._pages[row]}
        return Passage(
            id=self.ids[row],
            text=text,
            title=self._titles[row],
            source=source,
            start=start,
            end=end,
            score=score,
            facts=facts,
        )


def as_text(value: object) -> str:
    """A fact as filters compare it: ``true``, not ``True``."""
    return str(value).lower() if isinstance(value, bool) else "" if value is None else str(value)


def _one(connection: Any, number: int) -> tuple[int, int, str]:
    row = connection.execute("SELECT start, end, text FROM chunks WHERE number = ?", (number,)).fetchone()
    if row is None:
        raise RetrievalError(f"chunk {number} is gone", mend="open the knowledge base again")
    return int(row[0]), int(row[1]), str(row[2])
