"""ReAct: the model thinks, calls tools, reads what they bring, and so on until it answers.

Paper: ReAct: Synergizing Reasoning and Acting in Language Models (Yao et al. 2022, arXiv 2210.03629). With ``tracker`` the
Budget Tracker of Budget-Aware Tool-Use Enables Effective Agent Scaling (arXiv 2511.17006); with ``min_answers`` the
interaction scaling of Thinking vs. Doing (TTI, arXiv 2506.07976); with ``nudges`` the sequential baseline of the former.
Roles: agent, and context (sums up) with ``summary_after``.
Cost law (tried calls): calls = T + S, depth the same, for T turns, the one for the answer without tools included, and S
summaries. Tools: at most ``parallel_calls`` calls a turn, never more units than the budget.
Stopping: an answer is accepted (``finished``; ``agreed`` with ``stop_on_agreement``; ``nudged``), ``max_steps`` are taken
(``horizon``), too many turns in a row could not be used (``problems``), a limit or a tool's units are used up
(``budget:<limit>``), nothing came out (``failed``). The last three and ``nudged`` ask for the answer once without tools,
where a call is left for it.
Ties: none; the last answer that can be read counts. With ``at_horizon = "none"`` a run that stops before an answer is
accepted has no answer, unless a limit on calls, depth, tokens or seconds stopped it: then the best so far stands.
Differs from the papers: no few-shot examples; calls are those of the server's tool protocol, or JSON; calls of one turn run
side by side; the last call of a budget is kept for the answer. TTI's re-check comes after tool results, not screens. The
parallel baselines of 2511.17006 (a vote over runs) are not here.
At ``max_steps = 1`` without tools it is one attempt.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from langgraph.graph import END, START, StateGraph
from langgraph.graph.state import CompiledStateGraph
from langgraph.runtime import Runtime

from phronesis.agents.client.profile import Capability
from phronesis.graphs.context import RunContext
from phronesis.graphs.cost import CostLaw, Observable
from phronesis.graphs.nodes.agent_knobs import AgentKnobs
from phronesis.graphs.nodes.agent_loop import AgentLoop, Trace, spent_up
from phronesis.graphs.nodes.attempts import stop_reason
from phronesis.graphs.state import Outcome
from phronesis.graphs.strategy import Strategy


class ReactKnobs(AgentKnobs):
    """What can be set."""


class State(Outcome, total=False):
    """The agent's trace beside the outcome."""

    trace: Trace
    go: str
    """think, act or conclude."""


class Nodes:
    """The loop's steps over one set of knobs."""

    def __init__(self, knobs: ReactKnobs) -> None:
        self.loop = AgentLoop(knobs=knobs)

    async def think(self, state: State, runtime: Runtime[RunContext]) -> State:
        return self._next(runtime.context, await self.loop.think(runtime.context, runtime.context.root, _trace(state)))

    async def act(self, state: State, runtime: Runtime[RunContext]) -> State:
        return self._next(runtime.context, await self.loop.act(runtime.context, runtime.context.root, _trace(state)))

    async def conclude(self, state: State, runtime: Runtime[RunContext]) -> State:
        ctx = runtime.context
        trace = await self.loop.conclude(ctx, ctx.root, _trace(state))
        chosen = next((item for item in trace.answers if item.id == trace.accepted), None)
        spent = spent_up(ctx) if trace.ended == "exhausted" else None
        ended = f"budget:{spent}" if spent else "finished" if trace.ended == "answered" else trace.ended
        return {
            "trace": trace,
            "candidates": trace.answers,
            "answer": None if chosen is None else chosen.answer,
            "chosen": trace.answers[-1].id if chosen is None and trace.answers else trace.accepted,
            "stop": stop_reason(ctx, trace.answers, ended),
        }

    def _next(self, ctx: RunContext, trace: Trace) -> State:
        """The best so far is the last answer that can be read."""
        best = trace.readable[-1] if trace.readable else None
        return {
            "trace": trace,
            "go": "conclude" if trace.ended else "act" if trace.pending else "think",
            "candidates": trace.answers,
            "answer": None if best is None else best.answer,
            "chosen": None if best is None else best.id,
            "stop": stop_reason(ctx, trace.answers, "horizon"),
        }


def _trace(state: State) -> Trace:
    return state.get("trace") or Trace()


def build(knobs: ReactKnobs) -> CompiledStateGraph[Any, Any, Any, Any]:
    """START -> think -> act -> think ... -> conclude -> END."""
    nodes = Nodes(knobs)

    def route(state: State) -> str:
        return state["go"]

    graph = StateGraph(State, context_schema=RunContext)
    graph.add_node("think", nodes.think)
    graph.add_node("act", nodes.act)
    graph.add_node("conclude", nodes.conclude)
    graph.add_edge(START, "think")
    graph.add_conditional_edges("think", route, ["act", "think", "conclude"])
    graph.add_conditional_edges("act", route, ["think", "conclude"])
    graph.add_edge("conclude", END)
    return graph.compile()


def cost(knobs: ReactKnobs) -> CostLaw:
    return CostLaw(
        calls="T + S",
        depth="T + S",
        observables={
            "T": Observable("turns, the one for the answer without tools included", 1, knobs.most_turns),
            "S": Observable("summaries", 0, knobs.most_summaries),
        },
    )


def needs(knobs: ReactKnobs) -> Mapping[str, tuple[Capability, ...]]:
    return {"agent": (), **({"context": ()} if knobs.summary_after is not None else {})}


STRATEGY = Strategy(
    name="react",
    summary="thinks, calls tools and reads what they bring until it answers",
    paper="ReAct, arXiv 2210.03629; Budget Tracker, arXiv 2511.17006; TTI, arXiv 2506.07976",
    knobs=ReactKnobs,
    build=build,
    cost=cost,
    supersteps=lambda knobs: 2 * knobs.max_steps + 5,
    needs=needs,
    uses_tools=lambda knobs: True,
)
