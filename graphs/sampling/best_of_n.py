"""Best of n: n independent attempts, the one that a scorer likes best.

Papers: the oldest use of a verifier, Cobbe et al. 2021 (arXiv 2110.14168, there n = 100); the conventions are those of
Large Language Monkeys (arXiv 2407.21787) and Bag of Tricks (arXiv 2502.07191).
Roles: solver; those of the scorer, which may be any: of whole attempts, of steps (reduced to one figure), of attempts
together.
Cost law: calls = n + a u (a calls for each of u distinct readable texts) + S (steps, for a scorer of steps) + G (for a
scorer of attempts together), depth = 1 + what of the scorer waits for one another; n and 1 for a free scorer or n = 1.
Stopping: after scoring (``finished``), a limit (``budget:<limit>``: the best of those that were scored), ``failed``.
Ties: the attempt that was drawn first. Equal texts are scored once and share the score. An unreadable attempt scores 0
and is chosen only when no attempt can be read. Where the scorer failed for every attempt the majority decides and the
Result is ``degraded``; where it failed for some, those are not chosen.
Differs from the papers: the scorers are stand-ins for trained verifiers. With an imperfect scorer more attempts can do
harm (arXiv 2411.17501); ``phronesis scorers test`` says what a scorer is worth.
At n = 1 it is ``direct`` with this sampling; nothing is scored.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

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
from phronesis.graphs.nodes.attempts import alive, draw, stop_reason, unify_answers
from phronesis.graphs.nodes.ranking import rank, ranking_cost, ranking_logprobs, ranking_needs
from phronesis.graphs.policies.ranking import first_best
from phronesis.graphs.policies.reward import StepReduce
from phronesis.graphs.policies.voting import majority
from phronesis.graphs.state import Outcome
from phronesis.graphs.strategy import Knobs, Strategy


class BestOfNKnobs(Knobs):
    """What can be set."""

    n: int = Field(default=8, ge=1)
    """Attempts; the papers go from 100 to 10,000."""
    scorer: str = "signals"
    """Scorer, with its options: ``generative(votes=4)``; ``phronesis scorers list`` names them."""
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


def build(knobs: BestOfNKnobs) -> CompiledStateGraph[Any, Any, Any, Any]:
    """START -> sample -> score -> choose -> END."""
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
        return {"candidates": drawn, "answer": majority([item.answer for item in drawn]).winner}

    async def score(state: Outcome, runtime: Runtime[RunContext]) -> Outcome:
        ctx = runtime.context
        ranked = await rank(ctx, state["candidates"], scorer, reduce=knobs.step_reduce, branch=ctx.root)
        return {"candidates": ranked}

    async def choose(state: Outcome, runtime: Runtime[RunContext]) -> Outcome:
        ctx, candidates = runtime.context, state["candidates"]
        readable = [item for item in candidates if item.answer is not None]
        best = first_best([item.reward for item in readable])
        rule = "best_of_n" if best is not None else "majority"
        if best is None:
            best = majority([item.answer for item in readable]).leader
        chosen = readable[best] if best is not None else next(iter(alive(candidates)), None)
        answer, id = (None, None) if chosen is None else (chosen.answer, chosen.id)
        scores = {item.id: item.reward for item in readable if item.reward is not None}
        shown = {"rule": rule, "scores": scores, "answer": answer, "chosen": id}
        ctx.note("decision", "choice", shown)
        stop = stop_reason(ctx, candidates, "finished")
        return {"answer": answer, "chosen": id, "stop": stop}

    graph = StateGraph(Outcome, context_schema=RunContext)
    graph.add_node("sample", sample)
    graph.add_node("score", score)
    graph.add_node("choose", choose)
    graph.add_edge(START, "sample")
    graph.add_edge("sample", "score")
    graph.add_edge("score", "choose")
    graph.add_edge("choose", END)
    return graph.compile()


def cost(knobs: BestOfNKnobs) -> CostLaw:
    return ranking_cost(knobs.n, knobs.chosen_scorer)


def needs(knobs: BestOfNKnobs) -> Mapping[str, tuple[Capability, ...]]:
    return ranking_needs(knobs.n, knobs.chosen_scorer)


STRATEGY = Strategy(
    name="best_of_n",
    summary="n independent attempts, the one that a scorer likes best",
    paper="Training Verifiers to Solve Math Word Problems, arXiv 2110.14168",
    knobs=BestOfNKnobs,
    build=build,
    cost=cost,
    supersteps=lambda knobs: 5,
    needs=needs,
    scorers=lambda knobs: (knobs.scorer,),
)
