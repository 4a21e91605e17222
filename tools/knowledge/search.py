"""Searches of a frozen version: queries embedded in one batch, the best reranked."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Literal

import orjson
from pydantic import BaseModel, ConfigDict, Field

from phronesis.core.errors import ConceptStoreError, RetrievalError
from phronesis.core.ports import Embedder, SearchMode, Vectors
from phronesis.core.retrieval import Passage, SearchRequest
from phronesis.index.embedders import embed
from phronesis.index.rerank import Reranker
from phronesis.tools.knowledge.snapshot import Found, Snapshot
from phronesis.tools.knowledge.store import Store
from phronesis.tools.knowledge.vectors import agree

NO_EMBEDDER = "there is no embedder: the search is lexical"


class SearchOptions(BaseModel):
    """How a knowledge base is searched."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    mode: Literal["dense", "lexical", "hybrid"] = "hybrid"
    """By vectors, by words, or by the ranks of both."""
    candidates: int = Field(default=20, ge=1)
    """Chunks that each side proposes, and that a reranker reads; at least as many as are asked for."""
    rerank: str = "none"
    """``none``, or a cross-encoder: a folder, or a name in the models folder."""


class Searcher:
    """Searches one version of a knowledge base; safe in threads. Owns the store it is given."""

    def __init__(
        self, store: Store, options: SearchOptions, embedder: Embedder | None, reranker: Reranker | None = None
    ) -> None:
        """Without an embedder every search is lexical. Raises EmbedderMismatch when the vectors are another's."""
        self._store = store
        self._options = options
        self._reranker = reranker
        self._embedder = None if options.mode == "lexical" else embedder
        if self._embedder is not None:
            agree(store, self._embedder)
        self.snapshot = Snapshot(store)
        self.degraded: str | None = None
        """Why the search is less than was asked for; None = it is not."""
        if options.mode != "lexical":
            self._settle()

    def _settle(self) -> None:
        name, whole, embedded = self._store.path.parent.name, len(self.snapshot), self.snapshot.embedded
        if self._embedder is None:
            self.degraded = NO_EMBEDDER
        elif whole and not embedded:
            self.degraded = f"no chunk has a vector, the search is lexical: phronesis kb reembed {name}"
            self._embedder = None
        elif embedded < whole:
            self.degraded = f"{whole - embedded} of {whole} chunks have no vector yet: phronesis kb reembed {name}"

    @property
    def mode(self) -> SearchMode:
        """What is done; ``lexical`` where vectors are not to be had."""
        return self._options.mode if self._embedder is not None else "lexical"

    @property
    def fingerprint(self) -> str:
        """16 hex digits over documents, chunks, embedder and options."""
        vectors = self.snapshot.fingerprint if self._embedder is not None else None
        whole = [self.snapshot.contents, self.mode, self._options.candidates]
        whole += [vectors[1].key if vectors else "", self.snapshot.embedded if vectors else 0]
        whole.append(self._reranker.id if self._reranker else "")
        return hashlib.blake2b(orjson.dumps(whole), digest_size=8).hexdigest()

    def search(self, requests: Sequence[SearchRequest]) -> tuple[tuple[Passage, ...], ...]:
        """The passages of each request, best first. Raises RetrievalError."""
        asked = [request.query for request in requests if request.query.strip() and request.k]
        vectors = self._embedded(list(dict.fromkeys(asked))) if len(self.snapshot) else {}
        return tuple(self._one(request, vectors.get(request.query)) for request in requests)

    def _embedded(self, queries: Sequence[str]) -> dict[str, Vectors]:
        if self._embedder is None or not queries:
            return {}
        try:
            return dict(zip(queries, embed(self._embedder, queries, queries=True), strict=True))
        except ConceptStoreError as error:
            raise RetrievalError(error.message, mend=error.mend) from error

    def _one(self, request: SearchRequest, vector: Vectors | None) -> tuple[Passage, ...]:
        if not request.k:
            return ()
        found = self.snapshot.search(
            request.query,
            vector,
            request.k if self._reranker is None else max(request.k, self._options.candidates),
            mode=self.mode,
            where=request.where,
            wide=self._options.candidates,
        )
        if self._reranker is not None and found:
            scores = self._reranker.scores(request.query, self.snapshot.texts([hit.row for hit in found]))
            again = [Found(hit.row, round(score, 6)) for hit, score in zip(found, scores, strict=True)]
            found = sorted(again, key=lambda hit: (-hit.score, hit.row))[: request.k]
        return self.snapshot.passages(found)

    def close(self) -> None:
        self._store.close()
