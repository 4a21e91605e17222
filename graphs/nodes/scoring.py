"""Scores on candidates: outcome, steps, and the reward a strategy ranks by."""

from __future__ import annotations

import re
from collections.abc import Sequence

from phronesis.agents.scorers.table import ChosenScorer, ScorerContext
from phronesis.core.budget import Branch
from phronesis.core.errors import BudgetExhausted, ModelError, ToolError
from phronesis.core.ports import OutcomeScorer, StepScorer, TaskScorer
from phronesis.core.result import Candidate
from phronesis.core.side_by_side import side_by_side
from phronesis.core.site import Site
from phronesis.graphs.context import RunContext
from phronesis.graphs.nodes.attempts import failure_of
from phronesis.graphs.policies.provenance import without
from phronesis.graphs.policies.reward import StepReduce, reduce_steps

_CLAUSE_END = re.compile(r"[.;:!?]\s+")


def scorer_context(ctx: RunContext) -> ScorerContext:
    """What scorers may use of a run."""
    return ScorerContext(
        client=ctx.client_of,
        sampling=ctx.sampling,
        answers=ctx.answers,
        programs=ctx.programs,
        search=ctx.search if ctx.search.sources.searches else None,
        tools=ctx.tools if ctx.tools.specs else None,
        note=lambda key, data: ctx.note("decision", key, data),
    )


def recited(ctx: RunContext, *more: str) -> list[str]:
    """What stood in a prompt out of the memory, on retries too, and ``more`` of it: line by line, and each clause."""
    lines = [line for section in (ctx.memory, *ctx.reports.sections) for line in section.splitlines()]
    whole = [*lines, *more]
    return [*whole, *(clause.rstrip(" .;:!?…") for said in whole for clause in _CLAUSE_END.split(said))]


def own_words(candidate: Candidate, quoted: Sequence[str]) -> Candidate:
    """The attempt as scorers see it: what it recites of the memory is left out."""
    if not quoted:
        return candidate
    steps = tuple(without(step, quoted) for step in candidate.steps)
    return candidate.model_copy(update={"text": without(candidate.text, quoted), "steps": steps})


async def score_candidate(
    ctx: RunContext,
    candidate: Candidate,
    *,
    outcome: OutcomeScorer | None,
    step: StepScorer | None,
    reduce: StepReduce,
    branch: Branch,
) -> Candidate:
    """The candidate with outcome and step scores and reward = outcome + reduced steps (MAgICoRe); a scorer that is left
    out adds nothing.

    An unreadable one gets step scores ``(0,)``, as in the paper's code. A failed one is returned as it is; one whose
    scorer failed or could not tell has no reward and cannot be ranked; a failure is reported. Calls: at most the scorers'
    ``calls_for``."""
    if candidate.status == "failed":
        return candidate
    judged: float | None = None
    steps: tuple[float, ...] = ()
    read = own_words(candidate, recited(ctx))
    try:
        if outcome is not None:
            site = Site(branch, outcome.name, f"{candidate.id}.outcome")
            judged = await outcome.score(ctx.task, read, site=site)
        if step is not None:
            steps = (0.0,)
            if candidate.answer is not None:
                site = Site(branch, step.name, f"{candidate.id}.steps")
                steps = await step.score(ctx.task, read, site=site)
    except (ModelError, BudgetExhausted, ToolError) as error:
        ctx.report(failure_of(error, f"{branch.path or 'task'} score {candidate.id}"))
        return candidate
    if outcome is not None and judged is None:
        return candidate
    reward = (judged or 0.0) + (reduce_steps(steps, reduce) if step is not None else 0.0)
    return candidate.model_copy(update={"outcome": judged, "step_scores": steps, "reward": reward})


async def score_all(
    ctx: RunContext,
    candidates: Sequence[Candidate],
    *,
    outcome: OutcomeScorer | None,
    step: StepScorer | None,
    reduce: StepReduce,
    branch: Branch,
) -> tuple[Candidate, ...]:
    """Every candidate scored, in order. Scorers that call a model run side by side, each on a sub-account."""
    each = [calls_for(item, outcome, step) for item in candidates]
    if not any(each):
        return tuple(
            [
                await score_candidate(ctx, item, outcome=outcome, step=step, reduce=reduce, branch=branch)
                for item in candidates
            ]
        )
    names = {f"score.{item.id}": calls for item, calls in zip(candidates, each, strict=True) if calls}
    accounts = branch.account.split(names)

    async def one(item: Candidate) -> Candidate:
        account = accounts.get(f"score.{item.id}")
        place = branch if account is None else Branch(branch.path, account)
        return await score_candidate(ctx, item, outcome=outcome, step=step, reduce=reduce, branch=place)

    scored = await side_by_side([one(item) for item in candidates])
    branch.account.join(names)
    return tuple(scored)


def calls_for(candidate: Candidate, outcome: OutcomeScorer | None, step: StepScorer | None) -> int:
    """The most model calls that scoring the candidate makes."""
    if candidate.status == "failed":
        return 0
    steps = step.calls_for(candidate) if step is not None and candidate.answer is not None else 0
    return steps + (outcome.calls_for(candidate) if outcome is not None else 0)


async def rate(
    ctx: RunContext,
    candidates: Sequence[Candidate],
    scorer: ChosenScorer,
    *,
    branch: Branch,
    reduce: StepReduce = "min",
) -> tuple[Candidate, ...]:
    """Every candidate with ``reward`` = the scorer's figure in [0, 1], whatever kind of scorer it is; step scores are
    reduced first. Failed candidates, unreadable ones of a group, and those whose scorer failed have none."""
    around = scorer_context(ctx)
    if scorer.kind == "outcome":
        outcome = scorer.outcome(around)
        try:
            if isinstance(outcome, TaskScorer):
                outcome = await outcome.for_task(ctx.task, site=Site(branch, outcome.name))
        except (ModelError, BudgetExhausted, ToolError) as error:
            ctx.report(failure_of(error, f"{branch.path or 'task'} {outcome.name}"))
            return tuple(candidates)
        return await score_all(ctx, candidates, outcome=outcome, step=None, reduce=reduce, branch=branch)
    if scorer.kind == "step":
        step = scorer.step(around)
        return await score_all(ctx, candidates, outcome=None, step=step, reduce=reduce, branch=branch)
    group = scorer.group(around)
    judged = [item for item in candidates if item.status != "failed" and item.answer is not None]
    quoted = recited(ctx)
    try:
        scores = await group.score(
            ctx.task, [own_words(item, quoted) for item in judged], site=Site(branch, group.name)
        )
    except (ModelError, BudgetExhausted, ToolError) as error:
        ctx.report(failure_of(error, f"{branch.path or 'task'} {group.name}"))
        return tuple(candidates)
    found = {item.id: score for item, score in zip(judged, scores, strict=True)}
    return tuple(item.model_copy(update={"reward": found.get(item.id)}) for item in candidates)
