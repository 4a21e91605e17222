"""``Memory``: one namespace of concepts, open. The public door to the ledger, search and writing."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

from phronesis.core.concept import Concept, ConceptStatus, Hit, StoredConcept
from phronesis.core.errors import ConceptStoreError, ConfigurationError, EmbedderMismatch
from phronesis.core.ports import Embedder, Vectors
from phronesis.core.result import MemoryWrite
from phronesis.core.settings import Settings, load_settings
from phronesis.index.embedders import open_embedder
from phronesis.index.lexical import text_matches
from phronesis.memory import writing
from phronesis.memory.finding import VectorSearch
from phronesis.memory.indexing import IndexKeeper
from phronesis.memory.ledger import FILE_NAME, Clock, Ledger, namespace_folder, utc_now
from phronesis.memory.reading import (
    LedgerEvent,
    concept_id,
    concept_number,
    current_version,
    events,
    stored,
)
from phronesis.memory.stats import MemoryStats, statistics

_log = logging.getLogger(__name__)

# ``list`` is a method of Memory, so the builtin is named here.
Hits = list[Hit]
StoredConcepts = list[StoredConcept]
Ids = list[str]
Writes = list[MemoryWrite]
History = list[LedgerEvent]
Scores = list[tuple[int, float]]


class Memory:
    """Concepts of one namespace. Safe in threads and beside other processes; blocking, so call it off an event loop."""

    def __init__(self, name: str, ledger: Ledger, embedder: Embedder | None) -> None:
        """Use ``Memory.open``."""
        self.name = name
        self.embedder = embedder
        """None: recall is lexical."""
        self._ledger = ledger
        self._keeper = IndexKeeper(ledger)
        self._search = None if embedder is None else VectorSearch(ledger, embedder, self._keeper)
        self._failure: str | None = None

    @classmethod
    def open(
        cls,
        name: str,
        *,
        settings: Settings | None = None,
        embedder: Embedder | None = None,
        create: bool = True,
        clock: Clock = utc_now,
    ) -> Memory:
        """The memory of that name under the settings' memory folder; the embedder is the settings' unless one is given.

        Raises ConfigurationError for a name that is not allowed, ConceptStoreError for a ledger that cannot be read (and,
        with ``create=False``, for one that does not exist), SetupError for a folder that cannot be written,
        EmbedderMismatch for a memory whose vectors another embedder made."""
        settings = load_settings() if settings is None else settings
        folder = namespace_folder(settings.memory, name)
        if not create and not (folder / FILE_NAME).is_file():
            known = ", ".join(names(settings)) or "none"
            raise ConceptStoreError(f"there is no memory {name!r} in {str(settings.memory)!r}", mend=f"known: {known}")
        if embedder is None:
            embedder = open_embedder(settings)
        ledger = Ledger.open(folder, clock=clock)
        try:
            return cls(name, ledger, embedder)
        except BaseException:
            ledger.close()
            raise

    def __enter__(self) -> Memory:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Ends background work and frees the files; a second time does nothing. Nothing waits to be written."""
        self._keeper.close()
        self._ledger.close()

    @property
    def folder(self) -> Path:
        return self._ledger.path.parent

    @property
    def degraded(self) -> str | None:
        """What recall does less well than it could here, in the words of ``Result.degraded``; None = nothing."""
        if self.embedder is None:
            return "recall is lexical: no embedder"
        return None if self._failure is None else f"recall is lexical: {self._failure}"

    def version(self) -> int:
        """Number of the last change; 0 for an empty memory. Uses do not count as changes."""
        with self._ledger.reading() as connection:
            return current_version(connection)

    def add(
        self, concepts: Sequence[Concept], *, operation: str | None = None, status: ConceptStatus = "active"
    ) -> Ids:
        """Ids of the concepts, in order, durable when it returns. All are added or none.

        A concept that is there word for word (spacing and case aside) keeps its id. With an operation id, a repeat
        returns the first outcome and writes nothing."""
        vectors = self._views(concepts)
        numbers = writing.add(self._ledger, self._search, concepts, vectors=vectors, operation=operation, status=status)
        return [concept_id(number) for number in numbers]

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

    def write(self, concepts: Sequence[Concept], *, operation: str, recalled: Sequence[str] = ()) -> Writes:
        """Commits what a run learned, on probation; one outcome per concept, in order. Once per operation id.

        A near duplicate of a concept (cosine of the situations at least ``writing.NEAR_DUPLICATE``, same kind) is
        evidence for it and makes nothing new; the recalled concepts are compared first. Without an embedder only exact
        duplicates are seen. Raises ConceptStoreError for a recalled id of another form."""
        numbers = [concept_number(name) for name in recalled]
        vectors = self._views(concepts)
        return writing.write(
            self._ledger, self._search, concepts, vectors=vectors, operation=operation, recalled=numbers
        )

    def record_use(self, ids: Sequence[str], *, accepted: bool, operation: str) -> None:
        """Counts that a run had these concepts in its prompt and whether its answer was accepted. Once per operation id.

        A concept on probation that helped ``writing.PROMOTED_AFTER`` runs becomes active."""
        writing.record_use(self._ledger, ids, accepted=accepted, operation=operation)

    def get(self, id: str) -> StoredConcept:
        """The concept as it is now, an invalid one too. Raises ConceptStoreError that names an unknown id."""
        number = concept_number(id)
        with self._ledger.reading() as connection:
            found = stored(connection, at=current_version(connection), numbers=[number])
        if number not in found:
            raise ConceptStoreError(
                f"memory {self.name!r} has no concept {id!r}", mend=f"phronesis memory list --session {self.name}"
            )
        return found[number]

    def history(self, id: str) -> History:
        """The concept's events, oldest first. Raises ConceptStoreError that names an unknown id."""
        self.get(id)
        with self._ledger.reading() as connection:
            return events(connection, concept_number(id))

    def stats(self) -> MemoryStats:
        """Counts of now; loads neither a model nor Chroma."""
        return statistics(self.name, self._ledger, self._keeper)

    def reindex(self) -> str:
        """Fills in missing vectors and brings the Chroma index up to date now, rebuilding a sick one; the state it is in.

        Search does this by itself for large memories; after it, search uses the index at any size."""
        if self._search is not None:
            self._search.fill()
            self._search.reindex()
        return self._keeper.state

    def list(self, *, version: int | None = None) -> StoredConcepts:
        """Every active and probation concept, by id, oldest first; of the version, or of now."""
        with self._ledger.reading() as connection:
            now = current_version(connection)
            found = stored(connection, at=now if version is None else version)
        return [concept for concept in found.values() if concept.status != "invalid"]

    def _views(self, concepts: Sequence[Concept]) -> Sequence[Vectors] | None:
        """Vectors of the concepts; None when there is no embedder or it fails: they are filled in later."""
        if self._search is None or not concepts:
            return None
        try:
            return self._search.views(concepts)
        except EmbedderMismatch:
            raise
        except ConceptStoreError as error:
            self._note_failure(error)
            return None

    def _query(self, text: str) -> Vectors | None:
        """Vector of a query, after filling in missing vectors; None when search has to be lexical."""
        if self._search is None:
            return None
        try:
            vector = self._search.query(text)
            self._search.fill()
        except EmbedderMismatch:
            raise
        except ConceptStoreError as error:
            self._note_failure(error)
            return None
        self._failure = None
        return vector

    def _note_failure(self, error: ConceptStoreError) -> None:
        _log.warning("recall is lexical: %s", error.message)
        self._failure = error.message

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


def names(settings: Settings) -> Ids:
    """Names of the memories there are, sorted."""
    if not settings.memory.is_dir():
        return []
    return sorted(path.parent.name for path in settings.memory.glob(f"*/{FILE_NAME}"))
