"""A finished or interrupted run, opened to be replayed: read only, locked against resume and deletion while it is read."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from phronesis.core.bank import Bank
from phronesis.core.errors import ConfigurationError, NotRecorded, RunLocked
from phronesis.core.events import FILE_NAME, EventIndex
from phronesis.core.task import Task


class Allowance:
    """How many calls that the recording lacks may really be made, over all tasks of the replay."""

    def __init__(self, calls: int) -> None:
        self.left = calls

    def take(self, wanted: int) -> int:
        """As many of the wanted calls as are left; who asks first gets them."""
        granted = min(wanted, max(0, self.left))
        self.left -= granted
        return granted


def tasks_of(index: EventIndex) -> tuple[Task, ...]:
    """The tasks that were announced, in order."""
    names = index.tasks_with.get("task_started", [])
    return tuple(Task.model_validate(next(index.of(name, "task_started")).data["asked"]) for name in names)


class Recording:
    """The source of a replay."""

    def __init__(self, folder: Path, *, calls: int = 0) -> None:
        """``calls``: missing ones that may be made. Raises RunLocked for a run that is going on, and ConfigurationError
        for one that never began or was journalled without texts."""
        self.run_id = folder.name
        self.allowance = Allowance(calls)
        self.denials = True
        """Whether recorded denials by a limit still hold: not under another budget."""
        self.without: frozenset[str] = frozenset()
        """Roles that are not served, because another model has them in the replay."""
        self.lends = False
        """Whether it only lends replies to a run of its own, which reads and writes its memory and runs its tools."""
        self._handle = os.open(folder / FILE_NAME, os.O_RDONLY)
        try:
            fcntl.flock(self._handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
            self._index = EventIndex(folder / FILE_NAME)
            self.started: Mapping[str, Any] = self._started()
        except BlockingIOError:
            self.close()
            raise RunLocked(f"run {self.run_id!r} is still going on", mend="wait for it, or stop it") from None
        except BaseException:
            self.close()
            raise

    def _started(self) -> Mapping[str, Any]:
        started = next(self._index.of("", "run_started"), None)
        if started is None:
            raise ConfigurationError(f"run {self.run_id!r} was stopped before it began", mend="replay another run")
        if not started.data["texts"]:
            raise ConfigurationError(
                f"run {self.run_id!r} was journalled without texts and cannot be replayed", mend="replay another run"
            )
        return started.data

    @property
    def models(self) -> dict[str, str]:
        """The model of each role that is served."""
        return {role: name for role, name in self.started["models"].items() if role not in self.without}

    @property
    def tasks(self) -> tuple[Task, ...]:
        """The run's tasks, in order."""
        return tasks_of(self._index)

    def begun(self, task: str) -> bool:
        """Whether a reply of the task was recorded."""
        return any(task in self._index.tasks_with.get(type, ()) for type in ("call", "failure"))

    def bank(self, task: str) -> Bank:
        """What is recorded of a task."""
        return Bank(self._index.of(task), denials=self.denials, without=self.without, lends=self.lends)

    def missing(self, calls: int, where: str) -> NotRecorded:
        """The failure that stands in for calls that the recording lacks."""
        needed = "1 call" if calls == 1 else f"{calls} calls"
        return NotRecorded(
            f"the recording has no reply for {where}: {needed} would be needed",
            mend=f"allow them with --calls {calls}",
            calls=calls,
        )

    def close(self) -> None:
        """Unlocks the run. Safe to call twice."""
        if self._handle >= 0:
            os.close(self._handle)
            self._handle = -1
