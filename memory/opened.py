"""An open memory: its ledger, its embedder, its index. What every part of ``Memory`` stands on."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from phronesis.core.concept import Concept, StoredConcept
from phronesis.core.errors import ConceptStoreError, ConfigurationError, EmbedderMismatch
from phronesis.core.ports import Embedder, Vectors
from phronesis.core.settings import Settings, load_settings
from phronesis.index.embedders import open_embedder
from phronesis.memory.finding import VectorSearch
from phronesis.memory.indexing import IndexKeeper
from phronesis.memory.ledger import FILE_NAME, Clock, Ledger, check_not_lost, namespace_folder, utc_now
from phronesis.memory.reading import concept_number, current_version, stored

_log = logging.getLogger(__name__)


class OpenMemory:
    """Concepts of one namespace. Safe in threads and beside other processes; blocking, so call it off an event loop."""

    def __init__(self, name: str, ledger: Ledger, embedder: Embedder | None, *, chroma_url: str | None = None) -> None:
        """Use ``open``."""
        self.name = name
        self.embedder = embedder
        """None: recall is lexical."""
        self._ledger = ledger
        self._keeper = IndexKeeper(ledger, chroma_url=chroma_url)
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
        read_only: bool = False,
        clock: Clock = utc_now,
    ) -> Self:
        """The memory of that name under the settings' memory folder; the embedder is the settings' unless one is given.

        ``read_only``: one that is there, whose files are not changed by anything, in a folder nobody need write to; it
        searches exactly, and what was written there without vectors is found by its words alone. With ``create=False`` it
        is implied where nothing can be written, so that whatever only reads works there.
        Raises ConfigurationError for a name that is not allowed, ConceptStoreError for a ledger that cannot be read (and,
        with ``create=False``, for one that does not exist), SetupError for a folder that cannot be written,
        EmbedderMismatch for a memory whose vectors another embedder made."""
        settings = load_settings() if settings is None else settings
        folder = namespace_folder(settings.memory, name)
        if (read_only or not create) and not (folder / FILE_NAME).is_file():
            check_not_lost(folder / FILE_NAME)
            known = ", ".join(names(settings))
            mend = f"known: {known}" if known else f"there is none yet; phronesis memory add --session {name} makes one"
            raise ConceptStoreError(f"there is no memory {name!r} in {str(settings.memory)!r}", mend=mend)
        read_only = read_only or (not create and not (_writable(folder) and _writable(folder / FILE_NAME)))
        if embedder is None:
            embedder = open_embedder(settings)
        ledger = Ledger.open(folder, clock=clock, read_only=read_only)
        try:
            return cls(name, ledger, embedder, chroma_url=settings.chroma_url)
        except BaseException:
            ledger.close()
            raise

    def __enter__(self) -> Self:
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

    def _at(self, version: int | None) -> int:
        """The version asked for, or the one of now. Raises ConfigurationError for one that does not exist."""
        now = self.version()
        if version is not None and not 0 <= version <= now:
            raise ConfigurationError(
                f"memory {self.name!r} has no version {version}", mend=f"versions so far: 0 to {now}"
            )
        return now if version is None else version


def _writable(path: Path) -> bool:
    return os.access(path, os.W_OK, effective_ids=os.access in os.supports_effective_ids)


def names(settings: Settings) -> list[str]:
    """Names of the memories there are, sorted."""
    if not settings.memory.is_dir():
        return []
    return sorted(path.parent.name for path in settings.memory.glob(f"*/{FILE_NAME}"))
