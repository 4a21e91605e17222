"""Consolidation as a job: a memory's plan carried out step by step, resumable, each reply paid once.

Cost law: calls = C + M + A, depth 1 or 2: one call for each concept to compress (C) and each cluster of near duplicates (M),
and one more for each re-ask (A <= C + M). Merging by name and retiring cost nothing. The job's row in the ledger holds the
plan, its run folder the replies; a kill at any point loses at most the calls in flight.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace

from phronesis.agents.curator import SAMPLING
from phronesis.core.budget import Account, Budget
from phronesis.core.errors import ConceptStoreError, ConfigurationError, RunLocked
from phronesis.core.events import FILE_NAME, Event, read_events
from phronesis.core.http import hold_pools, release_pools
from phronesis.core.journal import Journal
from phronesis.core.settings import Settings, load_settings
from phronesis.graphs.consolidation_steps import ROLE, ConsolidationReport, Sitting, StepReport, operation_of
from phronesis.graphs.endpoints import RoleEndpoint, endpoints_for
from phronesis.graphs.recipe import ModelSection
from phronesis.graphs.run_folder import new_run_id
from phronesis.memory.consolidating import Job
from phronesis.memory.planning import Plan, PlanKnobs, Step, StepKind
from phronesis.memory.session import Memory

__all__ = ["ConsolidationReport", "abandon", "consolidate"]


async def consolidate(
    session: str,
    *,
    settings: Settings | None = None,
    knobs: PlanKnobs | None = None,
    models: Mapping[str, ModelSection] | None = None,
    only: StepKind | None = None,
    ask: bool = True,
    dry_run: bool = False,
    budget: Budget | None = None,
    parallel: int = 4,
    listener: Callable[[Event], None] | None = None,
) -> ConsolidationReport:
    """Goes on with the memory's open job, or plans a new one and carries it out.

    ``models``: as in a recipe, by role ``curator`` or ``default``. ``ask=False``: only what needs no model. ``budget``
    holds for this sitting. ``dry_run``: the plan, and nothing is changed or paid. Raises ConceptStoreError for an unknown
    memory, and while another process works on the job; ConfigurationError for knobs while a job with its own is open;
    SetupError when no model answers."""
    if budget is not None and budget.depth is not None:
        raise ConfigurationError(
            f"depth = {budget.depth} is no limit of a consolidation", mend="limit calls, tokens or seconds"
        )
    found, sections = settings or load_settings(), models or {}
    endpoint = endpoints_for([ROLE], sections, found, {})[ROLE]
    memory = await asyncio.to_thread(lambda: Memory.open(session, settings=found, create=False))
    hold_pools()
    try:
        job = await asyncio.to_thread(_open_job, memory, found)
        if job is not None and (only is not None or knobs is not None):
            raise ConfigurationError(
                f"consolidation {job.id} of memory {session!r} is open and has a plan of its own",
                mend=f"finish it first: phronesis memory consolidate --session {session}; or give it up: --abandon",
            )
        if job is None:
            plan = _narrowed(await asyncio.to_thread(lambda: memory.plan(knobs=knobs)), only, ask)
            if dry_run or not plan.steps:
                return await asyncio.to_thread(_outlook, memory, plan, None, dry_run=dry_run)
            await _answering(endpoint, plan.steps, ask=ask)
            job = await asyncio.to_thread(memory.begin_job, new_run_id(), plan)
        elif dry_run:
            return await asyncio.to_thread(_outlook, memory, job.plan, job, dry_run=True)
        else:
            await _answering(endpoint, job.plan.steps, ask=ask)
        default, own = (sections.get(role, ModelSection()).sampling_values for role in ("default", ROLE))
        with _journal(found, job, memory) as journal:
            sitting = Sitting(
                memory=memory,
                job=job,
                journal=journal,
                endpoint=endpoint,
                sampling=replace(SAMPLING, **{**default, **own}),
                account=Account(budget),
                listener=listener,
            )
            return await sitting.work(ask=ask, parallel=parallel)
    finally:
        await release_pools()
        await asyncio.to_thread(memory.close)


async def abandon(session: str, *, settings: Settings | None = None) -> str | None:
    """Gives the open job up; what it did stays. Its id, or None when none is open."""
    found = settings or load_settings()

    def give_up() -> str | None:
        with Memory.open(session, settings=found, create=False) as memory:
            job = memory.open_job()
            if job is not None:
                with _journal(found, job, memory):
                    memory.end_job(job.id, "abandoned")
            return None if job is None else job.id

    return await asyncio.to_thread(give_up)


def _open_job(memory: Memory, settings: Settings) -> Job | None:
    """The memory's open job. One that came with a copy of another memory is that one's, and is given up here."""
    job = memory.open_job()
    path = None if job is None else settings.runs / job.id / FILE_NAME
    if job is None or path is None or not path.is_file():
        return job
    started = next(iter(read_events(path)), None)
    if started is None or started.data.get("extra", {}).get("memory") in (None, str(memory.folder)):
        return job
    memory.end_job(job.id, "abandoned")
    return None


def _narrowed(plan: Plan, only: StepKind | None, ask: bool) -> Plan:
    steps = [step for step in plan.steps if (only is None or step.kind == only) and (ask or not step.asks)]
    return plan.model_copy(update={"steps": tuple(steps)})


def _outlook(memory: Memory, plan: Plan, job: Job | None, *, dry_run: bool) -> ConsolidationReport:
    """What is planned and not done."""
    done = [None if job is None else memory.applied(operation_of(job, step)) for step in plan.steps]
    steps = [StepReport(step=step) for step, applied in zip(plan.steps, done, strict=True) if applied is None]
    asking = sum(item.step.asks for item in steps)
    return ConsolidationReport(
        session=memory.name,
        status="planned" if dry_run and steps else "nothing",
        job="" if job is None else job.id,
        version=memory.version(),
        steps=tuple(steps),
        calls=(asking, 2 * asking),
        note=plan.note,
    )


async def _answering(endpoint: RoleEndpoint, steps: tuple[Step, ...], *, ask: bool) -> None:
    """Raises SetupError when a model is needed and none answers, before anything is begun."""
    if ask and any(step.asks for step in steps):
        await endpoint.require((), who="the curator")


@contextmanager
def _journal(settings: Settings, job: Job, memory: Memory) -> Iterator[Journal]:
    """The job's journal, locked: who holds it works on the job."""
    try:
        journal = Journal(settings.runs / job.id)
    except RunLocked:
        raise ConceptStoreError(
            f"consolidation {job.id} of memory {memory.name!r} is being worked on by another process",
            mend="wait for it, or stop it",
        ) from None
    try:
        yield journal
    finally:
        journal.discard()
