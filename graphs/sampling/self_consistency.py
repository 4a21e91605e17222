"""Self-consistency: k independent attempts, the most frequent answer.

Paper: Wang et al. 2022, Self-Consistency Improves Chain of Thought Reasoning (arXiv 2203.11171), with the weighted votes of
its table 1: each attempt counts 1 (``count``, the paper's best and its method), or its length-normalised probability
exp(mean log-probability), summed (``probability``; over distinct texts this is the perplexity consistency of RPC, arXiv
2510.15444, without its pruning), or averaged per answer (``mean_probability``, the paper's worst: it forgets how many agree).
Roles: solver.
Cost law: calls = k, depth = 1, whatever the weights.
Stopping: after k attempts (``finished``); with fewer when the budget or failures leave fewer.
Ties: the answer that was seen first. Answers that could not be read do not vote. An attempt without log-probabilities (a
server that left them out) counts with the mean of the others.
Differs from the paper: nothing known; equal answers are recognised by value (0.5 and 1/2), not by spelling.
At k = 1 it is ``direct`` with this sampling.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from langgraph.graph import END, START, StateGraph
from langgraph.graph.state import CompiledStateGraph
from langgraph.runtime import Runtime
from pydantic import Field

from phronesis.agents.client.profile import Capability
from phronesis.agents.solver import Solver
from phronesis.core.chat import Sampling
from phronesis.core.errors import BudgetExhausted
from phronesis.core.result import Candidate
from phronesis.graphs.context import RunContext
from phronesis.graphs.cost import CostLaw
from phronesis.graphs.nodes.attempts import draw, stop_reason, unify_answers
from phronesis.graphs.policies.voting import weighted_vote
from phronesis.graphs.state import Outcome
from phronesis.graphs.strategy import Knobs, Strategy

Weights = Literal["count", "probability", "mean_probability"]


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
    weights: Weights = "count"
    """What an attempt's vote counts: count (the paper's), probability or mean_probability (both need logprobs, no calls)."""


def build(knobs: SelfConsistencyKnobs) -> CompiledStateGraph[Any, Any, Any, Any]:
    """START -> sample -> vote -> END."""
    sampling = Sampling(temperature=knobs.temperature, top_p=knobs.top_p, max_tokens=knobs.max_tokens)

    async def sample(state: Outcome, runtime: Runtime[RunContext]) -> Outcome:
        ctx = runtime.context
        logprobs = int(knobs.weights != "count")
        solver = Solver(client=ctx.client_of("solver"), sampling=ctx.sampling("solver", sampling), logprobs=logprobs)
        try:
            drawn = await draw(ctx, solver, knobs.k, branch=ctx.root)
        except BudgetExhausted:
            drawn = ()
        return {"candidates": unify_answers(drawn, ctx.answers)}

    async def vote(state: Outcome, runtime: Runtime[RunContext]) -> Outcome:
        ctx, candidates = runtime.context, state["candidates"]
        answers = [candidate.answer for candidate in candidates]
        outcome = weighted_vote(answers, vote_weights(answers, candidates, knobs.weights))
        chosen = None if outcome.leader is None else candidates[outcome.leader].id
        weights, rule = outcome.weights, "majority" if knobs.weights == "count" else knobs.weights
        ctx.note("vote", "vote", {"rule": rule, "weights": weights, "answer": outcome.winner, "chosen": chosen})
        stop = stop_reason(ctx, candidates, "finished")
        return {"answer": outcome.winner, "chosen": chosen, "stop": stop}

    graph = StateGraph(Outcome, context_schema=RunContext)
    graph.add_node("sample", sample)
    graph.add_node("vote", vote)
    graph.add_edge(START, "sample")
    graph.add_edge("sample", "vote")
    graph.add_edge("vote", END)
    return graph.compile()


def vote_weights(answers: Sequence[str | None], candidates: Sequence[Candidate], weights: Weights) -> list[float]:
    """One weight per attempt, 0 or more, so that their sums per answer are what the mode compares."""
    if weights == "count":
        return [1.0] * len(candidates)
    known = [math.exp(item.mean_logprob) for item in candidates if item.mean_logprob is not None]
    neutral = math.fsum(known) / len(known) if known else 1.0
    found = [neutral if item.mean_logprob is None else math.exp(item.mean_logprob) for item in candidates]
    if weights == "probability":
        return found
    voters = Counter(answers)
    return [weight / voters[answer] for weight, answer in zip(found, answers, strict=True)]


def cost(knobs: SelfConsistencyKnobs) -> CostLaw:
    return CostLaw(calls="k", depth="1", constants={"k": knobs.k})


def needs(knobs: SelfConsistencyKnobs) -> Mapping[str, tuple[Capability, ...]]:
    return {"solver": () if knobs.weights == "count" else ("logprobs",)}


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
