"""Score bank: the recorded attempts of an earlier run, scored by any scorers. Draws nothing and chooses by majority.

It is what ``phronesis scorers test`` runs, so that a comparison of scorers is a run like any other: journalled, resumed after
a kill, replayed at no cost. Source: ours.
Roles: those of the scorers.
Cost law: calls = C, the sum of what the scorers need for the attempts they are shown; depth = D.
Stopping: after the last scorer (``finished``), or a limit.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from langgraph.graph import END, START, StateGraph
from langgraph.graph.state import CompiledStateGraph
from langgraph.runtime import Runtime
from pydantic import field_validator

from phronesis.agents.client.profile import Capability
from phronesis.agents.scorers.table import choose_scorer, united
from phronesis.core.result import Candidate
from phronesis.graphs.context import RunContext
from phronesis.graphs.cost import CostLaw, Observable
from phronesis.graphs.nodes.attempts import stop_reason, unify_answers
from phronesis.graphs.nodes.scoring import rate
from phronesis.graphs.policies.voting import majority
from phronesis.graphs.state import Outcome
from phronesis.graphs.strategy import Knobs, Strategy

MOST_CALLS = 100_000


class ScoreBankKnobs(Knobs):
    """What can be set."""

    bank: str
    """Id of the run whose attempts are scored."""
    scorers: tuple[str, ...] = ("self_certainty",)
    """Scorers, each with its options: ``generative(votes=4)``."""

    @field_validator("scorers")
    @classmethod
    def _known(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for text in value:
            choose_scorer(text)
        return value


def build(knobs: ScoreBankKnobs) -> CompiledStateGraph[Any, Any, Any, Any]:
    """START -> load -> score -> vote -> END."""

    async def load(state: Outcome, runtime: Runtime[RunContext]) -> Outcome:
        ctx = runtime.context

        async def read() -> list[dict[str, Any]]:
            return [item.model_dump(mode="json") for item in ctx.bank(knobs.bank)]

        found = await ctx.effects.effect(f"{ctx.prefix}bank", {"bank": knobs.bank, "task": ctx.task.id}, read)
        unscored: dict[str, Any] = {"outcome": None, "step_scores": (), "reward": None, "scores": {}}
        candidates = tuple(Candidate.model_validate(item).model_copy(update=unscored) for item in found)
        return {"candidates": unify_answers(candidates, ctx.answers)}

    async def score(state: Outcome, runtime: Runtime[RunContext]) -> Outcome:
        ctx, candidates = runtime.context, tuple(state["candidates"])
        found: dict[str, dict[str, float | None]] = {item.id: {} for item in candidates}
        for index, text in enumerate(knobs.scorers):
            rated = await rate(ctx, candidates, choose_scorer(text), branch=ctx.root.at(f"s{index}"))
            for item in rated:
                found[item.id][text] = item.reward
        scored = tuple(item.model_copy(update={"scores": found[item.id]}) for item in candidates)
        ctx.note("score", "bank", {"scores": found})
        return {"candidates": scored}

    async def vote(state: Outcome, runtime: Runtime[RunContext]) -> Outcome:
        ctx, candidates = runtime.context, state["candidates"]
        outcome = majority([candidate.answer for candidate in candidates])
        chosen = None if outcome.leader is None else candidates[outcome.leader].id
        return {"answer": outcome.winner, "chosen": chosen, "stop": stop_reason(ctx, candidates, "finished")}

    graph = StateGraph(Outcome, context_schema=RunContext)
    graph.add_node("load", load)
    graph.add_node("score", score)
    graph.add_node("vote", vote)
    graph.add_edge(START, "load")
    graph.add_edge("load", "score")
    graph.add_edge("score", "vote")
    graph.add_edge("vote", END)
    return graph.compile()


def cost(knobs: ScoreBankKnobs) -> CostLaw:
    free = all(choose_scorer(text).calls.free for text in knobs.scorers)
    most = 0 if free else MOST_CALLS
    return CostLaw(
        calls="C",
        depth="D",
        observables={
            "C": Observable("calls of the scorers over the recorded attempts", 0, most),
            "D": Observable("calls of the scorers that wait for one another", 0, most),
        },
    )


def needs(knobs: ScoreBankKnobs) -> Mapping[str, tuple[Capability, ...]]:
    return united(choose_scorer(text).roles for text in knobs.scorers)


STRATEGY = Strategy(
    name="score_bank",
    summary="the recorded attempts of an earlier run, scored again; draws nothing",
    paper="ours",
    knobs=ScoreBankKnobs,
    build=build,
    cost=cost,
    supersteps=lambda knobs: 5,
    needs=needs,
    scorers=lambda knobs: knobs.scorers,
)
