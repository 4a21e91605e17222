"""The executor port: who runs the tasks of a cell. In this process, in others, or on a cluster."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any, Protocol

from pydantic import BaseModel, ConfigDict

from phronesis.bench.running.item import CallCost
from phronesis.core.result import Failure, Result
from phronesis.core.task import Task


class Job(BaseModel):
    """A share of a cell's tasks, as plain values: ``model_dump_json`` is all that another process needs."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    cell: str
    """Names it in messages."""
    recipe: dict[str, Any]
    tasks: tuple[Task, ...]
    run_id: str | None = None
    """An earlier session's run, to be gone on with; None = a new run."""
    bank: str = ""
    """Run whose recorded replies are used first; empty = none."""
    calls: int | None = None
    """Calls that the bank may lack; None = as many as it takes."""
    retry: tuple[str, ...] = ()
    """Tasks that failed in the earlier session and begin again."""


@dataclass(frozen=True, slots=True)
class JobStarted:
    """The job's run has a journal; from now on it can be resumed."""

    job: Job
    run_id: str


@dataclass(frozen=True, slots=True)
class TaskSolved:
    """A task has a Result."""

    job: Job
    result: Result
    calls: tuple[CallCost, ...]


@dataclass(frozen=True, slots=True)
class TaskCrashed:
    """A task broke its strategy; the others go on."""

    job: Job
    run_id: str
    task: str
    failure: Failure
    calls: tuple[CallCost, ...] = ()
    """What it had spent."""


Update = JobStarted | TaskSolved | TaskCrashed


class Executor(Protocol):
    """Runs jobs. Entry-point group ``phronesis.executors``: a callable of (settings, parallel, options)."""

    @property
    def shards(self) -> int:
        """Jobs that a cell is cut into."""
        ...

    def run(self, job: Job) -> AsyncIterator[Update]:
        """What happens in the job, as it happens. Closing it stops the job, which can be resumed.

        Raises SetupError and ConfigurationError, which stop the bench."""
        ...
