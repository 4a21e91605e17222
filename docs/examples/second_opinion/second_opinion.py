"""Second opinion: two attempts; a third one only when they differ.

Paper: none. It is the smallest vote that can save calls: two equal answers are a majority of three already.
Roles: solver.
Cost law: calls = 2 + D, depth = 1 + D, with D = 1 when a third attempt was made and 0 otherwise.
Stopping: two readable answers agree (``agreed``), three attempts are made (``decided``), a limit (``budget:<limit>``),
``failed``.
Ties: three different answers go to the first. An attempt that failed or cannot be read agrees with nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from langgraph.graph import END, START, StateGraph
from langgraph.graph.state import CompiledStateGraph
from langgraph.runtime import Runtime
from pydantic import Field

from phronesis.agents.client.profile import Capability
from phronesis.agents.solver import Solver
from phronesis.core.budget import Branch
from phronesis.core.chat import Sampling
from phronesis.core.errors import BudgetExhausted
from phronesis.core.result import Candidate
from phronesis.graphs.context import RunContext
from phronesis.graphs.cost import CostLaw, Observable
from phronesis.graphs.nodes.attempts import draw, stop_reason, unify_answers
from phronesis.graphs.policies.voting import majority
from phronesis.graphs.state import Outcome
from phronesis.graphs.strategy import Knobs, Strategy


class SecondOpinionKnobs(Knobs):
    """What can be set."""

    temperature: float = Field(default=0.7, ge=0)
    """At 0 both attempts are the same and the second opinion is worth nothing."""
    max_tokens: int = Field(default=512, ge=1)
    """Longest attempt."""


def agree(answers: Sequence[str | None]) -> bool:
    """Whether there are two answers or more, all readable and equal."""
    return len(answers) > 1 and None not in answers and len(set(answers)) == 1


def build(knobs: SecondOpinionKnobs) -> CompiledStateGraph[Any, Any, Any, Any]:
    """START -> pair -> (third | END); third -> END."""
    sampling = Sampling(temperature=knobs.temperature, max_tokens=knobs.max_tokens)

    async def attempts(ctx: RunContext, n: int, *, branch: Branch, first: int) -> tuple[Candidate, ...]:
        solver = Solver(client=ctx.client_of("solver"), sampling=ctx.sampling("solver", sampling))
        try:
            return await draw(ctx, solver, n, branch=branch, first=first)
        except BudgetExhausted:
            return ()

    def voted(ctx: RunContext, key: str, candidates: tuple[Candidate, ...], otherwise: str) -> Outcome:
        outcome = majority([item.answer for item in candidates])
        chosen = None if outcome.leader is None else candidates[outcome.leader].id
        ctx.note("vote", key, {"weights": outcome.weights, "answer": outcome.winner, "chosen": chosen})
        stop = stop_reason(ctx, candidates, otherwise)
        return {"candidates": candidates, "answer": outcome.winner, "chosen": chosen, "stop": stop}

    async def pair(state: Outcome, runtime: Runtime[RunContext]) -> Outcome:
        ctx = runtime.context
        drawn = await attempts(ctx, 2, branch=ctx.root, first=0)
        return voted(ctx, "pair", unify_answers(drawn, ctx.answers), "agreed")

    async def third(state: Outcome, runtime: Runtime[RunContext]) -> Outcome:
        ctx = runtime.context
        drawn = await attempts(ctx, 1, branch=ctx.root.at("third"), first=2)
        return voted(ctx, "third", unify_answers((*state["candidates"], *drawn), ctx.answers), "decided")

    def after_pair(state: Outcome) -> str:
        return END if agree([item.answer for item in state["candidates"]]) else "third"

    graph = StateGraph(Outcome, context_schema=RunContext)
    graph.add_node("pair", pair)
    graph.add_node("third", third)
    graph.add_edge(START, "pair")
    graph.add_conditional_edges("pair", after_pair, ["third", END])
    graph.add_edge("third", END)
    return graph.compile()


def cost(knobs: SecondOpinionKnobs) -> CostLaw:
    return CostLaw(calls="2 + D", depth="1 + D", observables={"D": Observable("third attempts made", 0, 1)})


def needs(knobs: SecondOpinionKnobs) -> Mapping[str, tuple[Capability, ...]]:
    return {"solver": ()}


STRATEGY = Strategy(
    name="second_opinion",
    summary="two attempts, a third only when they differ",
    paper="none",
    knobs=SecondOpinionKnobs,
    build=build,
    cost=cost,
    supersteps=lambda knobs: 4,
    needs=needs,
)
