"""The journal of a run: JSONL, one folder per run. It is trace, cache, recording, replay source and what resume reads.

An event is one line, written with one ``write``. What a process wrote survives its kill; a torn last line is cut off when
the journal is opened again. The journal is locked by its run. Notes (everything that is not an effect) carry a key, so that
a replay, which makes them again, does not write them twice.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import orjson

from phronesis.core.errors import ConfigurationError, JournalUnwritable, RunLocked
from phronesis.core.events import FILE_NAME, SCHEMA, Event, EventIndex, EventType, read_events

__all__ = ["FILE_NAME", "SCHEMA", "Event", "EventType", "Journal", "read_events", "without_texts"]

_OPTIONS = orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_APPEND_NEWLINE
_TEXTS = frozenset(
    {"request", "value", "asked", "text", "answer_text", "steps", "notes", "suggestion", "situation", "message"}
)
_OF_VERDICTS = _TEXTS | {"reason", "feedback", "advice", "criteria", "details"}
"""What a model, or a person, wrote of an attempt; elsewhere reasons are ours."""
_BLOCK = 2**16


def without_texts(data: Any) -> Any:
    """The data without prompts, replies and whatever quotes them."""
    if isinstance(data, Mapping):
        texts = _OF_VERDICTS if data.get("rule") in ("verdict", "assessment") else _TEXTS
        return {name: without_texts(item) for name, item in data.items() if name not in texts}
    return [without_texts(item) for item in data] if isinstance(data, (list, tuple)) else data


class Journal:
    """Appends events to a run's file. ``path=None`` keeps them in memory only, for embedding and tests."""

    def __init__(self, folder: Path | None, *, texts: bool = True) -> None:
        """Opens or creates ``folder/journal.jsonl`` and locks it. ``texts=False`` leaves prompts and replies out."""
        self.folder = folder
        self.texts = texts
        self.recorded = EventIndex(None)
        """What earlier sessions left, by task."""
        self.listeners: list[Callable[[Event], None]] = []
        self._seen: dict[str, set[tuple[EventType, str]]] = {}
        """(type, key) of what is written, by task; a finished task's are dropped, so that long runs stay small."""
        self._handle = -1
        if folder is not None:
            self._open(folder)

    @property
    def path(self) -> Path | None:
        return None if self.folder is None else self.folder / FILE_NAME

    @property
    def recovered(self) -> tuple[Event, ...]:
        """Every event that earlier sessions left and that holds, read anew."""
        return self.recorded.all()

    def _open(self, folder: Path) -> None:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._handle = os.open(folder / FILE_NAME, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
        except OSError as error:
            raise JournalUnwritable(
                f"cannot write the run folder {str(folder)!r}: {error.strerror}",
                mend="set PHRONESIS_HOME to a folder you can write",
            ) from None
        try:
            fcntl.flock(self._handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(self._handle)
            self._handle = -1
            raise RunLocked(
                f"run {folder.name!r} is being worked on by another process", mend="wait for it, or stop it"
            ) from None
        path = folder / FILE_NAME
        try:
            self._same_file(path)
            os.ftruncate(self._handle, _whole_lines(self._handle))
            self.recorded = EventIndex(path)
        except BaseException:
            self.close()
            raise
        self._know()

    def _know(self) -> None:
        self._seen = {}
        for type, task, key in self.recorded.names():
            self._seen.setdefault(task, set()).add((type, key))

    def _same_file(self, path: Path) -> None:
        """Raises ConfigurationError when the run was deleted between opening and locking its file."""
        try:
            if os.path.samestat(os.fstat(self._handle), path.stat()):
                return
        except FileNotFoundError:
            pass
        raise ConfigurationError(f"run {path.parent.name!r} was deleted just now", mend="start a new run")

    def append(self, event: Event) -> None:
        """Writes an effect; when it returns, the event survives a kill of the process."""
        data = event.data if self.texts or event.type == "run_started" else without_texts(event.data)
        heading = {"type": event.type, "task": event.task, "key": event.key, "elapsed": round(event.elapsed, 3)}
        line = orjson.dumps({**heading, "time": round(time.time(), 3), **data, **heading}, option=_OPTIONS)
        self._write(line)
        if event.type == "task_finished":
            self._seen[event.task] = {("task_started", "task")}
        self._seen.setdefault(event.task, set()).add((event.type, event.key))
        for listener in self.listeners:
            listener(event)

    def note(self, event: Event) -> None:
        """Writes a note unless the journal already has it; listeners hear of it either way."""
        if (event.type, event.key) in self._seen.get(event.task, ()):
            for listener in self.listeners:
                listener(event)
            return
        self.append(event)

    def retry(self, tasks: Sequence[str]) -> None:
        """Makes failed tasks begin again: see core/events.py for what still holds of what was recorded."""
        for task in tasks:
            number = sum(1 for _ in self.recorded.of(task, "retry"))
            self.append(Event("retry", task, f"retry{number}", {}))
            self.recorded.void(task)
        self._know()

    def add(self, events: Sequence[Event]) -> None:
        """Writes effects that come from outside of the run's work, such as a person's answers; they are found as recorded."""
        for event in events:
            self.append(event)
        if self.path is not None:
            self.recorded = EventIndex(self.path)
        self._know()

    def _write(self, line: bytes) -> None:
        if self._handle < 0:
            return
        size = os.fstat(self._handle).st_size
        try:
            written = os.write(self._handle, line)
        except OSError as error:
            os.ftruncate(self._handle, size)
            raise JournalUnwritable(
                f"cannot write to {str(self.path)!r}: {error.strerror}", mend="free some space, then resume the run"
            ) from None
        if written != len(line):
            os.ftruncate(self._handle, size)
            raise JournalUnwritable(
                f"the disk is full: {str(self.path)!r}", mend="free some space, then resume the run"
            )

    def discard(self) -> None:
        """Closes, and takes away a journal that nothing was written to, its folder too."""
        self.close()
        if self.path is not None and not self.path.stat().st_size:
            self.path.unlink()
            self.path.parent.rmdir()

    def close(self) -> None:
        """Flushes to disk and unlocks. Safe to call twice."""
        if self._handle >= 0:
            handle, self._handle = self._handle, -1
            try:
                os.fsync(handle)
            except OSError as error:
                raise JournalUnwritable(
                    f"cannot write to {str(self.path)!r}: {error.strerror}", mend="free some space, then resume the run"
                ) from None
            finally:
                os.close(handle)


def _whole_lines(handle: int) -> int:
    """Length of a file up to its last line break, that included."""
    end = os.fstat(handle).st_size
    while end > 0:
        start = max(0, end - _BLOCK)
        found = os.pread(handle, end - start, start).rfind(b"\n")
        if found >= 0:
            return start + found + 1
        end = start
    return 0
