"""Self-consistency: k independent attempts, the most frequent answer.

Paper: Wang et al. 2022, Self-Consistency Improves Chain of Thought Reasoning (arXiv 2203.11171).
Roles: solver.
Cost law: calls = k, depth = 1.
Stopping: after k attempts (``finished``); with fewer when the budget or failures leave fewer.
Ties: the answer that was seen first. Answers that could not be read do not vote.
Differs from the paper: nothing known; equal answers are recognised by value (0.5 and 1/2), not by spelling.
At k = 1 it is ``direct`` with this sampling.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from langgraph.graph import END, START, StateGraph
from langgraph.graph.state import CompiledStateGraph
from langgraph.runtime import Runtime
from pydantic import Field

from phronesis.agents.client.profile import Capability
from phronesis.agents.solver import Solver
from phronesis.core.chat import Sampling
from phronesis.core.errors import BudgetExhausted
from phronesis.graphs.context import RunContext
from phronesis.graphs.cost import CostLaw
from phronesis.graphs.nodes.attempts import draw, stop_reason, unify_answers
from phronesis.graphs.policies.voting import majority
from phronesis.graphs.state import Outcome
from phronesis.graphs.strategy import Knobs, Strategy


class SelfConsistencyKnobs(Knobs):
    """What can be set."""

    k: int = Field(default=8, ge=1)
    """Attempts; the paper goes up to 40."""
    temperature: float = Field(default=0.7, ge=0)
    """The paper's."""
    top_p: float = Field(default=0.95, gt=0, le=1)
    """Nucleus mass."""
    max_tokens: int = Field(default=512, ge=1)
    """Longest attempt."""


def build(knobs: SelfConsistencyKnobs) -> CompiledStateGraph[Any, Any, Any, Any]:
    """START -> sample -> vote -> END."""
    sampling = Sampling(temperature=knobs.temperature, top_p=knobs.top_p, max_tokens=knobs.max_tokens)

    async def sample(state: Outcome, runtime: Runtime[RunContext]) -> Outcome:
        ctx = runtime.context
        solver = Solver(client=ctx.client_of("solver"), sampling=ctx.sampling("solver", sampling))
        try:
            drawn = await draw(ctx, solver, knobs.k, branch=ctx.root)
        except BudgetExhausted:
            drawn = ()
        return {"candidates": unify_answers(drawn, ctx.answers)}

    async def vote(state: Outcome, runtime: Runtime[RunContext]) -> Outcome:
        ctx, candidates = runtime.context, state["candidates"]
        outcome = majority([candidate.answer for candidate in candidates])
        chosen = None if outcome.leader is None else candidates[outcome.leader].id
        weights = outcome.weights
        ctx.note("vote", "vote", {"rule": "majority", "weights": weights, "answer": outcome.winner, "chosen": chosen})
        stop = stop_reason(ctx, candidates, "finished")
        return {"answer": outcome.winner, "chosen": chosen, "stop": stop}

    graph = StateGraph(Outcome, context_schema=RunContext)
    graph.add_node("sample", sample)
    graph.add_node("vote", vote)
    graph.add_edge(START, "sample")
    graph.add_edge("sample", "vote")
    graph.add_edge("vote", END)
    return graph.compile()


def cost(knobs: SelfConsistencyKnobs) -> CostLaw:
    return CostLaw(calls="k", depth="1", constants={"k": knobs.k})


def needs(knobs: SelfConsistencyKnobs) -> Mapping[str, tuple[Capability, ...]]:
    return {"solver": ()}


STRATEGY = Strategy(
    name="self_consistency",
    summary="k independent attempts, the most frequent answer",
    paper="Self-Consistency, arXiv 2203.11171",
    knobs=SelfConsistencyKnobs,
    build=build,
    cost=cost,
    supersteps=lambda knobs: 4,
    needs=needs,
)
