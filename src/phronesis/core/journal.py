"""The journal of a run: JSONL, one folder per run. It is trace, cache, recording, replay source and what resume reads.

An event is one line, written with one ``write``. What a process wrote survives its kill; a torn last line is cut off when
the journal is opened again. The journal is locked by its run. Notes (everything that is not an effect) carry a key, so that
a replay, which makes them again, does not write them twice.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple

import orjson

from phronesis.core.errors import ConfigurationError, JournalUnwritable, RunLocked

SCHEMA = 1
FILE_NAME = "journal.jsonl"
_OPTIONS = orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_APPEND_NEWLINE
_TEXTS = frozenset(
    {"request", "value", "asked", "text", "answer_text", "steps", "notes", "suggestion", "situation", "message"}
)
EventType = Literal[
    "run_started", "task_started", "node", "call", "effect", "intent", "score", "decision", "vote", "recall", "write",
    "budget", "failure", "task_finished", "run_finished",
]  # fmt: skip


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
    """The whole lines of a journal file; a torn last line is left out.

    Raises ConfigurationError for a line inside the file that is not an event, or for another schema."""
    raw = path.read_bytes()
    end = raw.rfind(b"\n") + 1
    for number, line in enumerate(raw[:end].splitlines(), start=1):
        if not line:
            continue
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
        yield event


def without_texts(data: Any) -> Any:
    """The data without prompts, replies and whatever quotes them."""
    if isinstance(data, Mapping):
        return {name: without_texts(item) for name, item in data.items() if name not in _TEXTS}
    return [without_texts(item) for item in data] if isinstance(data, (list, tuple)) else data


class Journal:
    """Appends events to a run's file. ``path=None`` keeps them in memory only, for embedding and tests."""

    def __init__(self, folder: Path | None, *, texts: bool = True) -> None:
        """Opens or creates ``folder/journal.jsonl`` and locks it. ``texts=False`` leaves prompts and replies out."""
        self.folder = folder
        self.texts = texts
        self.recovered: tuple[Event, ...] = ()
        self.listeners: list[Callable[[Event], None]] = []
        self._seen: set[tuple[str, str, str]] = set()
        self._handle = -1
        if folder is not None:
            self._open(folder)

    @property
    def path(self) -> Path | None:
        return None if self.folder is None else self.folder / FILE_NAME

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
            whole = path.read_bytes().rfind(b"\n") + 1
            os.ftruncate(self._handle, whole)
            self.recovered = tuple(read_events(path))
        except BaseException:
            self.close()
            raise
        self._seen = {(event.type, event.task, event.key) for event in self.recovered}

    def append(self, event: Event) -> None:
        """Writes an effect; when it returns, the event survives a kill of the process."""
        data = event.data if self.texts or event.type == "run_started" else without_texts(event.data)
        heading = {"type": event.type, "task": event.task, "key": event.key, "elapsed": round(event.elapsed, 3)}
        line = orjson.dumps({**heading, "time": round(time.time(), 3), **data, **heading}, option=_OPTIONS)
        self._write(line)
        self._seen.add((event.type, event.task, event.key))
        for listener in self.listeners:
            listener(event)

    def note(self, event: Event) -> None:
        """Writes a note unless the journal already has it; listeners hear of it either way."""
        if (event.type, event.task, event.key) in self._seen:
            for listener in self.listeners:
                listener(event)
            return
        self.append(event)

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
            os.fsync(self._handle)
            os.close(self._handle)
            self._handle = -1
