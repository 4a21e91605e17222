"""The retriever ``kb``: a knowledge base behind the port, as it stood when the retriever was opened."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from pydantic import Field

from phronesis.core.retrieval import Passage, RetrieverEntry, SearchRequest
from phronesis.core.settings import Settings
from phronesis.tools.knowledge.base import open_searcher
from phronesis.tools.knowledge.search import Searcher, SearchOptions


class KnowledgeBaseOptions(SearchOptions):
    """What may be written behind ``kb``."""

    name: str = Field(min_length=1)
    """Of the knowledge base."""


class KnowledgeBaseRetriever:
    """A Retriever. Searches run in threads; documents added while it is open are found by the next one."""

    def __init__(self, name: str, searcher: Searcher) -> None:
        self.name = name
        self._searcher = searcher
        self.fingerprint = searcher.fingerprint

    @property
    def degraded(self) -> str | None:
        """Why the search is less than was asked for; None = it is not."""
        return self._searcher.degraded

    async def search(self, requests: Sequence[SearchRequest]) -> tuple[tuple[Passage, ...], ...]:
        """The passages of each request; all queries are embedded in one batch."""
        return await asyncio.to_thread(self._searcher.search, list(requests))

    async def close(self) -> None:
        await asyncio.to_thread(self._searcher.close)


def open_kb(options: KnowledgeBaseOptions, settings: Settings) -> KnowledgeBaseRetriever:
    """Raises ConfigurationError when there is no such knowledge base, EmbedderMismatch for another embedder's vectors."""
    how = SearchOptions(**options.model_dump(exclude={"name"}))
    return KnowledgeBaseRetriever(options.name, open_searcher(options.name, how, settings))


ENTRY = RetrieverEntry(
    name="kb",
    summary="a knowledge base of this home: words and vectors (phronesis kb add NAME FILES...)",
    options=KnowledgeBaseOptions,
    open=open_kb,
)
