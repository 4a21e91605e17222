"""Run folders: names, status, finding one again."""

from __future__ import annotations

import fcntl
import os
import re
import secrets
import time
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Literal, NamedTuple

from phronesis.core.asking import OpenQuestions
from phronesis.core.errors import ConfigurationError
from phronesis.core.events import FILE_NAME, Event, EventIndex, read_events
from phronesis.core.settings import Settings

RunStatus = Literal["running", "interrupted", "finished", "failed"]
CONSOLIDATION = "consolidation"
"""What run lists show as recipe and strategy of a memory's consolidation."""
_NAME = re.compile(r"[0-9]{8}-[0-9]{6}-[0-9a-f]{6}")


def new_run_id() -> str:
    """A name that sorts by start time (UTC) and does not repeat."""
    return f"{time.strftime('%Y%m%d-%H%M%S', time.gmtime())}-{secrets.token_hex(3)}"


def run_folder(settings: Settings, run_id: str) -> Path:
    """The folder of an existing run: among the settings' runs, else in the home. Raises ConfigurationError with the nearest
    name; never leaves these folders."""
    if _NAME.fullmatch(run_id):
        for folder in (settings.runs / run_id, settings.home / "runs" / run_id):
            if (folder / FILE_NAME).is_file():
                return folder
    near = get_close_matches(run_id, [item.name for item in _folders(settings)], n=1, cutoff=0.5)
    hint = f"did you mean {near[0]!r}?" if near else "`phronesis runs list` shows the runs there are"
    raise ConfigurationError(f"there is no run {run_id!r} under {settings.runs}", mend=hint)


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
    """Calls in its journal, served ones of a replay too."""
    started: str
    """UTC, as in its name."""
    replayed_from: str = ""
    """The run it replays; empty = it is no replay."""
    bank: str = ""
    """The run whose attempts it scores again; empty = none."""
    bytes: int = 0
    """Size of its folder's files."""
    began: float = 0.0
    """Unix time of its first event; tells apart runs that began in one second."""
    questions: int = 0
    """Open ones: a person has to answer before their tasks go on."""


def _folders(settings: Settings) -> Iterator[Path]:
    if settings.runs.is_dir():
        yield from (item for item in settings.runs.iterdir() if _NAME.fullmatch(item.name))


def list_runs(settings: Settings) -> list[RunSummary]:
    """Every run, newest first."""
    found = [summarise(folder) for folder in _folders(settings) if (folder / FILE_NAME).is_file()]
    return sorted(found, key=newness, reverse=True)


def newness(run: RunSummary) -> tuple[str, float, str]:
    """Sorts runs by when they began."""
    return run.started, run.began, run.run_id


def summarise(folder: Path) -> RunSummary:
    """Status and counts of one run, read from its journal."""
    started: Mapping[str, Any] = {}
    end: Event | None = None
    tasks, calls = 0, 0
    finished: set[str] = set()
    questions = OpenQuestions()
    for event in read_events(folder / FILE_NAME):
        questions.hear(event)
        if event.type == "run_started":
            started = event.data
        elif event.type == "task_started":
            tasks += 1
        elif event.type == "call":
            calls += int(event.data.get("count", 1))
        elif event.type == "task_finished":
            finished.add(event.task)
        elif event.type == "retry":
            finished.discard(event.task)
        if event.type in ("run_finished", "retry"):
            end = event if event.type == "run_finished" else None
    recipe = started.get("recipe", {})
    return RunSummary(
        run_id=folder.name,
        status=_status(folder, end),
        recipe=str(recipe.get("name", "?")),
        strategy=str(recipe.get("strategy", "?")),
        tasks=tasks,
        finished=len(finished),
        calls=calls,
        started=folder.name[:15],
        replayed_from=str(started.get("replayed_from", "")),
        bank=str(recipe.get("knobs", {}).get("bank") or ""),
        began=float(started.get("time", 0.0)),
        questions=len(questions),
        bytes=sum(item.stat().st_size for item in folder.rglob("*") if item.is_file()),
    )


def _status(folder: Path, end: Event | None) -> RunStatus:
    if is_locked(folder):
        return "running"
    if end is None:
        return "interrupted"
    return "failed" if end.data.get("status") == "failed" else "finished"


def is_locked(folder: Path) -> bool:
    """Whether a process works on the run."""
    handle = os.open(folder / FILE_NAME, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(handle)
    return False


def disturbed_tasks(index: EventIndex) -> list[str]:
    """Tasks of which a failure is recorded, whatever came of them."""
    return [task for task in index.tasks_with.get("failure", ()) if task]


def failed_tasks(index: EventIndex) -> list[str]:
    """Tasks whose Result is failed."""
    finished = index.tasks_with.get("task_finished", [])
    results = ((task, next(index.of(task, "task_finished"), None)) for task in finished)
    return [task for task, event in results if event is not None and event.data["result"]["status"] == "failed"]
