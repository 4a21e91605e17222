"""Deleting run folders: which ones, and so that a kill half-way leaves nothing that looks like a run."""

from __future__ import annotations

import fcntl
import os
import re
import secrets
import shutil
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from difflib import get_close_matches
from pathlib import Path

from phronesis.core.errors import ConfigurationError, JournalUnwritable
from phronesis.core.events import FILE_NAME
from phronesis.core.settings import Settings
from phronesis.graphs.run_folder import RunSummary, newness

PRUNABLE = ("finished", "failed", "interrupted")
DEFAULT_STATUSES = ("finished", "failed")
"""An interrupted run can be resumed; it goes only when asked for."""
_GONE = ".deleted-"
_AGE = re.compile(r"(\d+)\s*([mhdw])")
_UNITS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


def age_of(text: str) -> timedelta:
    """``30d``, ``12h``, ``45m`` or ``2w``. Raises ConfigurationError for anything else."""
    found = _AGE.fullmatch(text.strip())
    if found is None:
        raise ConfigurationError(f"--older-than {text!r} is no age", mend="write 30d, 12h, 45m or 2w")
    return timedelta(**{_UNITS[found[2]]: int(found[1])})


def statuses_of(text: str) -> tuple[str, ...]:
    """Statuses between commas. Raises ConfigurationError for one that cannot be pruned."""
    found = tuple(part.strip() for part in text.split(",") if part.strip())
    wrong = [part for part in found if part not in PRUNABLE]
    if wrong or not found:
        shown = wrong[0] if wrong else text
        raise ConfigurationError(f"--status {shown!r} cannot be pruned", mend=f"choose from {','.join(PRUNABLE)}")
    return found


def prunable(
    runs: Sequence[RunSummary],
    *,
    keep: int = 0,
    older_than: timedelta | None = None,
    statuses: Sequence[str] = DEFAULT_STATUSES,
    now: datetime | None = None,
) -> list[RunSummary]:
    """The runs that may go, newest first: of these statuses, not among the ``keep`` newest of them, begun long enough ago."""
    chosen = sorted((run for run in runs if run.status in statuses), key=newness, reverse=True)[keep:]
    if older_than is None:
        return chosen
    limit = (now or datetime.now(UTC)) - older_than
    return [run for run in chosen if begun(run) < limit]


def named(runs: Sequence[RunSummary], ids: Sequence[str]) -> list[RunSummary]:
    """The runs with these ids, whatever their status, newest first. Raises ConfigurationError that names an unknown one."""
    known = {run.run_id for run in runs}
    for run_id in ids:
        if run_id not in known:
            near = get_close_matches(run_id, known, n=1, cutoff=0.5)
            hint = f"did you mean {near[0]!r}?" if near else "`phronesis runs list` shows the runs there are"
            raise ConfigurationError(f"there is no run {run_id!r}", mend=hint)
    return [run for run in runs if run.run_id in ids]


def begun(run: RunSummary) -> datetime:
    """When the run began."""
    return datetime.strptime(run.started, "%Y%m%d-%H%M%S").replace(tzinfo=UTC)


def sources_of(runs: Sequence[RunSummary], going: Sequence[RunSummary]) -> dict[str, list[str]]:
    """Runs that go -> runs that stay and name them, as what they replay or as their sample bank. These keep what they
    read, but cannot be resumed when unfinished."""
    names = {run.run_id for run in going}
    named: dict[str, list[str]] = {}
    for run in runs:
        for source in {run.replayed_from, run.bank} & names:
            if run.run_id not in names:
                named.setdefault(source, []).append(run.run_id)
    return named


def delete_run(folder: Path) -> bool:
    """Deletes a run's folder. False, and nothing is done, while a process works on it or replays it.

    Raises JournalUnwritable where the folder cannot be changed."""
    try:
        handle = os.open(folder / FILE_NAME, os.O_RDONLY)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        gone = folder.with_name(f"{_GONE}{folder.name}-{secrets.token_hex(3)}")
        folder.rename(gone)
        shutil.rmtree(gone)
    except BlockingIOError:
        return False
    except OSError as error:
        raise JournalUnwritable(
            f"cannot delete {str(folder)!r}: {error.strerror}", mend="make the runs folder writable, then prune again"
        ) from None
    finally:
        os.close(handle)
    return True


def sweep(settings: Settings) -> int:
    """Deletes what an earlier prune that was killed left; how many folders that were."""
    left = [item for item in settings.runs.glob(f"{_GONE}*") if item.is_dir()] if settings.runs.is_dir() else []
    for folder in left:
        shutil.rmtree(folder, ignore_errors=True)
    return len(left)
