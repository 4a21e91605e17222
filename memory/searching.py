"""The reading side of a memory: search, recall, list."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from phronesis.core.concept import Hit, StoredConcept
from phronesis.core.errors import ConfigurationError
from phronesis.core.ports import SearchMode, Vectors
from phronesis.index.fusing import fuse, fused_order
from phronesis.index.lexical import text_matches
from phronesis.memory.fusing import best_views, diversify, first_views
from phronesis.memory.opened import OpenMemory
from phronesis.memory.reading import concept_id, current_version, stored

CANDIDATES = 24
"""Concepts that dense and lexical search each propose, unless more are asked for."""

# ``list`` is a method, so the builtin is named here.
Hits = list[Hit]
StoredConcepts = list[StoredConcept]
Scores = list[tuple[int, float]]


@dataclass
class Ranked:
    """Concepts found, best first, and why they stand where they do."""

    order: Sequence[int] = ()
    scores: Mapping[int, float] = field(default_factory=dict)
    """What a hit shows as its score."""
    relevance: Mapping[int, float] = field(default_factory=dict)
    """The figure the order was made by, as a share of the best."""
    why: Mapping[int, dict[str, float]] = field(default_factory=dict)
    vectors: Mapping[int, Vectors] = field(default_factory=dict)
    """First views; empty for lexical search."""


class Searching(OpenMemory):
    """Finds concepts."""

    def search(self, query: str, k: int = 5, *, version: int | None = None, mode: SearchMode = "dense") -> Hits:
        """The k concepts nearest to the query, best first; of the version, or of now.

        ``dense``: by the cosine of their best view, ties by id (oldest first). ``lexical``: by shared words (bm25).
        ``hybrid``: both ranks fused (reciprocal rank), ties by cosine, then by id; every hit is scored by its cosine,
        whichever side found it. Without an embedder all three are lexical. How rare a word is, is counted over the whole
        ledger as it is now, for older versions too.

        Raises ConfigurationError for an empty query, a k below 1 or a version that does not exist."""
        if not query.strip():
            raise ConfigurationError("the query is empty", mend="say what to search for")
        if k < 1:
            raise ConfigurationError(f"k = {k} is below 1", mend="ask for at least one concept")
        return self._found(query, k, version=version, mode=mode, candidates=CANDIDATES, diversity=0.0)

    def recall(
        self,
        query: str,
        *,
        k: int,
        version: int | None = None,
        mode: SearchMode = "hybrid",
        diversity: float = 0.0,
        candidates: int = CANDIDATES,
    ) -> Hits:
        """``search`` for runs: a query without words finds nothing instead of being refused.

        ``diversity`` in [0, 1] chooses the k among the candidates by maximal marginal relevance over their first views, in
        the order chosen; 0 is the plain order. Without vectors the order is plain. Raises ConfigurationError for a diversity
        outside of it."""
        if not 0.0 <= diversity <= 1.0:
            raise ConfigurationError(f"diversity = {diversity} is not in [0, 1]", mend="0 is the plain order")
        if not query.strip() or k < 1:
            return []
        return self._found(query, k, version=version, mode=mode, candidates=candidates, diversity=diversity)

    def list(self, *, version: int | None = None) -> StoredConcepts:
        """Every active and probation concept, by id, oldest first; of the version, or of now."""
        with self._ledger.reading() as connection:
            now = current_version(connection)
            found = stored(connection, at=now if version is None else version)
        return [concept for concept in found.values() if concept.status != "invalid"]

    def _found(
        self, query: str, k: int, *, version: int | None, mode: SearchMode, candidates: int, diversity: float
    ) -> Hits:
        vector = None if mode == "lexical" else self._query(query)
        with self._ledger.reading() as connection:
            at = self._at(version)
            wide = max(k, candidates) if mode == "hybrid" or diversity else k
            ranked = self._ranked(connection, query, vector, wide, at=at, mode=mode)
            order = list(ranked.order)
            if diversity and ranked.vectors:
                relevance = [ranked.relevance[number] for number in order]
                rows = [ranked.vectors.get(number) for number in order]
                order = [order[place] for place in diversify(relevance, rows, k, diversity=diversity)]
            found = stored(connection, at=at, numbers=order[:k])
        ranks = {number: float(rank) for rank, number in enumerate(ranked.order, start=1)}
        return [
            Hit(
                id=concept_id(number),
                score=ranked.scores[number],
                concept=found[number].concept,
                status=found[number].status,
                origin=found[number].origin,
                helped=found[number].helped,
                why={**ranked.why[number], "rank": ranks[number]},
            )
            for number in order[:k]
        ]

    def _ranked(
        self,
        connection: sqlite3.Connection,
        query: str,
        vector: Vectors | None,
        count: int,
        *,
        at: int,
        mode: SearchMode,
    ) -> Ranked:
        """Up to ``count`` concepts of each side."""
        if vector is None or self._search is None:
            lexical = _lexical(connection, query, count, at=at)
            return _lexical_only(lexical)
        dense = [(hit.owner, hit.score) for hit in self._search.nearest(vector, count, at=at)]
        words = _lexical(connection, query, count, at=at) if mode == "hybrid" else []
        numbers = list(dict.fromkeys(number for number, _ in (*dense, *words)))
        rows = self._search.views_of(numbers)
        if rows is None:
            # Before the memory's first vector: what was written without an embedder, and cannot be embedded.
            return _lexical_only(words)
        best = best_views(rows, vector, at=at)
        scores = {number: best[number].score for number in numbers if number in best}
        why: dict[int, dict[str, float]] = {number: {} for number in numbers}
        for side, found in (("dense", dense), ("lexical", words)):
            for rank, (number, _) in enumerate(found, start=1):
                why[number][side] = float(rank)
        for number in scores:
            why[number]["view"] = float(best[number].view)
        order, relevance = [number for number, _ in dense], dict(dense)
        if mode == "hybrid":
            fused = fuse([[number for number, _ in dense], [number for number, _ in words]])
            order = fused_order(fused, scores)
            for number in order:
                why[number]["fused"] = round(fused[number], 6)
            relevance = {number: fused[number] / fused[order[0]] for number in order}
        shown = {number: scores.get(number, 0.0) for number in order}
        return Ranked(order, shown, relevance, why, first_views(rows, at=at))


def _lexical_only(found: Scores) -> Ranked:
    why = {number: {"lexical": float(rank)} for rank, (number, _) in enumerate(found, start=1)}
    return Ranked([number for number, _ in found], dict(found), dict(found), why)


def _lexical(connection: sqlite3.Connection, query: str, k: int, *, at: int) -> Scores:
    """The k concepts that share the rarest words with the query, among those valid at a version; ties by id."""
    found: Scores = []
    for row, score in text_matches(connection, "texts", query):
        valid = connection.execute(
            "SELECT concept FROM bodies WHERE seq = ? AND since <= ? AND until > ?", (row, at, at)
        ).fetchone()
        if valid is not None:
            found.append((int(valid[0]), score))
        if len(found) == k:
            break
    return found
