"""The tools ``search`` and ``open_passage``: the recipe's documents, searched by an agent.

Pure: a run is held to the documents it began with. What passages say is data; whoever shows it to a model labels it so.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Protocol, cast

from pydantic import Field

from phronesis.core.errors import ConfigurationError, ToolError
from phronesis.core.retrieval import Passage, Retriever, SearchRequest
from phronesis.core.tool import Tool, ToolEntry, ToolOutput, ToolSurroundings
from phronesis.tools.function_tool import tool
from phronesis.tools.options import ToolOptions
from phronesis.tools.threads import in_thread

_MOST_QUERIES = 20
_MOST_PASSAGES = 50


class SearchOptions(ToolOptions):
    """How much a search shows."""

    k: int = Field(default=5, ge=1, le=_MOST_PASSAGES)
    """Passages a query, where the model names no number."""
    open: bool = True
    """Whether passages can be opened by their ids, where the retriever can."""


class OpensPassages(Protocol):
    """A retriever that knows its passages by id."""

    async def passages(self, ids: Sequence[str]) -> tuple[Passage, ...]:
        """Those that there are, in the order asked for, with more of what stands around them where it can."""
        ...


async def _open(options: SearchOptions, around: ToolSurroundings) -> Sequence[Tool]:
    if around.retriever is None:
        raise ConfigurationError(
            "the tool 'search' needs documents, and the recipe names none",
            mend='name a knowledge base: --kb NAME, or [retrieval] kb = "NAME" (phronesis kb list)',
        )
    retriever = await in_thread(around.retriever)
    tools: list[Tool] = [_search_tool(retriever, options.k)]
    if options.open and callable(getattr(retriever, "passages", None)):
        tools.append(_open_tool(cast(OpensPassages, retriever)))
    return tools


def _search_tool(retriever: Retriever, usual: int) -> Tool:
    @tool(name="search", pure=True, units="queries", timeout=120)
    async def search(
        queries: Annotated[
            list[str], Field(min_length=1, max_length=_MOST_QUERIES, description="Each is searched by itself.")
        ],
        k: Annotated[int, Field(ge=1, le=_MOST_PASSAGES, description="Passages a query.")] = usual,
    ) -> ToolOutput:
        """Searches the documents and returns the passages that fit each query best, numbered, with their ids."""
        found = await retriever.search([SearchRequest(query=query, k=k) for query in queries])
        return _shown(queries, found)

    return search


def _open_tool(retriever: OpensPassages) -> Tool:
    @tool(name="open_passage", pure=True, timeout=60)
    async def open_passage(
        ids: Annotated[list[str], Field(min_length=1, max_length=_MOST_QUERIES, description="As `search` shows them.")],
    ) -> ToolOutput:
        """Returns passages by their ids."""
        found = await retriever.passages(ids)
        missing = [name for name in ids if name not in {passage.id for passage in found}]
        if not found:
            raise ToolError(f"no passage has the id {missing[0]!r}", mend="give ids that `search` has shown")
        lines = [_entry(number, passage) for number, passage in enumerate(found, 1)]
        lines += [f"[no passage has the id {name!r}]" for name in missing]
        return ToolOutput(text="\n\n".join(lines), data={"ids": [item.id for item in found]}, passages=tuple(found))

    return open_passage


def _shown(queries: Sequence[str], found: Sequence[Sequence[Passage]]) -> ToolOutput:
    """Numbers run through all queries; a passage that an earlier query showed is named only."""
    numbers: dict[str, int] = {}
    passages: list[Passage] = []
    blocks = []
    for query, hits in zip(queries, found, strict=True):
        parts = [f"Query: {query}"] if len(queries) > 1 else []
        for passage in hits:
            if passage.id in numbers:
                parts.append(f"[{numbers[passage.id]}] again")
                continue
            numbers[passage.id] = len(numbers) + 1
            passages.append(passage)
            parts.append(_entry(numbers[passage.id], passage))
        blocks.append("\n\n".join(parts if hits else [*parts, f"Nothing was found for {query!r}."]))
    ids = [[passage.id for passage in hits] for hits in found]
    return ToolOutput(text="\n\n".join(blocks), data={"ids": ids}, passages=tuple(passages))


def _entry(number: int, passage: Passage) -> str:
    where = f"{passage.source}:{passage.start}-{passage.end}" if passage.source and passage.end else passage.source
    named = " · ".join(part for part in (passage.title, where) if part)
    return f"[{number}] {passage.id}{f' ({named})' if named else ''}\n{passage.text}"


ENTRY = ToolEntry("search", "searches the recipe's documents; opens passages by id", SearchOptions, _open)
