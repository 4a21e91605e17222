"""One chain's path through a refinement round: review -> refine -> score."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, TypedDict

from langgraph.graph import END, START, StateGraph
from langgraph.graph.state import CompiledStateGraph
from langgraph.runtime import Runtime

from phronesis.agents.refiner import Refiner
from phronesis.agents.reviewer import Reviewer
from phronesis.agents.scorers.table import ChosenScorer
from phronesis.agents.steps import annotate, without_scores
from phronesis.core.budget import Branch
from phronesis.core.chat import Completion, Sampling
from phronesis.core.errors import BudgetExhausted, ModelError
from phronesis.core.result import Candidate
from phronesis.core.site import Site
from phronesis.graphs.context import RunContext
from phronesis.graphs.nodes.attempts import failure_of, to_candidate
from phronesis.graphs.nodes.scoring import score_candidate, scorer_context
from phronesis.graphs.policies.reward import StepReduce


class ChainState(TypedDict, total=False):
    """State of one branch."""

    chain: Candidate
    """What is refined."""
    round: int
    branch: Branch
    """Path and sub-account."""
    feedback: str
    """The review; empty when there is none."""
    revised: Candidate
    """The new chain; a failed one when a call failed."""


def build_chain(
    *,
    sampling: Sampling,
    review_sampling: Sampling,
    logprobs: int,
    outcome: ChosenScorer,
    steps: ChosenScorer,
    reduce: StepReduce,
) -> CompiledStateGraph[Any, Any, Any, Any]:
    """START -> review -> refine -> score -> END; a failed review ends at once.

    2 calls, plus those of the scorers; depth the same. The reviewer sees every step with its score in tenths, the refiner
    these and the review. Failures and limits become a failed candidate that names its parent."""

    def lost(state: ChainState, error: ModelError | BudgetExhausted, role: str) -> ChainState:
        failure = failure_of(error, f"{state['branch'].path} {role}")
        revised = Candidate(
            id=_next_id(state), status="failed", error=failure, parents=(state["chain"].id,), round=state["round"]
        )
        return {"revised": revised}

    async def review(state: ChainState, runtime: Runtime[RunContext]) -> ChainState:
        ctx = runtime.context
        client, site = ctx.client_of("reviewer"), Site(state["branch"], "reviewer")
        reviewer = Reviewer(client=client, sampling=ctx.sampling("reviewer", review_sampling))
        try:
            return {"feedback": await reviewer.review(ctx.task, _annotated(state["chain"]), site=site)}
        except (ModelError, BudgetExhausted) as error:
            return {"feedback": "", **lost(state, error, "reviewer")}

    async def refine(state: ChainState, runtime: Runtime[RunContext]) -> ChainState:
        ctx = runtime.context
        client, site = ctx.client_of("refiner"), Site(state["branch"], "refiner")
        refiner = Refiner(client=client, sampling=ctx.sampling("refiner", sampling), logprobs=logprobs)
        annotated, feedback = _annotated(state["chain"]), state["feedback"]
        try:
            reply = await refiner.refine(ctx.task, ctx.answers.format, annotated, feedback, site=site)
        except BudgetExhausted as error:
            return lost(state, error, "refiner")
        if isinstance(reply, Completion):
            reply = replace(reply, text=without_scores(reply.text))
        revised = to_candidate(
            reply,
            id=_next_id(state),
            space=ctx.answers,
            prefill="Step 1:",
            where=site.where,
            parents=(state["chain"].id,),
            round=state["round"],
            notes=feedback,
        )
        return {"revised": revised}

    async def score(state: ChainState, runtime: Runtime[RunContext]) -> ChainState:
        ctx = runtime.context
        around = scorer_context(ctx)
        scored = await score_candidate(
            ctx,
            state["revised"],
            outcome=outcome.outcome(around),
            step=steps.step(around),
            reduce=reduce,
            branch=state["branch"],
        )
        return {"revised": scored}

    graph = StateGraph(ChainState, context_schema=RunContext)
    graph.add_node("review", review)
    graph.add_node("refine", refine)
    graph.add_node("score", score)
    graph.add_edge(START, "review")
    graph.add_conditional_edges("review", lambda state: "refine" if state["feedback"] else END, ["refine", END])
    graph.add_edge("refine", "score")
    graph.add_edge("score", END)
    return graph.compile()


def _annotated(chain: Candidate) -> str:
    """The steps with their scores; a chain that has none (unreadable answer) is shown with 0 behind each step."""
    steps = chain.steps or ("(the reply was empty)",)
    scores = chain.step_scores if len(chain.step_scores) == len(steps) else (0.0,) * len(steps)
    return annotate(steps, scores)


def _next_id(state: ChainState) -> str:
    return f"{state['chain'].id.split('.')[0]}.r{state['round']}"
