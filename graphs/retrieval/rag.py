"""RAG: one search with the question, one reading of what it finds. The baseline of everything that searches.

Method: retrieve, then read (Lewis et al. 2020, Retrieval-Augmented Generation, arXiv 2005.11401), without training.
Roles: reader.
Cost law: calls = 1, depth = 1; 1 unit of ``search`` (none at k = 0).
Stopping: after the reading (``finished``; ``ungrounded`` where no passage was found), ``budget:<limit>``, ``failed``.
Ties: passages of one score stand in the order of their ids.
At k = 0 it is a closed book: no search, no passage.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from langgraph.graph import END, START, StateGraph
from langgraph.graph.state import CompiledStateGraph
from langgraph.runtime import Runtime
from pydantic import Field

from phronesis.agents.client.profile import Capability
from phronesis.agents.reader import Reader
from phronesis.core.chat import Sampling
from phronesis.core.errors import BudgetExhausted
from phronesis.core.retrieval import Passage
from phronesis.graphs.context import RunContext
from phronesis.graphs.cost import CostLaw
from phronesis.graphs.nodes.reading import ended, look_up, note_citations, read
from phronesis.graphs.state import Outcome
from phronesis.graphs.strategy import Knobs, Strategy


class RagKnobs(Knobs):
    """What can be set."""

    k: int = Field(default=5, ge=0)
    """Passages that are read."""
    passage_characters: int = Field(default=1500, ge=50)
    """Longest passage in the prompt; what is longer is cut."""
    best_last: bool = False
    """Puts the best passage last, next to the question."""
    temperature: float = Field(default=0.0, ge=0)
    """0 = the model's likeliest answer."""
    max_tokens: int = Field(default=300, ge=1)
    """Longest answer."""


class State(Outcome, total=False):
    """What the search leaves to the reading."""

    passages: tuple[Passage, ...]


def build(knobs: RagKnobs) -> CompiledStateGraph[Any, Any, Any, Any]:
    """START -> search -> read -> END."""
    sampling = Sampling(temperature=knobs.temperature, top_p=1.0, max_tokens=knobs.max_tokens)

    async def search(state: State, runtime: Runtime[RunContext]) -> State:
        ctx = runtime.context
        try:
            (found,) = await look_up(ctx, [ctx.task.messages[-1].content], k=knobs.k, branch=ctx.root)
        except BudgetExhausted:
            found = ()
        return {"passages": found}

    async def answer(state: State, runtime: Runtime[RunContext]) -> Outcome:
        ctx, passages = runtime.context, state["passages"]
        reader = Reader(
            client=ctx.client_of("reader"),
            sampling=ctx.sampling("reader", sampling),
            characters=knobs.passage_characters,
            best_last=knobs.best_last,
            closed=not knobs.k,
        )
        try:
            candidate = await read(ctx, reader, passages, branch=ctx.root)
        except BudgetExhausted:
            return ended(ctx, None, grounded=bool(passages))
        note_citations(ctx, candidate.id)
        return ended(ctx, candidate, grounded=bool(passages) or not knobs.k)

    graph = StateGraph(State, context_schema=RunContext)
    graph.add_node("search", search)
    graph.add_node("read", answer)
    graph.add_edge(START, "search")
    graph.add_edge("search", "read")
    graph.add_edge("read", END)
    return graph.compile()


def cost(knobs: RagKnobs) -> CostLaw:
    return CostLaw(calls="1", depth="1")


def needs(knobs: RagKnobs) -> Mapping[str, tuple[Capability, ...]]:
    return {"reader": ()}


STRATEGY = Strategy(
    name="rag",
    summary="one search with the question, one answer from what it finds",
    paper="RAG, arXiv 2005.11401 (baseline)",
    knobs=RagKnobs,
    build=build,
    cost=cost,
    supersteps=lambda knobs: 4,
    needs=needs,
    retrieves=lambda knobs: knobs.k > 0,
)
