"""Consolidation: what a memory can do about its own repetitions and dead wood, as resumable jobs."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict

from phronesis.core.concept import StoredConcept
from phronesis.core.errors import ConceptStoreError, EmbedderMismatch
from phronesis.memory import planning
from phronesis.memory.applying import carry_out, still_so
from phronesis.memory.deciding import Applied, Decision, work_out
from phronesis.memory.ledger import utc_now
from phronesis.memory.opened import OpenMemory
from phronesis.memory.planning import Plan, PlanKnobs, Step
from phronesis.memory.reading import concept_number, current_version, stored

KIND = "consolidation"
JobStatus = Literal["open", "done", "abandoned"]
StoredConcepts = list[StoredConcept]


class Job(BaseModel):
    """A consolidation: its plan, made once, and how far it is."""

    model_config = ConfigDict(frozen=True)

    id: str
    status: JobStatus
    version: int
    """Ledger version before its first change."""
    plan: Plan
    created: str
    """UTC time, ISO 8601."""


class Consolidating(OpenMemory):
    """Plans and applies consolidations. No model is asked here."""

    def plan(self, *, now: datetime | None = None, knobs: PlanKnobs | None = None) -> Plan:
        """What could be compressed, merged and retired at the present version; see ``planning.plan``.

        Vectors that are missing are made first. Without an embedder near duplicates are not looked for, and ``note`` says
        so."""
        note = "no embedder: near duplicates are not looked for"
        if self._search is not None:
            try:
                self._search.fill()
                note = ""
            except EmbedderMismatch:
                raise
            except ConceptStoreError as error:
                note = f"near duplicates are looked for among what has vectors only: {error.message}"
        return planning.plan(
            self._ledger, session=self.name, now=now or utc_now(), knobs=knobs or PlanKnobs(), note=note
        )

    def planned(self, step: Step, *, version: int) -> StoredConcepts:
        """The step's concepts as they were at the plan's version, in order; statistics are of now."""
        numbers = [concept_number(pinned.id) for pinned in step.concepts]
        with self._ledger.reading() as connection:
            found = stored(connection, at=version, numbers=numbers)
        return [found[number] for number in numbers]

    def changed(self, step: Step) -> str | None:
        """Which concept of the step is no longer as planned; None = all are. ``apply`` looks again."""
        with self._ledger.reading() as connection:
            return still_so(connection, step)

    def apply(self, step: Step, outcome: Decision, *, job: Job, operation: str, now: datetime | None = None) -> Applied:
        """Carries out what was decided about a step, in one transaction; once per operation id, and a repeat returns what
        came out. Where a concept was changed since the plan it is ``stale`` and nothing is written but that.

        The concepts that others stand for become invalid with ``superseded_by``; their evidence and uses are copied to
        the one that stays. The new text is embedded before the transaction. Nothing that a person wrote becomes invalid:
        such a change is ``proposed``."""
        concepts = self.planned(step, version=job.plan.version)
        change = work_out(step, outcome, concepts, now=now or utc_now(), knobs=job.plan.knobs)
        views = None if change.text is None else self._views([change.text])
        with self._ledger.writing() as transaction:
            known = transaction.outcome(KIND, operation)
            if known is not None:
                return Applied.model_validate(known)
            since = still_so(transaction.connection, step)
            if since is not None:
                applied = Applied(outcome="stale", reason=since)
            else:
                vectors = None if views is None else views[0]
                applied = carry_out(transaction, self._search, step, change, vectors=vectors, operation=operation)
            transaction.record_outcome(KIND, operation, applied.model_dump(mode="json"))
            transaction.connection.execute("UPDATE jobs SET updated = ? WHERE id = ?", (transaction.now, job.id))
        return applied

    def applied(self, operation: str) -> Applied | None:
        """What came out of an operation, or None when it was not carried out yet."""
        with self._ledger.reading() as connection:
            row = connection.execute(
                "SELECT outcome FROM operations WHERE kind = ? AND id = ?", (KIND, operation)
            ).fetchone()
        return None if row is None else Applied.model_validate_json(row[0])

    def begin_job(self, id: str, plan: Plan) -> Job:
        """A new open job, and with it the snapshot ``before-<id>`` of the memory as it is; or the open job, when there is
        one by now. In one transaction, so two processes that begin at once have the same job."""
        with self._ledger.writing() as transaction:
            found = self._open_job()
            if found is not None:
                return found
            version = current_version(transaction.connection)
            transaction.connection.execute(
                "INSERT INTO jobs (id, kind, status, version, plan, time, updated) VALUES (?, ?, 'open', ?, ?, ?, ?)",
                (id, KIND, version, plan.model_dump_json(), transaction.now, transaction.now),
            )
            transaction.connection.execute(
                "INSERT INTO snapshots (name, version, time, note) VALUES (?, ?, ?, ?)",
                (f"before-{id}", version, transaction.now, f"before consolidation {id}"),
            )
        return Job(id=id, status="open", version=version, plan=plan, created=transaction.now)

    def open_job(self) -> Job | None:
        """The job that was begun and not ended, if there is one."""
        with self._ledger.reading():
            return self._open_job()

    def end_job(self, id: str, status: JobStatus) -> None:
        """Ends a job; what it did stays."""
        with self._ledger.writing() as transaction:
            transaction.connection.execute(
                "UPDATE jobs SET status = ?, updated = ? WHERE id = ? AND status = 'open'",
                (status, transaction.now, id),
            )

    def _open_job(self) -> Job | None:
        with self._ledger.reading() as connection:
            row = connection.execute(
                "SELECT id, status, version, plan, time FROM jobs WHERE kind = ? AND status = 'open' ORDER BY time",
                (KIND,),
            ).fetchone()
        if row is None:
            return None
        plan = Plan.model_validate_json(row[3])
        return Job(id=row[0], status=row[1], version=row[2], plan=plan, created=row[4])
