"""The events of a journal file, read: line by line, or by task.

A ``retry`` event makes a failed task begin again. From then on its recorded failures, denials, memory writes and notes are
void, and so is ``run_finished``; its replies stay, to be used where the same request is made again. So do a person's
answers (effects with ``asked``); a ``question`` is a note: a task that comes to it again asks it again.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple

import orjson

from phronesis.core.errors import ConfigurationError

SCHEMA = 1
FILE_NAME = "journal.jsonl"
EventType = Literal[
    "run_started", "task_started", "node", "call", "effect", "intent", "score", "decision", "vote", "recall", "write",
    "budget", "failure", "question", "task_finished", "retry", "run_finished",
]  # fmt: skip
_OUTLIVE_RETRY = frozenset({"run_started", "task_started", "call", "effect", "intent", "recall", "retry"})


class Event(NamedTuple):
    """One line of a journal."""

    type: EventType
    task: str
    """Task id; empty for events of the whole run."""
    key: str
    """Names the place in the run; unique per type and task."""
    data: Mapping[str, Any]
    elapsed: float = 0.0
    """Active seconds of the task when it was written."""


def read_events(path: Path) -> Iterator[Event]:
    """The whole lines of a journal file, as written; a torn last line is left out.

    Raises ConfigurationError for a line inside the file that is not an event, or for another schema."""
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            if line != b"\n" and line.endswith(b"\n"):
                yield _parse(line, path, number)


def _parse(line: bytes, path: Path, number: int) -> Event:
    try:
        item = orjson.loads(line)
        event = Event(item.pop("type"), item.pop("task"), item.pop("key"), item, item.pop("elapsed", 0.0))
    except (ValueError, KeyError, AttributeError, TypeError) as error:
        raise ConfigurationError(
            f"{path}:{number} is not a journal event: {error}", mend="the file was changed by hand; restore it"
        ) from None
    if event.type == "run_started" and event.data.get("schema") != SCHEMA:
        raise ConfigurationError(
            f"{path} has journal schema {event.data.get('schema')!r}; this version reads {SCHEMA}",
            mend="use the phronesis version that wrote it",
        )
    return event


class _Place(NamedTuple):
    """Where a line stands in the file."""

    type: EventType
    key: str
    number: int
    offset: int
    size: int


class EventIndex:
    """Where each task's events stand in a file. Memory grows with the number of lines, not with their length."""

    def __init__(self, path: Path | None) -> None:
        """Reads the file once, to its last whole line; None = nothing recorded. Raises as ``read_events`` does."""
        self._path = path
        self._places: dict[str, list[_Place]] = {}
        self.tasks_with: dict[EventType, list[str]] = {}
        """Task ids by event type, in the order the tasks were first seen, as the file was when it was read."""
        offset = 0
        if path is None:
            return
        with path.open("rb") as file:
            for number, line in enumerate(file, start=1):
                if line != b"\n" and line.endswith(b"\n"):
                    event = _parse(line, path, number)
                    if event.type == "retry":
                        self.void(event.task)
                    place = _Place(event.type, event.key, number, offset, len(line))
                    self._places.setdefault(event.task, []).append(place)
                offset += len(line)
        for task, places in self._places.items():
            for type in dict.fromkeys(place.type for place in places):
                self.tasks_with.setdefault(type, []).append(task)

    def void(self, task: str) -> None:
        """What a retry of the task does to what was recorded before it."""
        kept = [place for place in self._places.get(task, ()) if place.type in _OUTLIVE_RETRY]
        self._places[task] = kept
        self._places[""] = [place for place in self._places.get("", ()) if place.type != "run_finished"]

    def names(self) -> Iterator[tuple[EventType, str, str]]:
        """(type, task, key) of every event that holds."""
        for task, places in self._places.items():
            for place in places:
                yield place.type, task, place.key

    def of(self, task: str, *types: EventType) -> Iterator[Event]:
        """A task's events that hold (of some types only), in the order written, read anew; "" = those of the whole run."""
        places = [place for place in self._places.get(task, ()) if not types or place.type in types]
        if not places or self._path is None:
            return
        with self._path.open("rb") as file:
            for place in places:
                file.seek(place.offset)
                yield _parse(file.read(place.size), self._path, place.number)

    def all(self) -> tuple[Event, ...]:
        """Every event that holds, in the order written."""
        found = [
            (place.number, event)
            for task, places in self._places.items()
            for place, event in zip(places, self.of(task), strict=True)
        ]
        return tuple(event for _, event in sorted(found, key=lambda pair: pair[0]))
