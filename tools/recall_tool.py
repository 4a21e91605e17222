"""The tool ``recall``: what the run's concept memory knows of something. Reads only; not pure, because a memory grows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from pydantic import Field

from phronesis.core.concept import Concept, Hit
from phronesis.core.errors import ConfigurationError
from phronesis.core.tool import Tool, ToolEntry, ToolOutput, ToolSurroundings
from phronesis.tools.function_tool import tool
from phronesis.tools.options import ToolOptions
from phronesis.tools.threads import in_thread

_MOST = 20


class RecallOptions(ToolOptions):
    """How much is recalled."""

    k: int = Field(default=3, ge=1, le=_MOST)
    """Concepts a query, where the model names no number."""


async def _open(options: RecallOptions, around: ToolSurroundings) -> Sequence[Tool]:
    memory = around.memory
    if memory is None:
        raise ConfigurationError(
            "the tool 'recall' needs a memory, and the run has none", mend='set memory.mode="read", or --session NAME'
        )

    @tool(name="recall", timeout=60)
    async def recall(
        query: Annotated[str, Field(description="What it should be about.")],
        k: Annotated[int, Field(ge=1, le=_MOST, description="Concepts at most.")] = options.k,
    ) -> ToolOutput:
        """Returns lessons that earlier tasks left in memory and that fit the query. They may be wrong or not apply."""
        hits = await in_thread(lambda: memory().recall(query, k=k))
        if not hits:
            return ToolOutput(text=f"Nothing in memory fits {query!r}.", data={"ids": []})
        text = "\n\n".join(_entry(number, hit) for number, hit in enumerate(hits, 1))
        return ToolOutput(text=text, data={"ids": [hit.id for hit in hits]})

    return (recall,)


def _entry(number: int, hit: Hit) -> str:
    lines = [f"[{number}] {hit.concept.name or hit.id}", *_lines(hit.concept)]
    return "\n".join(lines)


def _lines(concept: Concept) -> list[str]:
    lines = [f"When: {concept.situation}"] if concept.situation else []
    lines.append(f"Do: {concept.suggestion}")
    lines += [f"Avoid: {item}" for item in concept.avoid]
    return lines


ENTRY = ToolEntry("recall", "concepts of the run's memory that fit a query", RecallOptions, _open)
