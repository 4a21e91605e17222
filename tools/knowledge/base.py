"""``KnowledgeBase``: documents of the user, open. The public door."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple

import orjson

from phronesis.core.errors import ConfigurationError, RetrievalError
from phronesis.core.named import NamedSpec
from phronesis.core.ports import Embedder
from phronesis.core.retrieval import Passage, SearchRequest
from phronesis.core.settings import Settings, load_settings
from phronesis.index.embedders import open_embedder
from phronesis.index.rerank import open_reranker
from phronesis.tools.knowledge.adding import AddReport, FileTold, add_files, remove_sources
from phronesis.tools.knowledge.fields import Reading
from phronesis.tools.knowledge.names import FILE_NAME, knowledge_base_folder
from phronesis.tools.knowledge.search import NO_EMBEDDER, Searcher, SearchOptions
from phronesis.tools.knowledge.store import Store, version
from phronesis.tools.knowledge.vectors import Told, agree, fill, reembed
from phronesis.tools.knowledge.walking import find_files


class KnownFile(NamedTuple):
    """One file of a knowledge base."""

    source: str
    documents: int
    chunks: int
    added: str
    """When it was first added, ISO 8601."""


class KnowledgeBase:
    """A named set of documents that can be searched; a context manager. Safe in threads, not across a fork."""

    def __init__(self, name: str, store: Store, settings: Settings, embedder: Embedder | None = None) -> None:
        self.name = name
        self._store = store
        self._settings = settings
        self._given = embedder
        self._lock = threading.Lock()
        self._searchers: dict[SearchOptions, tuple[int, Searcher]] = {}

    @classmethod
    def open(
        cls,
        name: str,
        *,
        settings: Settings | None = None,
        embedder: Embedder | None = None,
        create: bool = True,
        read_only: bool = False,
    ) -> KnowledgeBase:
        """Opens the knowledge base of that name in the home, made if it is not there and ``create``. ``read_only``: one that
        is there, perhaps in a folder nobody may write to. ``embedder``: None = the one the settings name.

        Raises ConfigurationError for a wrong name, or for one that is not there and not to be made."""
        settings = settings or load_settings()
        if read_only:
            return cls(name, Store.open_to_read(existing(name, settings)), settings, embedder)
        path = knowledge_base_folder(settings, name) / FILE_NAME if create else existing(name, settings)
        return cls(name, Store.create(path), settings, embedder)

    def add(
        self,
        files: str | Path | Sequence[str | Path],
        *,
        reading: Reading | None = None,
        chunk_size: int | None = None,
        overlap: int | None = None,
        told: FileTold | None = None,
        embedding: Told | None = None,
        new_embedder: bool = False,
    ) -> AddReport:
        """Adds files and folders; what is unchanged costs only its reading. Durable when it returns.

        Then every chunk gets its vector, where there is an embedder. Chunk size and overlap (characters) are settled by the
        first call. Raises ConfigurationError for other sizes later; EmbedderMismatch, before anything is written, for
        another embedder, unless with ``new_embedder`` all vectors are made anew."""
        embedder = self._embedder
        if embedder is not None and not new_embedder:
            agree(self._store, embedder)
        report = add_files(
            self._store, find_files(_paths(files)), reading or Reading(), size=chunk_size, overlap=overlap, told=told
        )
        if embedder is not None:
            report.embedded = (reembed if new_embedder else fill)(self._store, embedder, told=embedding)
        return report

    def remove(self, *sources: str) -> dict[str, int]:
        """Deletes files, or rows of a JSONL file, by source; how many documents each was. Raises ConfigurationError."""
        return remove_sources(self._store, sources)

    def reembed(self, *, told: Told | None = None) -> int:
        """New vectors by the embedder of the settings where the old ones are another's, and any that are missing; how many
        were made. Raises ConfigurationError when there is no embedder."""
        if self._embedder is None:
            mend = "phronesis models pull all-minilm-l6-v2, or set PHRONESIS_EMBEDDER"
            raise ConfigurationError(NO_EMBEDDER, mend=mend)
        return reembed(self._store, self._embedder, told=told)

    def search(
        self, query: str, k: int = 5, *, where: Mapping[str, Sequence[str]] | None = None, **options: Any
    ) -> tuple[Passage, ...]:
        """The k best passages, best first. ``where``: fact, ``source`` or ``title`` to the values allowed. ``options``: mode,
        candidates, rerank. Raises ConfigurationError for a wrong one, EmbedderMismatch, RetrievalError."""
        if k < 1:
            raise ConfigurationError(f"k = {k} is below 1", mend="ask for at least one passage")
        asked = {name: tuple(values) for name, values in (where or {}).items()}
        with self._lock:
            (found,) = self._searcher(_checked(options)).search([SearchRequest(query=query, k=k, where=asked)])
        return found

    def degraded(self, **options: Any) -> str | None:
        """Why a search with these options is less than it should be; None = it is not."""
        with self._lock:
            return self._searcher(_checked(options)).degraded

    @cached_property
    def _embedder(self) -> Embedder | None:
        return self._given or open_embedder(self._settings)

    def _searcher(self, wanted: SearchOptions) -> Searcher:
        """What searches the version that is there now; kept while nothing changes."""
        with self._store.reading() as connection:
            current = version(connection)
        held = self._searchers.get(wanted)
        if held is not None and held[0] == current:
            return held[1]
        embedder = None if wanted.mode == "lexical" else self._embedder
        searcher = open_searcher(self.name, wanted, self._settings, embedder)
        if held is not None:
            held[1].close()
        self._searchers[wanted] = (current, searcher)
        return searcher

    def list(self) -> Sequence[KnownFile]:
        """The files, by source."""
        with self._store.reading() as connection:
            rows = connection.execute(
                "SELECT files.source, COUNT(DISTINCT documents.number), COUNT(chunks.number), files.added FROM files "
                "LEFT JOIN documents ON documents.file = files.number LEFT JOIN chunks ON chunks.document = documents.number "
                "GROUP BY files.number ORDER BY files.source"
            ).fetchall()
        return [KnownFile(str(row[0]), int(row[1]), int(row[2]), str(row[3])) for row in rows]

    def get(self, id: str) -> Passage:
        """The chunk of that id. Raises ConfigurationError that names an unknown one."""
        with self._store.reading() as connection:
            row = connection.execute(
                "SELECT chunks.text, chunks.title, documents.source, start, end, facts, page FROM chunks "
                "JOIN documents ON documents.number = chunks.document WHERE chunks.id = ?",
                (id,),
            ).fetchone()
        if row is None:
            raise ConfigurationError(
                f"the knowledge base {self.name!r} has no passage {id!r}", mend="kb search prints the ids"
            )
        facts = dict(orjson.loads(row[5])) | ({} if row[6] is None else {"page": row[6]})
        return Passage(id=id, text=row[0], title=row[1], source=row[2], start=row[3], end=row[4], facts=facts)

    def document(self, source: str) -> str:
        """The whole text of a document, which spans refer to. Raises ConfigurationError that names an unknown one."""
        with self._store.reading() as connection:
            row = connection.execute("SELECT text FROM documents WHERE source = ?", (source,)).fetchone()
        if row is None:
            raise ConfigurationError(
                f"the knowledge base {self.name!r} has no source {source!r}", mend=f"phronesis kb list {self.name}"
            )
        return str(row[0])

    def close(self) -> None:
        """Frees it; a second time does nothing."""
        with self._lock:
            for _, searcher in self._searchers.values():
                searcher.close()
            self._searchers.clear()
        self._store.close()

    def __enter__(self) -> KnowledgeBase:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def rehearse(
    name: str,
    files: str | Path | Sequence[str | Path],
    settings: Settings,
    *,
    reading: Reading | None = None,
    chunk_size: int | None = None,
    overlap: int | None = None,
) -> AddReport:
    """What ``add`` would do; nothing is written, not even a knowledge base that is not there."""
    path = knowledge_base_folder(settings, name) / FILE_NAME
    store = Store.create(path) if path.is_file() else Store.in_memory(path)
    try:
        with store.rehearsing():
            return add_files(
                store, find_files(_paths(files)), reading or Reading(), size=chunk_size, overlap=overlap, told=None
            )
    finally:
        store.close()


def _checked(options: Mapping[str, Any]) -> SearchOptions:
    return NamedSpec("search", dict(options)).checked(SearchOptions, what="search")


def _paths(files: str | Path | Sequence[str | Path]) -> list[Path]:
    return [Path(file) for file in ([files] if isinstance(files, str | Path) else files)]


def existing(name: str, settings: Settings) -> Path:
    """The file of a knowledge base that is there. Raises ConfigurationError."""
    path = knowledge_base_folder(settings, name) / FILE_NAME
    if not path.is_file():
        raise ConfigurationError(
            f"there is no knowledge base {name!r} in {str(path.parent.parent)!r}",
            mend=f"phronesis kb add {name} FILES...",
        )
    return path


def open_searcher(name: str, options: SearchOptions, settings: Settings, embedder: Embedder | None = None) -> Searcher:
    """Searches the knowledge base as it is now, whatever is added later. ``embedder``: None = the one the settings name.

    Raises ConfigurationError when there is no such knowledge base, EmbedderMismatch, ModelMissing and SetupError."""
    if options.mode != "lexical":
        embedder = embedder or open_embedder(settings)
    reranker = None if options.rerank == "none" else open_reranker(options.rerank, settings)
    store = Store.open_to_read(existing(name, settings))
    try:
        store.freeze()
        return Searcher(store, options, embedder, reranker)
    except BaseException:
        store.close()
        raise


def delete(name: str, settings: Settings) -> None:
    """Deletes a whole knowledge base, a damaged one too. Raises ConfigurationError when it is not there."""
    folder = existing(name, settings).parent
    try:
        shutil.rmtree(folder)
    except OSError as error:
        raise RetrievalError(f"cannot delete {str(folder)!r}: {error.strerror}", mend="check its rights") from error
