"""Attempts with scores to choose by: each distinct text is scored once, and what that costs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from phronesis.agents.client.profile import Capability
from phronesis.agents.scorers.table import ChosenScorer, united
from phronesis.core.budget import Branch
from phronesis.core.result import Candidate
from phronesis.graphs.context import RunContext
from phronesis.graphs.cost import CostLaw, Observable
from phronesis.graphs.nodes.attempts import brief
from phronesis.graphs.nodes.scoring import rate
from phronesis.graphs.policies.reward import StepReduce


async def rank(
    ctx: RunContext, candidates: Sequence[Candidate], scorer: ChosenScorer, *, reduce: StepReduce, branch: Branch
) -> tuple[Candidate, ...]:
    """The candidates with ``reward`` = the scorer's figure, in order.

    Equal texts are scored once and share the score; a scorer of attempts together sees them all. Unreadable attempts score
    0 without a call. While there are fewer than two readable texts nothing is to be chosen and nothing is scored. Where the
    scorer failed an attempt has no reward; where it failed for all of them the run is ``degraded``."""
    readable = [item for item in candidates if item.answer is not None]
    distinct = {item.text: item for item in reversed(readable)}
    if len(distinct) < 2:
        return tuple(candidates)
    asked = readable if scorer.kind == "group" else [item for item in readable if distinct[item.text] is item]
    failures = len(ctx.reports.failures)
    found = {item.text: item for item in await rate(ctx, asked, scorer, branch=branch, reduce=reduce)}
    if len(ctx.reports.failures) > failures and all(item.reward is None for item in found.values()):
        ctx.reports.degraded.append(
            f"the scorer {scorer.text!r} scored no attempt: the most frequent answer is taken instead"
        )
    scored = tuple(_with_score(item, found) for item in candidates)
    ctx.note("score", f"{branch.path}ranked", {"candidates": [brief(item) for item in scored]})
    return scored


def _with_score(candidate: Candidate, found: Mapping[str, Candidate]) -> Candidate:
    if candidate.status == "failed":
        return candidate
    if candidate.answer is None:
        return candidate.model_copy(update={"reward": 0.0})
    like = found[candidate.text]
    values = {name: getattr(like, name) for name in ("outcome", "step_scores", "reward")}
    return candidate.model_copy(update=values)


def ranking_cost(n: int, scorer: ChosenScorer) -> CostLaw:
    """The law of n attempts side by side that are then ranked; one attempt is not."""
    calls = scorer.calls
    if n == 1 or calls.free:
        return CostLaw(calls="n", depth="1", constants={"n": n})
    terms: list[str] = []
    observables: dict[str, Observable] = {}
    if calls.attempt:
        terms.append("a*u")
        what = "readable attempts" if scorer.kind == "group" else "distinct readable texts"
        observables["u"] = Observable(f"{what} that were scored; 0 when there is one text", 0, n)
    if calls.more:
        terms.append("X")
        observables["X"] = Observable(
            "further calls of the scorer, over all texts: checks, replies asked for again", 0, n * calls.more
        )
    if calls.step:
        terms.append("S")
        observables["S"] = Observable("steps scored, over all texts", 0, n * calls.step * calls.most_steps)
    if calls.task:
        terms.append("G")
        observables["G"] = Observable("calls of the scorer for all attempts together", 0, calls.task)
    most = max(calls.depth, calls.step * calls.most_steps)
    if most > 1:
        observables["D"] = Observable("calls of the scorer that wait for one another", 0, most)
    scoring = " + ".join(terms)
    return CostLaw(
        calls=f"n + {scoring}",
        depth="1 + D" if most > 1 else f"1 + min(1, {scoring})",
        constants={"n": n, "a": calls.attempt} if calls.attempt else {"n": n},
        observables=observables,
    )


def ranking_needs(n: int, scorer: ChosenScorer) -> Mapping[str, tuple[Capability, ...]]:
    """What n attempts and their ranking ask of the endpoints."""
    if n == 1:
        return {"solver": ()}
    return united(({"solver": ("logprobs",) if scorer.logprobs else ()}, scorer.roles))


def ranking_logprobs(n: int, scorer: ChosenScorer) -> int:
    """Alternatives per token that the attempts must come with."""
    return int(n > 1 and scorer.logprobs)
