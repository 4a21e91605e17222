"""Direct: one attempt, as the model gives it. The baseline every other strategy is compared with.

Roles: solver.
Cost law: calls = 1, depth = 1.
Stopping: after the attempt (``finished``), or ``budget:<limit>``, ``failed``.
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
from phronesis.graphs.nodes.attempts import draw, stop_reason
from phronesis.graphs.state import Outcome
from phronesis.graphs.strategy import Knobs, Strategy


class DirectKnobs(Knobs):
    """What can be set."""

    temperature: float = Field(default=0.0, ge=0)
    """0 = the model's likeliest attempt."""
    top_p: float = Field(default=1.0, gt=0, le=1)
    """Nucleus mass."""
    max_tokens: int = Field(default=512, ge=1)
    """Longest attempt."""


def build(knobs: DirectKnobs) -> CompiledStateGraph[Any, Any, Any, Any]:
    """START -> solve -> END."""
    sampling = Sampling(temperature=knobs.temperature, top_p=knobs.top_p, max_tokens=knobs.max_tokens)

    async def solve(state: Outcome, runtime: Runtime[RunContext]) -> Outcome:
        ctx = runtime.context
        solver = Solver(client=ctx.client_of("solver"), sampling=ctx.sampling("solver", sampling))
        try:
            candidates = await draw(ctx, solver, 1, branch=ctx.root)
        except BudgetExhausted:
            candidates = ()
        (answer, chosen) = (candidates[0].answer, candidates[0].id) if candidates else (None, None)
        stop = stop_reason(ctx, candidates, "finished")
        return {"candidates": candidates, "answer": answer, "chosen": chosen, "stop": stop}

    graph = StateGraph(Outcome, context_schema=RunContext)
    graph.add_node("solve", solve)
    graph.add_edge(START, "solve")
    graph.add_edge("solve", END)
    return graph.compile()


def cost(knobs: DirectKnobs) -> CostLaw:
    return CostLaw(calls="1", depth="1")


def needs(knobs: DirectKnobs) -> Mapping[str, tuple[Capability, ...]]:
    return {"solver": ()}


STRATEGY = Strategy(
    name="direct",
    summary="one attempt, as the model gives it",
    paper="baseline",
    knobs=DirectKnobs,
    build=build,
    cost=cost,
    supersteps=lambda knobs: 3,
    needs=needs,
)
