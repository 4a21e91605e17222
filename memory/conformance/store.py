"""What the suite needs of a store, and how a check opens one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol

from phronesis.core.concept import Concept, ConceptStatus, Evidence, Hit, Origin, StoredConcept
from phronesis.core.ports import Embedder
from phronesis.core.result import MemoryWrite
from phronesis.index.embedders import HashEmbedder


class Event(Protocol):
    """One change of a concept."""

    @property
    def version(self) -> int:
        """The store's version from this event on."""
        ...

    @property
    def kind(self) -> str: ...


class ConceptStore(Protocol):
    """A store of concepts. ``Memory`` is ours; its docstrings say what each method promises."""

    @property
    def degraded(self) -> str | None:
        """Why the last search was lexical; None = it was not."""
        ...

    def version(self) -> int: ...

    def add(
        self,
        concepts: Sequence[Concept],
        *,
        operation: str | None = None,
        status: ConceptStatus = "active",
        origin: Origin = "user",
    ) -> list[str]: ...

    def search(self, query: str, k: int = 5, *, version: int | None = None) -> list[Hit]: ...

    def recall(self, query: str, *, k: int, version: int | None = None) -> list[Hit]: ...

    def get(self, id: str) -> StoredConcept: ...

    def history(self, id: str) -> Sequence[Event]: ...

    def write(
        self,
        concepts: Sequence[Concept],
        *,
        operation: str,
        recalled: Sequence[str] = (),
        evidence: Evidence | None = None,
    ) -> list[MemoryWrite]: ...

    def record_use(self, ids: Sequence[str], *, accepted: bool, operation: str) -> None: ...

    def update(
        self,
        id: str,
        concept: Concept,
        *,
        reason: str,
        expect_version: int | None = None,
        operation: str | None = None,
    ) -> StoredConcept: ...

    def forget(
        self, ids: Sequence[str], *, reason: str, superseded_by: str | None = None, operation: str | None = None
    ) -> list[str]: ...

    def revive(self, id: str, reason: str) -> StoredConcept: ...

    # Last, because within the class its name hides the builtin.
    def list(self, *, version: int | None = None) -> Sequence[StoredConcept]: ...

    def close(self) -> None: ...


class OpenStore(Protocol):
    """Opens the store of a name."""

    def __call__(self, name: str, *, embedder: Embedder | None) -> ConceptStore:
        """``embedder``: makes the vectors; None = the store has none and searches by words."""
        ...


class Stores:
    """Stores of one check: names of their own, so that checks may share a place."""

    def __init__(self, open_store: OpenStore, name: str) -> None:
        self._open = open_store
        self._name = name

    @contextmanager
    def open(self, *, embedder: Embedder | None = None, lexical: bool = False, of: str = "") -> Iterator[ConceptStore]:
        """The check's store, closed afterwards; ``of`` names a further one. Without ``lexical`` the embedder is the
        hashing one unless another is given."""
        chosen = None if lexical else embedder or HashEmbedder()
        store = self._open(f"{self._name}{of}", embedder=chosen)
        try:
            yield store
        finally:
            store.close()
