"""Weighted vote: n independent attempts; each answer gets the scores of the attempts that give it, the largest sum
wins.

Papers: the weighted vote of Li et al. 2022 (DiVeRSe, arXiv 2206.02336); Bag of Tricks (arXiv 2502.07191), whose
rescaling is ``scale = "min_max"``.
Roles: solver; those of the scorer, which may be any: of whole attempts, of steps (reduced to one figure), of attempts
together.
Cost law: calls = n + a u (a calls for each of u distinct readable texts) + S (steps, for a scorer of steps) + G (for a
scorer of attempts together), depth = 1 + what of the scorer waits for one another; n and 1 for a free scorer or n = 1.
Stopping: after the vote (``finished``), a limit (``budget:<limit>``: those that came out vote), ``failed``.
Ties: the answer that was seen first; of the winner's attempts the best-scored one is chosen, the first of equals. Equal
texts are scored once, share the score, and vote each. Unreadable attempts do not vote. An attempt whose scorer failed
counts with the mean of the others; where it failed for all, or all scores are equal, it is self_consistency
(``degraded`` says the former).
Differs from the papers: the scorers are stand-ins for trained verifiers.
At n = 1 it is ``direct`` with this sampling; nothing is scored.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from langgraph.graph import END, START, StateGraph
from langgraph.graph.state import CompiledStateGraph
from langgraph.runtime import Runtime
from pydantic import Field, field_validator

from phronesis.agents.client.profile import Capability
from phronesis.agents.scorers.table import ChosenScorer, choose_scorer
from phronesis.agents.solver import Solver
from phronesis.core.chat import Sampling
from phronesis.core.errors import BudgetExhausted
from phronesis.graphs.context import RunContext
from phronesis.graphs.cost import CostLaw
from phronesis.graphs.nodes.attempts import draw, stop_reason, unify_answers
from phronesis.graphs.nodes.ranking import rank, ranking_cost, ranking_logprobs, ranking_needs
from phronesis.graphs.policies import voting
from phronesis.graphs.policies.ranking import first_best, score_weights
from phronesis.graphs.policies.reward import StepReduce
from phronesis.graphs.state import Outcome
from phronesis.graphs.strategy import Knobs, Strategy


class WeightedVoteKnobs(Knobs):
    """What can be set."""

    n: int = Field(default=8, ge=1)
    """Attempts."""
    scorer: str = "signals"
    """Scorer, with its options: ``generative(votes=4)``; ``phronesis scorers list`` names them."""
    scale: Literal["raw", "min_max"] = "raw"
    """raw: scores as they are; min_max: the lowest of the task becomes 0 and the highest 1 (Bag of Tricks')."""
    step_reduce: StepReduce = "min"
    """How a step scorer's figures become one: min, prod, last, mean or geo_mean. search-and-learn's: last."""
    temperature: float = Field(default=0.7, ge=0)
    """Bag of Tricks': 0.7."""
    top_p: float = Field(default=0.95, gt=0, le=1)
    """Nucleus mass; Bag of Tricks': 0.9."""
    max_tokens: int = Field(default=512, ge=1)
    """Longest attempt."""

    @field_validator("scorer")
    @classmethod
    def _known(cls, value: str) -> str:
        choose_scorer(value)
        return value

    @property
    def chosen_scorer(self) -> ChosenScorer:
        return choose_scorer(self.scorer)


def build(knobs: WeightedVoteKnobs) -> CompiledStateGraph[Any, Any, Any, Any]:
    """START -> sample -> score -> vote -> END."""
    sampling = Sampling(temperature=knobs.temperature, top_p=knobs.top_p, max_tokens=knobs.max_tokens)
    scorer = knobs.chosen_scorer
    logprobs = ranking_logprobs(knobs.n, scorer)

    async def sample(state: Outcome, runtime: Runtime[RunContext]) -> Outcome:
        ctx = runtime.context
        solver = Solver(client=ctx.client_of("solver"), sampling=ctx.sampling("solver", sampling), logprobs=logprobs)
        try:
            drawn = unify_answers(await draw(ctx, solver, knobs.n, branch=ctx.root), ctx.answers)
        except BudgetExhausted:
            drawn = ()
        return {"candidates": drawn, "answer": voting.majority([item.answer for item in drawn]).winner}

    async def score(state: Outcome, runtime: Runtime[RunContext]) -> Outcome:
        ctx = runtime.context
        ranked = await rank(ctx, state["candidates"], scorer, reduce=knobs.step_reduce, branch=ctx.root)
        return {"candidates": ranked}

    async def vote(state: Outcome, runtime: Runtime[RunContext]) -> Outcome:
        ctx, candidates = runtime.context, state["candidates"]
        voters = [item for item in candidates if item.answer is not None]
        weights = score_weights([item.reward for item in voters], rescaled=knobs.scale == "min_max")
        outcome = voting.weighted_vote([item.answer for item in voters], weights)
        agreeing = [item for item in voters if item.answer == outcome.winner]
        best = first_best([item.reward for item in agreeing]) or 0
        chosen = agreeing[best].id if agreeing else None
        rule = "weighted" if any(item.reward is not None for item in voters) else "majority"
        shown = {"rule": rule, "weights": outcome.weights, "answer": outcome.winner, "chosen": chosen}
        ctx.note("vote", "vote", shown)
        stop = stop_reason(ctx, candidates, "finished")
        return {"answer": outcome.winner, "chosen": chosen, "stop": stop}

    graph = StateGraph(Outcome, context_schema=RunContext)
    graph.add_node("sample", sample)
    graph.add_node("score", score)
    graph.add_node("vote", vote)
    graph.add_edge(START, "sample")
    graph.add_edge("sample", "score")
    graph.add_edge("score", "vote")
    graph.add_edge("vote", END)
    return graph.compile()


def cost(knobs: WeightedVoteKnobs) -> CostLaw:
    return ranking_cost(knobs.n, knobs.chosen_scorer)


def needs(knobs: WeightedVoteKnobs) -> Mapping[str, tuple[Capability, ...]]:
    return ranking_needs(knobs.n, knobs.chosen_scorer)


STRATEGY = Strategy(
    name="weighted_vote",
    summary="n independent attempts, the answer with the largest sum of scores",
    paper="DiVeRSe, arXiv 2206.02336; Bag of Tricks, arXiv 2502.07191",
    knobs=WeightedVoteKnobs,
    build=build,
    cost=cost,
    supersteps=lambda knobs: 5,
    needs=needs,
    scorers=lambda knobs: (knobs.scorer,),
)
