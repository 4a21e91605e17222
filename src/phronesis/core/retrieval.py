"""Retrieval: passages, and the port through which strategies and tools search for them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from pydantic import BaseModel, ConfigDict, Field

from phronesis.core.settings import Settings


class Passage(BaseModel):
    """A piece of a document, and where in it it stands."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str
    """Stable while the document's text is: what memories, citations and metrics speak of."""
    text: str
    title: str = ""
    source: str = ""
    """The document: a path inside the knowledge base, an address."""
    start: int = Field(default=0, ge=0)
    """First character in the document."""
    end: int = Field(default=0, ge=0)
    """Character behind the last one; 0 = the source has no positions."""
    score: float = 0.0
    """Of the search that found it; higher is nearer, comparable within one search only."""
    facts: dict[str, Any] = {}
    """What filters may ask for."""


class Evidence(BaseModel):
    """A fact that was kept from a passage."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    fact: str
    source: str
    """Id of the passage it stands in."""
    title: str = ""
    """The passage's."""
    found: str = ""
    """Path of the branch that kept it."""


class SearchRequest(BaseModel):
    """One search."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    query: str
    k: int = Field(default=5, ge=0)
    where: Mapping[str, tuple[str, ...]] = {}
    """Only passages whose fact of that name is one of these values, compared as text."""


class Retriever(Protocol):
    """Searches documents."""

    @property
    def name(self) -> str: ...

    @property
    def fingerprint(self) -> str:
        """Another one when the documents, the chunking or the embedder changed; a run is not continued over another."""
        ...

    async def search(self, requests: Sequence[SearchRequest]) -> tuple[tuple[Passage, ...], ...]:
        """The passages of each request, nearest first, without duplicates; ties by id. Nothing found is an empty tuple, and
        so is what an empty query finds. Raises RetrievalError."""
        ...

    async def close(self) -> None: ...


@dataclass(frozen=True)
class RetrieverEntry:
    """A kind of retriever, found by name. Entry-point group ``phronesis.retrievers``."""

    name: str
    summary: str
    """One line for people."""
    options: type[BaseModel]
    """What may be written behind the name: ``name(option=value)``."""
    open: Callable[[Any, Settings], Retriever]
    """Options and settings to a retriever; may read files, so it is called in a thread. Raises ConfigurationError or
    SetupError where there is nothing to search in."""
