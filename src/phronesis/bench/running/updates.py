"""What a worker reports of its job, as JSON lines: how updates travel from one process to another."""

from __future__ import annotations

from typing import Any

import orjson

from phronesis.bench.running.executor import Job, JobStarted, TaskCrashed, TaskSolved, Update
from phronesis.bench.running.item import CallCost
from phronesis.core.errors import ConfigurationError, PhronesisError, revive
from phronesis.core.result import Failure, Result

ENDED = b'{"type":"ended"}\n'
"""The last line of a job that came to its end; a worker that stops without it died."""


def line_of(update: Update) -> bytes:
    """The update as one line, its end included. The job is not in it."""
    if isinstance(update, JobStarted):
        return _line("started", run_id=update.run_id)
    calls = [call.model_dump(mode="json", exclude_defaults=True) for call in update.calls]
    if isinstance(update, TaskSolved):
        return _line("solved", result=update.result.model_dump(mode="json"), calls=calls)
    failure = update.failure.model_dump(mode="json")
    return _line("crashed", run_id=update.run_id, task=update.task, failure=failure, calls=calls)


def error_line(error: PhronesisError) -> bytes:
    """What stopped the whole job, as its last line."""
    return _line("stopped", error=error.to_json())


def _line(type: str, **data: Any) -> bytes:
    return orjson.dumps({"type": type, **data}, option=orjson.OPT_APPEND_NEWLINE)


def update_of(line: bytes, job: Job) -> Update | None:
    """The update that a line holds; None = the job has ended.

    Raises the error that stopped the job, and ConfigurationError for a line that is no update."""
    try:
        data = orjson.loads(line)
        kind = data["type"]
        if kind == "started":
            return JobStarted(job, str(data["run_id"]))
        if kind == "ended":
            return None
        if kind == "stopped":
            error = revive(data["error"])
        else:
            calls = tuple(CallCost.model_validate(call) for call in data["calls"])
            if kind == "solved":
                return TaskSolved(job, Result.model_validate(data["result"]), calls)
            return TaskCrashed(job, data["run_id"], data["task"], Failure.model_validate(data["failure"]), calls)
    except (ValueError, KeyError, TypeError) as problem:
        raise ConfigurationError(
            f"a worker of {job.cell} wrote {line[:80]!r}, which is no update: {problem}",
            mend="let worker and bench be of the same phronesis version",
        ) from None
    raise error


class Reported:
    """What the updates of a job have said so far: where another worker goes on."""

    def __init__(self) -> None:
        self.run_id: str | None = None
        self._done: set[str] = set()

    def hear(self, update: Update) -> None:
        """Takes in an update."""
        if isinstance(update, JobStarted):
            self.run_id = update.run_id
        else:
            self._done.add(update.result.task_id if isinstance(update, TaskSolved) else update.task)

    def left(self, job: Job) -> Job:
        """What is left of the job, in the run it was begun in; a job that was not begun is as it was.

        Failed tasks that began again in that run do not do so twice."""
        if self.run_id is None:
            return job
        tasks = tuple(task for task in job.tasks if task.id not in self._done)
        return job.model_copy(update={"run_id": self.run_id, "tasks": tasks, "retry": ()})
