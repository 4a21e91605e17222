"""Scores on candidates: outcome, steps, and the reward a strategy ranks by."""

from __future__ import annotations

from collections.abc import Sequence

from phronesis.core.budget import Branch
from phronesis.core.errors import BudgetExhausted, ModelError
from phronesis.core.ports import OutcomeScorer, StepScorer
from phronesis.core.result import Candidate
from phronesis.core.side_by_side import side_by_side
from phronesis.core.site import Site
from phronesis.graphs.context import RunContext
from phronesis.graphs.nodes.attempts import failure_of
from phronesis.graphs.policies.reward import StepReduce, reduce_steps


async def score_candidate(
    ctx: RunContext,
    candidate: Candidate,
    *,
    outcome: OutcomeScorer,
    step: StepScorer,
    reduce: StepReduce,
    branch: Branch,
) -> Candidate:
    """The candidate with outcome and step scores and reward = outcome + reduced steps (MAgICoRe).

    An unreadable one gets step scores ``(0,)``, as in the paper's code. A failed one is returned as it is; one whose
    scorer failed has no reward, cannot be ranked, and its failure is reported. ``outcome.calls + step.calls`` calls."""
    if candidate.status == "failed":
        return candidate
    try:
        judged = await outcome.score(ctx.task, candidate, site=Site(branch, outcome.name, f"{candidate.id}.outcome"))
        steps: tuple[float, ...] = (0.0,)
        if candidate.answer is not None:
            steps = await step.score(ctx.task, candidate, site=Site(branch, step.name, f"{candidate.id}.steps"))
    except (ModelError, BudgetExhausted) as error:
        ctx.report(failure_of(error, f"{branch.path or 'task'} score {candidate.id}"))
        return candidate
    reward = judged + reduce_steps(steps, reduce)
    return candidate.model_copy(update={"outcome": judged, "step_scores": steps, "reward": reward})


async def score_all(
    ctx: RunContext,
    candidates: Sequence[Candidate],
    *,
    outcome: OutcomeScorer,
    step: StepScorer,
    reduce: StepReduce,
    branch: Branch,
) -> tuple[Candidate, ...]:
    """Every candidate scored, in order. Scorers that call a model run side by side, each on a sub-account: depth 1."""
    each = outcome.calls + step.calls
    if each == 0:
        return tuple(
            [
                await score_candidate(ctx, item, outcome=outcome, step=step, reduce=reduce, branch=branch)
                for item in candidates
            ]
        )
    names = {f"score.{item.id}": each for item in candidates if item.status != "failed"}
    accounts = branch.account.split(names)

    async def one(item: Candidate) -> Candidate:
        account = accounts.get(f"score.{item.id}")
        place = branch if account is None else Branch(branch.path, account)
        return await score_candidate(ctx, item, outcome=outcome, step=step, reduce=reduce, branch=place)

    scored = await side_by_side([one(item) for item in candidates])
    branch.account.join(names)
    return tuple(scored)
