"""Sample banks: the attempts that finished tasks of a recorded run hold, to be scored and chosen from again."""

from __future__ import annotations

from collections.abc import Sequence

from phronesis.core.errors import ConfigurationError
from phronesis.core.events import Event
from phronesis.core.journal import FILE_NAME, read_events
from phronesis.core.result import Candidate
from phronesis.core.settings import Settings
from phronesis.core.task import Task
from phronesis.graphs.run_folder import run_folder


class Banks:
    """Recorded runs, each journal read once."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._read: dict[str, dict[str, tuple[Candidate, ...]]] = {}

    def attempts(self, run: str, task: str) -> Sequence[Candidate]:
        """The task's attempts in their order, failed ones included. Raises ConfigurationError for a run or task it lacks."""
        if run not in self._read:
            self._read[run] = self._load(run)
        if task not in self._read[run]:
            raise ConfigurationError(
                f"run {run!r} holds no finished task {task!r}", mend=f"finish it with `phronesis runs resume {run}`"
            )
        return self._read[run][task]

    def tasks(self, run: str) -> list[Task]:
        """The finished tasks of a run, in the order they were asked."""
        events = self._events(run)
        done = {event.task for event in events if event.type == "task_finished"}
        asked = [event for event in events if event.type == "task_started" and event.task in done]
        return [Task.model_validate(event.data["asked"]) for event in asked]

    def _load(self, run: str) -> dict[str, tuple[Candidate, ...]]:
        finished = (event for event in self._events(run) if event.type == "task_finished")
        return {
            event.task: tuple(Candidate.model_validate(item) for item in event.data["result"]["candidates"])
            for event in finished
        }

    def _events(self, run: str) -> list[Event]:
        events = list(read_events(run_folder(self._settings, run) / FILE_NAME))
        if any(event.type == "run_started" and not event.data["texts"] for event in events):
            raise ConfigurationError(f"run {run!r} was journalled without texts", mend="record the bank again")
        return events
