"""DRAG: demonstrations with their documents, then the question's own documents, read in one call.

Paper: Inference Scaling for Long-Context Retrieval Augmented Generation (Yue et al. 2024, arXiv 2410.04343).
Roles: reader.
Cost law: calls = A, depth = A, with A = 1 for the answer and 0 where the prompt is longer than ``max_prompt_tokens``;
1 unit of ``search`` (none at k = 0).
Stopping: after the reading (``finished``; ``ungrounded`` where no passage was found), ``budget:<limit>``, ``failed`` (also
where the prompt is too long, which is found out before the call).
Ties: passages of one score stand in the order of their ids; the best one stands last, next to the question.
Differs from the paper: documents are cut by characters at a word (1,024 tokens there); demonstrations are the first m of a
file, each with its first k documents; the reply may say a sentence before its answer.
At k = 0 and m = 0 it is a closed book, and at m = 0 ``rag`` with the best passage last. The effective context length, the
prompt's tokens, is in the decision ``context``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from langgraph.graph import END, START, StateGraph
from langgraph.graph.state import CompiledStateGraph
from langgraph.runtime import Runtime
from pydantic import Field

from phronesis.agents.client.profile import Capability
from phronesis.agents.demonstrations import Demonstration, rendered
from phronesis.agents.reader import Reader
from phronesis.core.chat import Sampling
from phronesis.core.errors import BudgetExhausted
from phronesis.core.retrieval import Passage
from phronesis.core.site import Site
from phronesis.core.task import AnswerFormat
from phronesis.graphs.context import RunContext
from phronesis.graphs.cost import CostLaw, Observable
from phronesis.graphs.nodes.attempts import to_candidate
from phronesis.graphs.nodes.demonstrating import DemonstratedKnobs, demonstrations_of, measured, pin, too_long
from phronesis.graphs.nodes.reading import ended, look_up, note_citations, read
from phronesis.graphs.state import Outcome
from phronesis.graphs.strategy import Strategy


class DragKnobs(DemonstratedKnobs):
    """What can be set."""

    k: int = Field(default=5, ge=0)
    """Documents of the question, and of each demonstration. The paper: 0 to 1000."""
    max_prompt_tokens: int | None = Field(default=None, ge=1)
    """L_max: a longer prompt is rejected before the call. The paper: 16k to 5M."""
    passage_characters: int = Field(default=1500, ge=50)
    """Longest document in the prompt; what is longer is cut. The paper: 1,024 tokens."""
    temperature: float = Field(default=0.0, ge=0)
    """0 = the model's likeliest answer."""
    max_tokens: int = Field(default=300, ge=1)
    """Longest answer."""


class State(Outcome, total=False):
    """What the search leaves to the reading."""

    passages: tuple[Passage, ...]


def _examples(items: Sequence[Demonstration], format: AnswerFormat, knobs: DragKnobs) -> str:
    """The demonstrations, each with its answer as the reader is to end."""

    def answered(item: Demonstration) -> str:
        said = item.answer.strip()
        return f"Answer: {said}" if format in ("text", "code") else f"Answer: \\boxed{{{said}}}"

    return rendered(items, answered, k=knobs.k, characters=knobs.passage_characters)


def build(knobs: DragKnobs) -> CompiledStateGraph[Any, Any, Any, Any]:
    """START -> search -> read -> END. Reads the file of demonstrations; raises ConfigurationError where it is wrong."""
    sampling = Sampling(temperature=knobs.temperature, top_p=1.0, max_tokens=knobs.max_tokens)
    found_demos = demonstrations_of(knobs)
    items = () if found_demos is None else found_demos.first(knobs.m)

    async def search(state: State, runtime: Runtime[RunContext]) -> State:
        ctx = runtime.context
        await pin(ctx, found_demos, knobs.m)
        try:
            (found,) = await look_up(ctx, [ctx.task.messages[-1].content], k=knobs.k, branch=ctx.root)
        except BudgetExhausted:
            found = ()
        return {"passages": found}

    async def answer(state: State, runtime: Runtime[RunContext]) -> Outcome:
        ctx, passages = runtime.context, state["passages"]
        examples = _examples(items, ctx.answers.format, knobs)
        client, grounded = ctx.client_of("reader"), bool(state["passages"]) or not knobs.k
        reader = Reader(
            client=client,
            sampling=ctx.sampling("reader", sampling),
            characters=knobs.passage_characters,
            best_last=True,
            closed=not knobs.k,
        )
        if knobs.max_prompt_tokens is not None:
            site = Site(ctx.root, "reader")
            request = reader.request(ctx.task, ctx.answers.format, passages, memory=ctx.memory, demonstrations=examples)
            length = await measured(ctx, client, request, f"{site.key}=length")
            if length > knobs.max_prompt_tokens:
                error = too_long(site, length, knobs.max_prompt_tokens, "max_prompt_tokens")
                rejected = to_candidate(error, id="c0", space=ctx.answers, where=site.where)
                return ended(ctx, rejected, grounded=True)
        try:
            candidate = await read(ctx, reader, passages, branch=ctx.root, demonstrations=examples)
        except BudgetExhausted:
            return ended(ctx, None, grounded=grounded)
        spent = ctx.root.account.by_role["reader"].prompt_tokens
        shown = {"rule": "context", "documents": len(passages), "demonstrations": knobs.m, "input_tokens": spent}
        ctx.note("decision", "context", shown)
        note_citations(ctx, candidate.id)
        return ended(ctx, candidate, grounded=grounded)

    graph = StateGraph(State, context_schema=RunContext)
    graph.add_node("search", search)
    graph.add_node("read", answer)
    graph.add_edge(START, "search")
    graph.add_edge("search", "read")
    graph.add_edge("read", END)
    return graph.compile()


def cost(knobs: DragKnobs) -> CostLaw:
    least = 1 if knobs.max_prompt_tokens is None else 0
    return CostLaw(
        calls="A", depth="A", observables={"A": Observable("answers: none where the prompt is too long", least, 1)}
    )


def needs(knobs: DragKnobs) -> Mapping[str, tuple[Capability, ...]]:
    return {"reader": ()}


STRATEGY = Strategy(
    name="drag",
    summary="demonstrations with their documents, then the question's documents, read in one call",
    paper="DRAG, arXiv 2410.04343",
    knobs=DragKnobs,
    build=build,
    cost=cost,
    supersteps=lambda knobs: 4,
    needs=needs,
    retrieves=lambda knobs: knobs.k > 0,
)
