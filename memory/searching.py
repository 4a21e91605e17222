"""The reading side of a memory: search, recall, list."""

from __future__ import annotations

from phronesis.core.concept import Hit, StoredConcept
from phronesis.core.errors import ConfigurationError
from phronesis.index.lexical import text_matches
from phronesis.memory.opened import OpenMemory
from phronesis.memory.reading import concept_id, current_version, stored

# ``list`` is a method, so the builtin is named here.
Hits = list[Hit]
StoredConcepts = list[StoredConcept]
Scores = list[tuple[int, float]]


class Searching(OpenMemory):
    """Finds concepts."""

    def search(self, query: str, k: int = 5, *, version: int | None = None) -> Hits:
        """The k concepts nearest to the query, best first, ties by id (oldest first); of the version, or of now.

        Raises ConfigurationError for an empty query, a k below 1 or a version that does not exist."""
        if not query.strip():
            raise ConfigurationError("the query is empty", mend="say what to search for")
        if k < 1:
            raise ConfigurationError(f"k = {k} is below 1", mend="ask for at least one concept")
        vector = self._query(query)
        with self._ledger.reading() as connection:
            now = current_version(connection)
            at = now if version is None else version
            if not 0 <= at <= now:
                raise ConfigurationError(
                    f"memory {self.name!r} has no version {at}", mend=f"versions so far: 0 to {now}"
                )
            scored: Scores
            if vector is None or self._search is None:
                scored = self._lexical(query, k, at=at)
            else:
                scored = [(hit.owner, hit.score) for hit in self._search.nearest(vector, k, at=at)]
            found = stored(connection, at=at, numbers=[number for number, _ in scored])
        return [
            Hit(id=concept_id(number), score=score, concept=found[number].concept, status=found[number].status)
            for number, score in scored
        ]

    def recall(self, query: str, *, k: int, version: int | None = None) -> Hits:
        """``search`` for runs: a query without words finds nothing instead of being refused."""
        return self.search(query, k, version=version) if query.strip() and k > 0 else []

    def list(self, *, version: int | None = None) -> StoredConcepts:
        """Every active and probation concept, by id, oldest first; of the version, or of now."""
        with self._ledger.reading() as connection:
            now = current_version(connection)
            found = stored(connection, at=now if version is None else version)
        return [concept for concept in found.values() if concept.status != "invalid"]

    def _lexical(self, query: str, k: int, *, at: int) -> Scores:
        found: Scores = []
        with self._ledger.reading() as connection:
            for row, score in text_matches(connection, "texts", query):
                valid = connection.execute(
                    "SELECT concept FROM bodies WHERE seq = ? AND since <= ? AND until > ?", (row, at, at)
                ).fetchone()
                if valid is not None:
                    found.append((int(valid[0]), score))
                if len(found) == k:
                    break
        return found
