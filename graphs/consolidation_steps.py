"""The steps of a consolidation: what is asked of the model, what is decided, and one report for all."""

from __future__ import annotations

import asyncio
import platform
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal

from pydantic import BaseModel, ConfigDict

from phronesis import __version__
from phronesis.agents.client.metered import Metered
from phronesis.agents.client.run_client import Journaled
from phronesis.agents.curator import Curator
from phronesis.core.budget import Account, Branch
from phronesis.core.chat import Sampling
from phronesis.core.concept import StoredConcept
from phronesis.core.effects import Effects
from phronesis.core.errors import BudgetExhausted, ModelError, Retryable
from phronesis.core.events import Event
from phronesis.core.journal import Journal
from phronesis.core.result import Failure, Result, RoleUsage
from phronesis.core.seeds import derive
from phronesis.core.side_by_side import side_by_side
from phronesis.core.site import Site
from phronesis.core.task import Task
from phronesis.graphs.endpoints import RoleEndpoint
from phronesis.graphs.run_folder import CONSOLIDATION
from phronesis.memory.consolidating import Job
from phronesis.memory.deciding import Applied, Decision
from phronesis.memory.planning import Step
from phronesis.memory.session import Memory

ROLE = "curator"


class StepReport(BaseModel):
    """A step and what became of it."""

    model_config = ConfigDict(frozen=True)

    step: Step
    applied: Applied | None = None
    """None: not yet carried out."""
    problem: str = ""
    """Why a step is left for the next time."""


class ConsolidationReport(BaseModel):
    """What a consolidation did, or would do."""

    model_config = ConfigDict(frozen=True)

    session: str
    status: Literal["nothing", "planned", "open", "done"]
    """``planned``: a dry run; ``open``: steps are left, the next consolidation goes on with them."""
    job: str = ""
    snapshot: str = ""
    """Name of the version before the job's first change."""
    version: int = 0
    """Ledger version now."""
    steps: tuple[StepReport, ...] = ()
    calls: tuple[int, int] = (0, 0)
    """Fewest and most calls that the steps still to do take."""
    usage: RoleUsage = RoleUsage()
    """What this sitting spent; replies that an earlier one paid for are counted again."""
    stopped: str = ""
    """``budget:calls`` and the like; empty = no limit was reached."""
    note: str = ""
    """What could not be looked for."""
    journal: str = ""

    @property
    def counts(self) -> dict[str, int]:
        """Steps by outcome; those still to do are ``open``."""
        found: dict[str, int] = {}
        for item in self.steps:
            outcome = "open" if item.applied is None else item.applied.outcome
            found[outcome] = found.get(outcome, 0) + 1
        return found


def operation_of(job: Job, step: Step) -> str:
    """The id under which the ledger notes the step as carried out."""
    return f"{job.id}/{step.id}"


@dataclass(kw_only=True)
class Sitting:
    """One process's work on a job, from where the last one stopped to the end, a limit or a failure."""

    memory: Memory
    job: Job
    journal: Journal
    endpoint: RoleEndpoint
    sampling: Sampling
    account: Account
    listener: Callable[[Event], None] | None = None
    """Hears of what this sitting does."""
    stopped: str = ""
    _applied: dict[str, Applied] = field(default_factory=dict)
    _problems: dict[str, str] = field(default_factory=dict)

    async def work(self, *, ask: bool, parallel: int) -> ConsolidationReport:
        """Carries out what is left: first what needs no model, then the rest with up to ``parallel`` steps side by side."""
        await asyncio.to_thread(self._begin)
        if self.listener is not None:
            self.journal.listeners.append(self.listener)
        for step in self._left(asks=False):
            await self._carry_out(step)
        if ask:
            waiting = iter(self._left(asks=True))
            await side_by_side([self._work_off(waiting) for _ in range(max(1, parallel))])
        return await asyncio.to_thread(self._end)

    @property
    def _seed(self) -> int:
        """Of the job: a later one that asks the same again may hear something else."""
        return derive(0, self.job.id)

    def _left(self, *, asks: bool) -> list[Step]:
        return [step for step in self.job.plan.steps if step.asks == asks and step.id not in self._applied]

    def _begin(self) -> None:
        """Takes up what earlier sittings left: what is carried out counts, replies are kept, failures are tried again."""
        for step in self.job.plan.steps:
            found = self.memory.applied(operation_of(self.job, step))
            if found is not None:
                self._applied[step.id] = found
        recorded = self.journal.recorded
        failed = {*recorded.tasks_with.get("failure", ()), *recorded.tasks_with.get("budget", ())}
        self.journal.retry([step.id for step in self.job.plan.steps if step.id in failed - set(self._applied)])
        heading = {
            "schema": "phronesis/recipe/1",
            "name": CONSOLIDATION,
            "strategy": CONSOLIDATION,
            "knobs": self.job.plan.knobs.model_dump(),
        }
        data = {
            "schema": 1,
            "run": self.job.id,
            "recipe": heading,
            "versions": {"phronesis": __version__, "python": platform.python_version()},
            "seed": self._seed,
            "models": {ROLE: self.endpoint.model},
            "memory_version": self.job.plan.version,
            "texts": True,
            "extra": {"memory": str(self.memory.folder), "session": self.memory.name},
        }
        self.journal.note(Event("run_started", "", "run", data))
        for step in self.job.plan.steps:
            names = ", ".join(pinned.id for pinned in step.concepts)
            asked = Task(id=step.id, messages=f"{step.kind} {names}: {step.reason}")  # type: ignore[arg-type]  # validated
            self.journal.note(Event("task_started", step.id, "task", {"asked": asked.model_dump(mode="json")}))
            if step.id in self._applied:  # a kill may have come between the ledger and the journal
                self._note(step, self._applied[step.id])

    async def _work_off(self, waiting: Iterator[Step]) -> None:
        for step in waiting:
            if self.stopped:
                return
            await self._carry_out(step)

    async def _carry_out(self, step: Step) -> None:
        """Decides about one step, outside any lock, and applies it. A limit or a passing failure leaves it for later."""
        concepts = await asyncio.to_thread(lambda: self.memory.planned(step, version=self.job.plan.version))
        try:
            decision = await self._decide(step, concepts)
        except BudgetExhausted as error:
            self.stopped = self.stopped or f"budget:{error.details['limit']}"
            return
        except Retryable as error:
            self._problems[step.id] = error.message
            return
        except ModelError as error:
            decision = Decision(verdict="failed", reason=error.message)
        operation = operation_of(self.job, step)
        applied = await asyncio.to_thread(lambda: self.memory.apply(step, decision, job=self.job, operation=operation))
        self._applied[step.id] = applied
        self._note(step, applied)

    async def _decide(self, step: Step, concepts: Sequence[StoredConcept]) -> Decision:
        if not step.asks:
            return Decision(verdict="retire" if step.kind == "retire" else "same", reason=step.reason)
        since = await asyncio.to_thread(self.memory.changed, step)
        if since is not None:
            return Decision(verdict="failed", reason=since)
        effects = Effects(self.journal, step.id, elapsed=lambda: self.account.seconds)
        client = Journaled(Metered(self.endpoint), effects, seed=self._seed, task=step.id)
        curator, site = Curator(client=client, sampling=self.sampling), Site(Branch(step.kind, self.account), ROLE)
        if step.kind == "compress":
            lists = await curator.compress(concepts[0].concept, site=site)
            return Decision(
                verdict="compress", cues=lists.cues, implementation=lists.implementation, reason=step.reason
            )
        relation = await curator.same([item.concept for item in concepts], site=site)
        return Decision(
            verdict=relation.verdict,
            numbers=relation.numbers,
            situation=relation.situation,
            suggestion=relation.suggestion,
            reason=f"{step.reason}; the model says {relation.verdict}",
        )

    def _note(self, step: Step, applied: Applied) -> None:
        """The step's Result, for run lists."""
        failed = applied.outcome == "failed"
        failure = Failure(where=step.kind, error="MalformedReply", message=applied.reason)
        result = Result(
            task_id=step.id,
            status="failed" if failed else "ok",
            answer=None if failed else applied.outcome,
            answer_text=applied.reason,
            failures=(failure,) if failed else (),
            recipe=CONSOLIDATION,
            strategy=CONSOLIDATION,
            run_id=self.job.id,
            journal=str(self.journal.path or ""),
        )
        self.journal.note(Event("task_finished", step.id, "result", {"result": result.model_dump(mode="json")}))

    def _end(self) -> ConsolidationReport:
        """Ends the job when nothing is left of it."""
        left = [step for step in self.job.plan.steps if step.id not in self._applied]
        if not left:
            self.memory.end_job(self.job.id, "done")
            self.journal.note(Event("run_finished", "", "end", {"status": "finished", "failed": []}))
        asking = sum(step.asks for step in left)
        usage = self.account.usage
        return ConsolidationReport(
            session=self.memory.name,
            status="open" if left else "done",
            job=self.job.id,
            snapshot=f"before-{self.job.id}",
            version=self.memory.version(),
            steps=tuple(
                StepReport(step=step, applied=self._applied.get(step.id), problem=self._problems.get(step.id, ""))
                for step in self.job.plan.steps
            ),
            calls=(asking, 2 * asking),
            usage=RoleUsage(**{name: getattr(usage, name) for name in RoleUsage.model_fields}),
            stopped=self.stopped,
            note=self.job.plan.note,
            journal=str(self.journal.path or ""),
        )
