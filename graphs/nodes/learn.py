"""Before and after a strategy: recall concepts into the prompt, and write what an accepted run taught."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

from phronesis.agents.abstractor import Abstractor
from phronesis.agents.scorers.arithmetic import Arithmetic
from phronesis.core.concept import Concept, Hit
from phronesis.core.errors import BudgetExhausted, ConceptStoreError, ModelError
from phronesis.core.ports import ConceptMemory
from phronesis.core.result import Candidate, MemoryRecall, MemoryWrite
from phronesis.core.site import Site
from phronesis.graphs.context import RunContext
from phronesis.graphs.nodes.attempts import failure_of
from phronesis.graphs.policies.acceptance import Acceptance, accept
from phronesis.memory.recall import render


async def recall(
    ctx: RunContext, memory: Callable[[], ConceptMemory], *, k: int, version: int | None, least: float, budget: int
) -> tuple[str, tuple[MemoryRecall, ...], int]:
    """(memory section of the prompt, what was recalled, ledger version read). The hits are a journalled effect."""

    async def search() -> dict[str, Any]:
        def look() -> dict[str, Any]:
            store = memory()
            read = store.version() if version is None else version
            hits = store.recall(ctx.task.question, k=k, version=read)
            degraded = getattr(store, "degraded", None)
            return {"version": read, "degraded": degraded, "hits": [hit.model_dump(mode="json") for hit in hits]}

        return await asyncio.to_thread(look)

    request = {"query": ctx.task.question, "k": k, "version": version}
    found = await ctx.effects.effect("memory#recall", request, search, type="recall")
    if found["degraded"]:
        ctx.reports.degraded.append(str(found["degraded"]))
    hits = [Hit.model_validate(item) for item in found["hits"]]
    near = [hit for hit in hits if found["degraded"] or hit.score >= least]
    text, recalled = render(near, token_budget=budget, tokens=lambda part: round(len(part) / 3.5))
    return text, tuple(recalled), int(found["version"])


def judge_run(
    ctx: RunContext, candidates: Sequence[Candidate], chosen: str | None, *, consensus: float, least: float
) -> Acceptance:
    """Whether the run's answer is accepted: agreement of the attempts, each in its latest version, and the checker."""
    latest = {candidate.id.split(".")[0]: candidate for candidate in candidates if candidate.status != "failed"}
    drawn = [candidate for candidate in latest.values() if candidate.answer is not None]
    winner = next((candidate for candidate in candidates if candidate.id == chosen), None)
    if winner is None or winner.answer is None:
        return Acceptance(False, "there is no answer")
    agreeing = sum(ctx.answers.equal(candidate.answer or "", winner.answer) for candidate in drawn)
    checker = Arithmetic()
    scores = [checker.step(step) for step in winner.steps]
    checked = any(score != checker.silent for score in scores)
    return accept(
        votes=len(drawn),
        agreeing=agreeing,
        score=min(scores) if checked else None,
        consensus=consensus,
        least_score=least,
    )


async def learn(
    ctx: RunContext,
    memory: Callable[[], ConceptMemory],
    abstractor: Abstractor,
    *,
    run_id: str,
    solution: Candidate,
    acceptance: Acceptance,
    recalled: Sequence[str],
) -> tuple[MemoryWrite, ...]:
    """What became of the lesson of this run. 0 calls when it is refused, else 1 (2 after a re-ask), depth alike.

    The write is one journalled effect under an operation id: ledger first, journal second, never twice."""
    ctx.note("decision", "accept", {"rule": "acceptance", "accepted": acceptance.accepted, "reason": acceptance.reason})
    if not acceptance.accepted:
        return (MemoryWrite(outcome="refused", reason=acceptance.reason),)
    try:
        site = Site(ctx.root.at("memory"), "abstractor")
        concept = await abstractor.abstract(ctx.task, solution.text, site=site)
    except BudgetExhausted as error:
        return (MemoryWrite(outcome="refused", reason=error.message),)
    except ModelError as error:
        ctx.report(failure_of(error, "memory abstractor"))
        return (MemoryWrite(outcome="failed", reason=error.message),)
    operation = f"{run_id}/{ctx.task.id}/memory#write"

    async def write() -> list[dict[str, Any]]:
        def commit() -> list[MemoryWrite]:
            return list(memory().write([concept], operation=operation, recalled=recalled))

        return [item.model_dump(mode="json") for item in await asyncio.to_thread(commit)]

    try:
        request = {"operation": operation, "concepts": [_said(concept)], "recalled": list(recalled)}
        written = await ctx.effects.effect("memory#write", request, write, type="write")
    except ConceptStoreError as error:
        ctx.report(failure_of(error, "memory write"))
        return (MemoryWrite(outcome="failed", reason=error.message, suggestion=concept.suggestion),)
    return tuple(MemoryWrite.model_validate(item) for item in written)


async def count_use(
    ctx: RunContext, memory: Callable[[], ConceptMemory], *, run_id: str, ids: Sequence[str], accepted: bool
) -> None:
    """Books the recalled concepts as helped or harmed, once per task of a run."""
    if not ids:
        return
    operation = f"{run_id}/{ctx.task.id}/memory#use"

    async def book() -> bool:
        await asyncio.to_thread(lambda: memory().record_use(ids, accepted=accepted, operation=operation))
        return True

    request = {"operation": operation, "ids": list(ids), "accepted": accepted}
    try:
        await ctx.effects.effect("memory#use", request, book, type="write")
    except ConceptStoreError as error:
        ctx.report(failure_of(error, "memory use"))


def _said(concept: Concept) -> dict[str, Any]:
    return concept.model_dump(mode="json", exclude_defaults=True)
