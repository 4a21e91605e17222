"""Self-refine: one attempt; the same model gives feedback on it and revises it, until the feedback finds it right.

Paper: Madaan et al. 2023, Self-Refine: Iterative Refinement with Self-Feedback (arXiv 2303.17651).
Roles: solver (the attempt), reviewer (feedback on the newest attempt, which ends in a verdict), refiner (a revision,
with all earlier attempts and the feedback on each in view). By default one model plays all three.
Cost law (tried calls): calls = 1 + F + R, depth the same, for F times feedback and R revisions; R is F, or less by the
feedback that ends it and by feedback that was lost.
Stopping: the verdict is that the answer is right (``satisfied``), ``rounds`` are done (``rounds``), with
``until_unchanged`` a revision gives the answer it had (``unchanged``), a limit (``budget:<limit>``), nothing came out
(``failed``).
Ties: none; the answer is that of the newest attempt that can be read.
Differs from the paper: the stop phrase is a verdict line that is read, in whatever case it is written; without one, or
while there is no readable answer, the attempt counts as not right. A revision that cannot be read replaces no readable
attempt: the next feedback is on the one before it. A round whose feedback or revision failed changes nothing. No
few-shot examples.
At rounds = 0 it is ``direct`` with this sampling. On a model that finds nearly everything right it stops at once
(docs/refinement.md).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from langgraph.graph import END, START, StateGraph
from langgraph.graph.state import CompiledStateGraph
from langgraph.runtime import Runtime
from pydantic import Field

from phronesis.agents.client.profile import Capability
from phronesis.agents.self_refine import FeedbackGiver, SelfRefiner
from phronesis.agents.solver import Solver
from phronesis.core.chat import Sampling
from phronesis.core.errors import BudgetExhausted, ModelError
from phronesis.core.result import Candidate
from phronesis.core.site import Site
from phronesis.graphs.context import RunContext
from phronesis.graphs.cost import CostLaw, Observable
from phronesis.graphs.nodes.attempts import brief, draw, failure_of, stop_reason, to_candidate, unify_answers
from phronesis.graphs.state import Outcome
from phronesis.graphs.strategy import Knobs, Strategy


class SelfRefineKnobs(Knobs):
    """What can be set."""

    rounds: int = Field(default=4, ge=0)
    """T, most revisions. The paper's: 4."""
    until_unchanged: bool = False
    """Stops when a revision gives the answer it had; not in the paper."""
    temperature: float = Field(default=0.7, ge=0)
    """Of all three turns. The paper's: 0.7."""
    top_p: float = Field(default=0.95, gt=0, le=1)
    """Nucleus mass."""
    max_tokens: int = Field(default=512, ge=1)
    """Longest attempt or revision."""
    feedback_tokens: int = Field(default=300, ge=1)
    """Longest feedback. It must leave room for the verdict in its last line."""


class State(Outcome, total=False):
    """The machine's state; ``chosen`` is the attempt that the next feedback is on."""

    round: int
    """Rounds begun."""
    said: tuple[tuple[str, str], ...]
    """(id of an attempt, feedback on it), oldest first."""
    go: str
    """feedback, refine or end: where the machine goes."""


class Nodes:
    """The machine's nodes over one set of knobs; they hold nothing else."""

    def __init__(self, knobs: SelfRefineKnobs) -> None:
        self.knobs = knobs
        self.sampling = Sampling(temperature=knobs.temperature, top_p=knobs.top_p, max_tokens=knobs.max_tokens)

    async def solve(self, state: State, runtime: Runtime[RunContext]) -> State:
        ctx = runtime.context
        solver = Solver(client=ctx.client_of("solver"), sampling=ctx.sampling("solver", self.sampling))
        try:
            drawn = await draw(ctx, solver, 1, branch=ctx.root)
        except BudgetExhausted:
            drawn = ()
        first = next((item for item in drawn if item.status != "failed"), None)
        start: State = {"candidates": drawn, "answer": None, "chosen": None, "round": 0, "said": ()}
        if first is None:
            return {**start, **self._end(ctx, drawn, "failed")}
        return {**start, "answer": first.answer, "chosen": first.id, **self._next(ctx, drawn, 0)}

    async def feedback(self, state: State, runtime: Runtime[RunContext]) -> State:
        ctx, number = runtime.context, state["round"] + 1
        current = _current(state)
        site = Site(ctx.root.at(f"r{number}"), "reviewer")
        sampling = ctx.sampling("reviewer", replace(self.sampling, max_tokens=self.knobs.feedback_tokens))
        giver = FeedbackGiver(client=ctx.client_of("reviewer"), sampling=sampling)
        try:
            found = await giver.feedback(ctx.task, current.text, site=site)
        except BudgetExhausted:
            return self._end(ctx, state["candidates"], "rounds")
        except ModelError as error:
            ctx.report(failure_of(error, site.where))
            return {"round": number, **self._next(ctx, state["candidates"], number)}
        satisfied = found.satisfied and current.answer is not None
        shown = {"rule": "feedback", "of": current.id, "satisfied": satisfied, "answer": current.answer}
        ctx.note("decision", f"feedback{number}", shown)
        said = (*state["said"], (current.id, found.text))
        if satisfied:
            return {"round": number, "said": said, **self._end(ctx, state["candidates"], "satisfied")}
        return {"round": number, "said": said, "go": "refine"}

    async def refine(self, state: State, runtime: Runtime[RunContext]) -> State:
        ctx, number, current = runtime.context, state["round"], _current(state)
        texts = {item.id: item.text for item in state["candidates"]}
        said = [(texts[id], feedback) for id, feedback in state["said"]]
        site = Site(ctx.root.at(f"r{number}"), "refiner")
        refiner = SelfRefiner(client=ctx.client_of("refiner"), sampling=ctx.sampling("refiner", self.sampling))
        try:
            reply = await refiner.refine(ctx.task, ctx.answers.format, said, site=site)
        except BudgetExhausted:
            return self._end(ctx, state["candidates"], "rounds")
        made = to_candidate(
            reply,
            id=f"c0.r{number}",
            space=ctx.answers,
            where=site.where,
            parents=(current.id,),
            round=number,
            notes=said[-1][1],
        )
        candidates = unify_answers((*state["candidates"], made), ctx.answers)
        revised = candidates[-1]
        ctx.note("node", f"revised{number}", {"candidates": [brief(revised)]})
        if revised.status == "failed" or (revised.answer is None and current.answer is not None):
            return {"candidates": candidates, **self._next(ctx, candidates, number)}
        found: State = {"candidates": candidates, "answer": revised.answer, "chosen": revised.id}
        if self.knobs.until_unchanged and revised.answer is not None and revised.answer == current.answer:
            return {**found, **self._end(ctx, candidates, "unchanged")}
        return {**found, **self._next(ctx, candidates, number)}

    def _next(self, ctx: RunContext, candidates: tuple[Candidate, ...], done: int) -> State:
        """Another round, or the end."""
        go = "feedback" if done < self.knobs.rounds else "end"
        return {"go": go, "stop": stop_reason(ctx, candidates, "rounds")}

    def _end(self, ctx: RunContext, candidates: tuple[Candidate, ...], reason: str) -> State:
        return {"go": "end", "stop": stop_reason(ctx, candidates, reason)}


def _current(state: State) -> Candidate:
    return next(item for item in state["candidates"] if item.id == state["chosen"])


def build(knobs: SelfRefineKnobs) -> CompiledStateGraph[Any, Any, Any, Any]:
    """START -> solve -> feedback -> refine -> feedback ... -> END."""
    nodes = Nodes(knobs)

    def route(state: State) -> str:
        return END if state["go"] == "end" else state["go"]

    graph = StateGraph(State, context_schema=RunContext)
    graph.add_node("solve", nodes.solve)
    graph.add_node("feedback", nodes.feedback)
    graph.add_node("refine", nodes.refine)
    graph.add_edge(START, "solve")
    graph.add_conditional_edges("solve", route, ["feedback", END])
    graph.add_conditional_edges("feedback", route, ["refine", "feedback", END])
    graph.add_conditional_edges("refine", route, ["feedback", END])
    return graph.compile()


def cost(knobs: SelfRefineKnobs) -> CostLaw:
    return CostLaw(
        calls="1 + F + R",
        depth="1 + F + R",
        observables={
            "F": Observable("times feedback was asked for", 0, knobs.rounds),
            "R": Observable("revisions asked for: F, less what was right or lost", 0, knobs.rounds),
        },
    )


def needs(knobs: SelfRefineKnobs) -> Mapping[str, tuple[Capability, ...]]:
    later = ("reviewer", "refiner") if knobs.rounds else ()
    return {"solver": (), **dict.fromkeys(later, ())}


STRATEGY = Strategy(
    name="self_refine",
    summary="one attempt; the same model gives feedback and revises until it finds it right",
    paper="Self-Refine, arXiv 2303.17651",
    knobs=SelfRefineKnobs,
    build=build,
    cost=cost,
    supersteps=lambda knobs: 4 + 2 * knobs.rounds,
    needs=needs,
)
