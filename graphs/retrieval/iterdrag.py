"""IterDRAG: sub-questions, each searched for and answered, over one growing block of documents, until the final answer.

Paper: Inference Scaling for Long-Context Retrieval Augmented Generation (Yue et al. 2024, arXiv 2410.04343).
Roles: reader (every line of the trace).
Cost law (tried calls): calls = S + A + F + X, depth the same, for S lines that ask on or answer (1 an iteration), A answers
of sub-questions, F = 1 where the final answer had to be forced, and X replies asked for again because they were no line of a
wanted kind. With nothing lost at most 2 n + 1. 1 unit of ``search`` for the question and for each sub-question.
Stopping: the model gives its final answer (``finished``; ``ungrounded`` where no passage was found). It is forced after n
iterations (``iterations``), by a sub-question that repeats the question or an earlier line (``repeated``), by a line that
failed (``lost``), and by a limit on calls, depth or input tokens that leaves room for one call (``budget:<limit>``,
``max_input_tokens``). ``failed``: nothing came out. Where not even the final answer can be asked for, the last
intermediate answer stands.
Ties: passages of one score stand in the order of their ids; of documents of equal rank the one found first is evicted.
Documents: one block, each document once, in the order of the searches, the best of the newest last. Above ``max_documents``
or ``max_prompt_tokens`` the lowest ranks go.
Differs from the paper: an iteration is a line of its own and, after a sub-question, a second call that answers it; how
documents of several searches are merged is ours, for the paper does not say; a repeated sub-question ends the chain, for at
temperature 0 it would go on repeating; the forced answer is a schema with one kind (``json``) or a prefilled prefix
(``lines``; ``forced_by = "prompt"`` for servers that continue no turn); demonstrations are shown with all their documents.
With ``least`` the first iterations have to ask (ours). At n = 0 it is one forced answer from the question's own documents.
The decision ``trace`` holds the pairs and the effective context length, the input tokens of all calls.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from langgraph.graph import END, START, StateGraph
from langgraph.graph.state import CompiledStateGraph
from langgraph.runtime import Runtime
from pydantic import Field

from phronesis.agents.client.profile import Capability
from phronesis.agents.demonstrations import Demonstrations
from phronesis.agents.trace_reader import Form, Line, LineKind, TraceReader
from phronesis.core.chat import Sampling
from phronesis.core.errors import BudgetExhausted, ModelError
from phronesis.core.retrieval import Passage
from phronesis.core.site import Site
from phronesis.graphs.context import RunContext
from phronesis.graphs.cost import CostLaw, Observable
from phronesis.graphs.nodes.attempts import failure_of
from phronesis.graphs.nodes.demonstrating import DemonstratedKnobs, demonstrations_of, pin
from phronesis.graphs.nodes.reading import look_up
from phronesis.graphs.policies.documents import Place, with_found, within
from phronesis.graphs.policies.evidence import distinct
from phronesis.graphs.retrieval.iterdrag_trace import Tracer, ended_with
from phronesis.graphs.state import Outcome
from phronesis.graphs.strategy import Strategy


class IterDragKnobs(DemonstratedKnobs):
    """What can be set."""

    n: int = Field(default=4, ge=0)
    """Most iterations before the final answer is forced. The paper: up to 5."""
    least: int = Field(default=0, ge=0)
    """Sub-questions that are asked before a final answer is let through. The paper: 0, with demonstrations that show how to
    ask; without any, small models answer at once."""
    k: int = Field(default=5, ge=0)
    """Documents of the question. The paper: 0 to 1000."""
    k_sub: int = Field(default=3, ge=0)
    """Documents of each sub-question. The paper: the same k."""
    form: Form = "json"
    """How a line is constrained: ``json``, a schema that names its kinds; ``lines``, a prefix and the end of the line."""
    forced_by: Literal["prefill", "prompt"] = "prefill"
    """In ``lines``, how a line of a settled kind is forced; ``prompt`` for servers that continue no turn."""
    max_documents: int | None = Field(default=None, ge=1)
    """Most documents in the prompt; the lowest ranks go first."""
    max_prompt_tokens: int | None = Field(default=None, ge=1)
    """Longest prompt of one call; documents go until it fits, and one that does not fit without any is rejected."""
    max_input_tokens: int | None = Field(default=None, ge=1)
    """L_max: input tokens of all calls together, never exceeded. The paper: 16k to 5M."""
    passage_characters: int = Field(default=1500, ge=50)
    """Longest document in the prompt; what is longer is cut. The paper: 1,024 tokens."""
    temperature: float = Field(default=0.0, ge=0)
    """0 = the model's likeliest line."""
    max_tokens: int = Field(default=200, ge=1)
    """Longest line."""


class State(Outcome, total=False):
    """The machine's state."""

    round: int
    """Iterations begun."""
    seen: tuple[Passage, ...]
    """Everything found so far; number 1 is the first."""
    block: tuple[Place, ...]
    """What of it is shown."""
    asked: tuple[str, ...]
    """The question and the sub-questions so far."""
    trace: tuple[Line, ...]
    final: Line | None
    """The model's own final answer."""
    why: str
    """Why the chain ends."""
    go: str
    """step, follow or finish: where the machine goes."""


@dataclass(frozen=True)
class Nodes:
    """The machine's nodes over one set of knobs."""

    knobs: IterDragKnobs
    demos: Demonstrations | None

    def _tracer(self, ctx: RunContext) -> Tracer:
        knobs = self.knobs
        sampling = Sampling(temperature=knobs.temperature, top_p=1.0, max_tokens=knobs.max_tokens)
        reader = TraceReader(
            client=ctx.client_of("reader"),
            sampling=ctx.sampling("reader", sampling),
            form=knobs.form,
            prefilled=knobs.forced_by == "prefill",
        )
        return Tracer(
            ctx=ctx, knobs=knobs, reader=reader, demos=() if self.demos is None else self.demos.first(knobs.m)
        )

    async def search(self, state: State, runtime: Runtime[RunContext]) -> State:
        """The question's own documents."""
        ctx = runtime.context
        await pin(ctx, self.demos, self.knobs.m)
        question = ctx.task.messages[-1].content
        start: State = {"answer": None, "chosen": None, "round": 0, "seen": (), "block": (), "asked": (question,)}
        start |= {"trace": (), "final": None, "why": "", "stop": "finished"}
        try:
            (found,) = await look_up(ctx, [question], k=self.knobs.k, branch=ctx.root)
        except BudgetExhausted:
            found = ()
        go, why = ("step", "") if self.knobs.n else ("finish", "finished")
        return {**start, **self._with(start, found), "go": go, "why": why}

    async def step(self, state: State, runtime: Runtime[RunContext]) -> State:
        """One line: a sub-question, or the final answer."""
        ctx, number = runtime.context, state["round"] + 1
        tracer = self._tracer(ctx)
        if tracer.last_call():
            return {"go": "finish", "why": "last call"}
        site = Site(ctx.root.at(f"r{number}"), "reader", "step")
        kinds: tuple[LineKind, ...] = ("sub_query",) if number <= self.knobs.least else ("sub_query", "final")
        try:
            block, line = await tracer.line(site, kinds, state["seen"], state["block"], state["trace"])
        except BudgetExhausted:
            return {"go": "finish", "why": "exhausted"}
        except ModelError as error:
            ctx.report(failure_of(error, site.where))
            return {"round": number, "go": "finish", "why": "lost"}
        if line is None:
            return {"go": "finish", "why": "max_input_tokens"}
        after: State = {"round": number, "block": block}
        if line.kind == "final":
            return {**after, "final": line, "go": "finish", "why": "finished"}
        if line.kind == "intermediate":
            return {**after, "trace": (*state["trace"], line), **self._next(number)}
        if not distinct([line.text], (*state["asked"], *(item.text for item in state["trace"])))[0]:
            return {**after, "go": "finish", "why": "repeated"}
        return {**after, "trace": (*state["trace"], line), "asked": (*state["asked"], line.text), "go": "follow"}

    async def follow(self, state: State, runtime: Runtime[RunContext]) -> State:
        """The sub-question's documents, and its answer."""
        ctx, number = runtime.context, state["round"]
        branch, tracer = ctx.root.at(f"r{number}"), self._tracer(ctx)
        try:
            (found,) = await look_up(ctx, [state["trace"][-1].text], k=self.knobs.k_sub, branch=branch)
        except BudgetExhausted:
            found = ()
        after = self._with(state, found)
        unanswered: State = {**after, "trace": state["trace"][:-1]}
        if tracer.last_call():
            return {**unanswered, "go": "finish", "why": "last call"}
        site = Site(branch, "reader", "intermediate")
        try:
            block, line = await tracer.line(site, ("intermediate",), after["seen"], after["block"], state["trace"])
        except BudgetExhausted:
            return {**unanswered, "go": "finish", "why": "exhausted"}
        except ModelError as error:
            ctx.report(failure_of(error, site.where))
            return {**unanswered, **self._next(number)}
        if line is None:
            return {**unanswered, "go": "finish", "why": "max_input_tokens"}
        return {**after, "block": block, "trace": (*state["trace"], line), **self._next(number)}

    async def finish(self, state: State, runtime: Runtime[RunContext]) -> State:
        """The final answer, forced where the model gave none."""
        ctx, line, why = runtime.context, state["final"], state["why"]
        block, error, tracer = state["block"], None, self._tracer(ctx)
        if line is None and why != "exhausted":
            site = Site(ctx.root, "reader", "final")
            try:
                block, line = await tracer.line(site, ("final",), state["seen"], block, state["trace"], last=True)
            except BudgetExhausted:
                why = "exhausted"
            except ModelError as lost:
                error = lost
        forced = state["final"] is None
        shown = tracer.said(state["trace"], line, why, forced, state["seen"], block)
        ctx.note("decision", "trace", shown)
        searched = self.knobs.k > 0 or (self.knobs.k_sub > 0 and len(state["asked"]) > 1)
        found = ended_with(ctx, state["trace"], line, error, seen=state["seen"], why=why, closed=not searched)
        return {**found, "block": block}  # type: ignore[typeddict-item]  # an Outcome, and the machine's own field

    def _next(self, number: int) -> State:
        return {"go": "step"} if number < self.knobs.n else {"go": "finish", "why": "iterations"}

    def _with(self, state: State, found: tuple[Passage, ...]) -> State:
        """The documents with those of a search: numbered in the order found, each once."""
        seen = {passage.id: passage for passage in state["seen"]}
        seen.update((passage.id, passage) for passage in found if passage.id not in seen)
        numbers = {id: number for number, id in enumerate(seen, start=1)}
        block = with_found(state["block"], [numbers[passage.id] for passage in found], state["round"])
        return {"seen": tuple(seen.values()), "block": within(block, self.knobs.max_documents)}


def build(knobs: IterDragKnobs) -> CompiledStateGraph[Any, Any, Any, Any]:
    """START -> search -> step -> follow -> step ... -> finish -> END. Reads the file of demonstrations; raises
    ConfigurationError where it is wrong."""
    nodes = Nodes(knobs, demonstrations_of(knobs))

    def route(state: State) -> str:
        return state["go"]

    graph = StateGraph(State, context_schema=RunContext)
    graph.add_node("search", nodes.search)
    graph.add_node("step", nodes.step)
    graph.add_node("follow", nodes.follow)
    graph.add_node("finish", nodes.finish)
    graph.add_edge(START, "search")
    graph.add_conditional_edges("search", route, ["step", "finish"])
    graph.add_conditional_edges("step", route, ["step", "follow", "finish"])
    graph.add_conditional_edges("follow", route, ["step", "finish"])
    graph.add_edge("finish", END)
    return graph.compile()


def cost(knobs: IterDragKnobs) -> CostLaw:
    n, limited = knobs.n, knobs.max_prompt_tokens is not None or knobs.max_input_tokens is not None
    return CostLaw(
        calls="S + A + F + X",
        depth="S + A + F + X",
        observables={
            "S": Observable("lines that ask on or answer", 0 if limited else min(1, n), n),
            "A": Observable("answers of sub-questions", 0, n),
            "F": Observable("final answers that were forced", 0 if n or limited else 1, 1),
            "X": Observable("replies asked for again: no line of a wanted kind", 0, 2 * n + 1),
        },
    )


def needs(knobs: IterDragKnobs) -> Mapping[str, tuple[Capability, ...]]:
    return {"reader": ("prefill",) if knobs.form == "lines" and knobs.forced_by == "prefill" else ()}


STRATEGY = Strategy(
    name="iterdrag",
    summary="sub-questions, each searched for and answered, over one growing block of documents",
    paper="IterDRAG, arXiv 2410.04343",
    knobs=IterDragKnobs,
    build=build,
    cost=cost,
    supersteps=lambda knobs: 2 * knobs.n + 5,
    needs=needs,
    retrieves=lambda knobs: knobs.k > 0 or (knobs.n > 0 and knobs.k_sub > 0),
)
