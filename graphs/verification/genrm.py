"""GenRM: S solutions, each graded by V verifications that reason before they judge.

Paper: When To Solve, When To Verify: Compute-Optimal Problem Solving and Generative Verification for LLM Reasoning (arXiv
2504.01005).
Roles: solver, verifier (agents/scorers/generative.py, framing ``teacher``).
Cost law: calls = S + V u for the u distinct readable texts that are verified, depth = 2; S and 1 where nothing
is: at V = 0, and when all readable attempts give one answer. In solutions, with lambda for the price of a verification:
C = S (1 + lambda V).
Stopping: after the choice (``finished``), a limit (``budget:<limit>``: those that were verified are chosen from; none: the
most frequent answer), ``failed``.
Ties: ``best``: the attempt whose answer was given most often, then the first; ``weighted``: the answer that was seen first,
and its best attempt. When all scores are equal either is self_consistency. Equal texts are verified once and share the
score. Unreadable attempts never win. A verification without a readable verdict is skipped, a text without any scores 0 (the
paper's). An attempt whose verifier failed is not chosen by ``best`` and counts with the mean of the others in ``weighted``;
where it failed for all, the majority decides (``degraded``).
Differs from the paper: the verifier is prompted, not fine-tuned; equal texts share their verifications and a single answer is
not verified; ties go to votes (the paper averages over random orders); ``budget`` is a rule drawn from its curves;
``top_groups`` is ours.
At V = 0 it is self_consistency, call for call.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from langgraph.graph import END, START, StateGraph
from langgraph.graph.state import CompiledStateGraph
from langgraph.runtime import Runtime
from pydantic import Field

from phronesis.agents.client.profile import Capability
from phronesis.agents.scorers.generative import GenerativeOptions, Reading
from phronesis.agents.scorers.table import ChosenScorer, choose_scorer
from phronesis.agents.solver import Solver
from phronesis.core.chat import Sampling
from phronesis.core.errors import BudgetExhausted
from phronesis.graphs.context import RunContext
from phronesis.graphs.cost import CostLaw, Observable
from phronesis.graphs.nodes.attempts import draw, stop_reason, unify_answers
from phronesis.graphs.nodes.ranking import rank, ranking_needs
from phronesis.graphs.policies.ranking import first_best, score_weights
from phronesis.graphs.policies.solve_or_verify import Split, best_supported, leading, split
from phronesis.graphs.policies.voting import majority, weighted_vote
from phronesis.graphs.state import Outcome
from phronesis.graphs.strategy import Knobs, Strategy


class GenrmKnobs(Knobs):
    """What can be set."""

    solutions: int = Field(default=8, ge=1)
    """S, attempts; the paper goes up to 256."""
    verifications: int = Field(default=2, ge=0)
    """V, verifications of each; 0 = self-consistency. The paper goes up to 32."""
    budget: int | None = Field(default=None, ge=1)
    """C, a budget in solutions, which decides S and V in their place: up to 32 only solutions, above that
    V = 2^round(0.4 log2 C) and S = C / (1 + lambda V). None = S and V as they are set."""
    lambda_: float = Field(default=1.0, ge=0)
    """What a verification costs, in solutions, when ``budget`` is split. The paper's: 1 prompted, 2 fine-tuned."""
    select: Literal["best", "weighted"] = "best"
    """best: the attempt with the highest score; weighted: the answer with the largest sum of scores."""
    reading: Reading = "verdict"
    """What a verification is worth: its verdict (1 or 0), the probability of a yes there, or hybrid (where that is known)."""
    top_groups: int | None = Field(default=None, ge=1)
    """m: only attempts with one of the m most frequent answers are verified and can win; None = all of them."""
    temperature: float = Field(default=0.7, ge=0)
    """Of attempts and verifications; the paper's."""
    top_p: float = Field(default=0.95, gt=0, le=1)
    """Nucleus mass of the attempts."""
    max_tokens: int = Field(default=512, ge=1)
    """Longest attempt. The paper's: 1024."""
    verification_tokens: int = Field(default=512, ge=16)
    """Longest verification. The paper's: 1024."""

    @property
    def spent(self) -> Split:
        """S and V as they are used; a single attempt is not verified."""
        found = Split(self.solutions, self.verifications) if self.budget is None else split(self.budget, self.lambda_)
        return found if found.solutions > 1 else Split(found.solutions, 0)

    @property
    def scorer(self) -> str | None:
        """The verifier; None = nothing is verified."""
        if not self.spent.verifications:
            return None
        given = {"reading": self.reading, "max_tokens": self.verification_tokens, "temperature": self.temperature}
        options = {"votes": self.spent.verifications, "framing": "teacher", **given}
        written = GenerativeOptions.model_validate(options).model_dump(exclude_defaults=True)
        return f"generative({', '.join(f'{name}={value}' for name, value in written.items())})"

    @property
    def chosen_scorer(self) -> ChosenScorer | None:
        return None if self.scorer is None else choose_scorer(self.scorer, kinds=("outcome",))


def build(knobs: GenrmKnobs) -> CompiledStateGraph[Any, Any, Any, Any]:
    """START -> sample -> verify -> choose -> END."""
    sampling = Sampling(temperature=knobs.temperature, top_p=knobs.top_p, max_tokens=knobs.max_tokens)
    scorer = knobs.chosen_scorer

    async def sample(state: Outcome, runtime: Runtime[RunContext]) -> Outcome:
        ctx = runtime.context
        solver = Solver(client=ctx.client_of("solver"), sampling=ctx.sampling("solver", sampling))
        try:
            drawn = unify_answers(await draw(ctx, solver, knobs.spent.solutions, branch=ctx.root), ctx.answers)
        except BudgetExhausted:
            drawn = ()
        return {"candidates": drawn, "answer": majority([item.answer for item in drawn]).winner}

    async def verify(state: Outcome, runtime: Runtime[RunContext]) -> Outcome:
        ctx, candidates = runtime.context, state["candidates"]
        listed = leading([item.answer for item in candidates], knobs.top_groups)
        if scorer is None or len(listed) < 2:
            return {}
        wanted = [item for item in candidates if item.answer is None or item.answer in listed]
        ranked = {item.id: item for item in await rank(ctx, wanted, scorer, reduce="min", branch=ctx.root)}
        return {"candidates": tuple(ranked.get(item.id, item) for item in candidates)}

    async def choose(state: Outcome, runtime: Runtime[RunContext]) -> Outcome:
        ctx, candidates = runtime.context, state["candidates"]
        listed = leading([item.answer for item in candidates], knobs.top_groups)
        voters = [item for item in candidates if item.answer in listed]
        answers, scores = [item.answer for item in voters], [item.reward for item in voters]
        scored = any(score is not None for score in scores)
        vote = weighted_vote(answers, score_weights(scores))
        best = best_supported(answers, scores) if knobs.select == "best" else None
        if best is None:
            agreeing = [index for index, answer in enumerate(answers) if answer == vote.winner]
            among = first_best([scores[index] for index in agreeing]) or 0
            best = agreeing[among] if agreeing else None
        answer, chosen = (None, None) if best is None else (voters[best].answer, voters[best].id)
        rule = f"genrm_{knobs.select}" if scored else "majority"
        ctx.note("vote", "vote", {"rule": rule, "weights": vote.weights, "answer": answer, "chosen": chosen})
        return {"answer": answer, "chosen": chosen, "stop": stop_reason(ctx, candidates, "finished")}

    graph = StateGraph(Outcome, context_schema=RunContext)
    graph.add_node("sample", sample)
    graph.add_node("verify", verify)
    graph.add_node("choose", choose)
    graph.add_edge(START, "sample")
    graph.add_edge("sample", "verify")
    graph.add_edge("verify", "choose")
    graph.add_edge("choose", END)
    return graph.compile()


def cost(knobs: GenrmKnobs) -> CostLaw:
    solutions, verifications = knobs.spent
    if not verifications:
        return CostLaw(calls="S", depth="1", constants={"S": solutions})
    verified = Observable("distinct readable texts that were verified; 0 when there is one answer", 0, solutions)
    return CostLaw(
        calls="S + V*u",
        depth="1 + min(1, u)",
        constants={"S": solutions, "V": verifications},
        observables={"u": verified},
    )


def needs(knobs: GenrmKnobs) -> Mapping[str, tuple[Capability, ...]]:
    scorer = knobs.chosen_scorer
    return {"solver": ()} if scorer is None else ranking_needs(knobs.spent.solutions, scorer)


STRATEGY = Strategy(
    name="genrm",
    summary="S solutions with V verifications each, chosen by their mean verdict",
    paper="When To Solve, When To Verify, arXiv 2504.01005",
    knobs=GenrmKnobs,
    build=build,
    cost=cost,
    supersteps=lambda knobs: 5,
    needs=needs,
    scorers=lambda knobs: () if knobs.scorer is None else (knobs.scorer,),
)
