"""Run folders: names, status, finding one again."""

from __future__ import annotations

import fcntl
import os
import re
import secrets
import time
from collections.abc import Iterator
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Literal, NamedTuple

from phronesis.core.errors import ConfigurationError
from phronesis.core.journal import FILE_NAME, Event, read_events
from phronesis.core.settings import Settings

RunStatus = Literal["running", "interrupted", "finished", "failed"]
_NAME = re.compile(r"[0-9]{8}-[0-9]{6}-[0-9a-f]{6}")


def new_run_id() -> str:
    """A name that sorts by start time (UTC) and does not repeat."""
    return f"{time.strftime('%Y%m%d-%H%M%S', time.gmtime())}-{secrets.token_hex(3)}"


def run_folder(settings: Settings, run_id: str) -> Path:
    """The folder of an existing run. Raises ConfigurationError with the nearest name; never leaves the runs folder."""
    folder = settings.runs / run_id
    if not _NAME.fullmatch(run_id) or not (folder / FILE_NAME).is_file():
        near = get_close_matches(run_id, [item.name for item in _folders(settings)], n=1, cutoff=0.5)
        hint = f"did you mean {near[0]!r}?" if near else "`phronesis runs list` shows the runs there are"
        raise ConfigurationError(f"there is no run {run_id!r} under {settings.runs}", mend=hint)
    return folder


class RunSummary(NamedTuple):
    """A run as a list shows it."""

    run_id: str
    status: RunStatus
    recipe: str
    strategy: str
    tasks: int
    finished: int
    """Tasks that have a Result."""
    calls: int
    started: str


def _folders(settings: Settings) -> Iterator[Path]:
    if settings.runs.is_dir():
        yield from (item for item in settings.runs.iterdir() if _NAME.fullmatch(item.name))


def list_runs(settings: Settings) -> list[RunSummary]:
    """Every run, newest first."""
    found = [summarise(folder) for folder in _folders(settings) if (folder / FILE_NAME).is_file()]
    return sorted(found, key=lambda run: run.run_id, reverse=True)


def summarise(folder: Path) -> RunSummary:
    """Status and counts of one run, read from its journal."""
    events = list(read_events(folder / FILE_NAME))
    started: dict[str, Any] = next((dict(event.data) for event in events if event.type == "run_started"), {})
    recipe = started.get("recipe", {})
    calls = sum(int(event.data["count"]) if "count" in event.data else 1 for event in events if event.type == "call")
    return RunSummary(
        run_id=folder.name,
        status=_status(folder, events),
        recipe=str(recipe.get("name", "?")),
        strategy=str(recipe.get("strategy", "?")),
        tasks=sum(event.type == "task_started" for event in events),
        finished=sum(event.type == "task_finished" for event in events),
        calls=calls,
        started=folder.name[:15],
    )


def _status(folder: Path, events: list[Event]) -> RunStatus:
    end = next((event for event in reversed(events) if event.type == "run_finished"), None)
    if end is not None:
        return "failed" if end.data.get("status") == "failed" else "finished"
    handle = os.open(folder / FILE_NAME, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return "running"
    finally:
        os.close(handle)
    return "interrupted"
