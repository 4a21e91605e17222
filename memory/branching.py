"""Makes a memory of a version of another: copied aside, brought to that version there, and put in place with one rename."""

from __future__ import annotations

import os
import secrets
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

from phronesis.core.errors import ConfigurationError, SetupError
from phronesis.index.lease import Lease
from phronesis.memory.ledger import FILE_NAME, Ledger
from phronesis.memory.restoring import restore

UNFINISHED = ".unfinished"
"""Folder beside the memories in which copies are made. One level deeper than they lie, so none of it is ever listed."""


def branch(source: Ledger, folder: Path, *, name: str, version: int) -> None:
    """Puts a copy of the ledger, as it was at the version, into the new folder. A kill leaves nothing there.

    Raises ConfigurationError when the folder exists, SetupError when it cannot be written."""
    _refuse_existing(folder)
    aside = folder.parent / UNFINISHED
    try:
        aside.mkdir(parents=True, exist_ok=True)
        sweep(folder.parent)
        made, lease = _new_folder(aside)
        try:
            _copy(source, made / FILE_NAME)
            with closing(Ledger.open(made)) as copy:
                restore(copy, None, version, views=None, operation=None)
                with copy.writing() as transaction:
                    payload = {"from": name, "version": version}
                    transaction.append_event("branched", concept=None, operation="", payload=payload)
            _sync(made / FILE_NAME, made)
            _refuse_existing(folder)
            os.rename(made, folder)
            _sync(folder.parent)
        finally:
            shutil.rmtree(made, ignore_errors=True)
            made.with_suffix(".lock").unlink(missing_ok=True)
            lease.release()
    except OSError as error:
        if folder.exists():
            _refuse_existing(folder)
        raise SetupError(
            f"cannot make the memory {folder.name!r}: {error}", mend="check space and rights, or set PHRONESIS_HOME"
        ) from error


def _refuse_existing(folder: Path) -> None:
    if folder.exists():
        raise ConfigurationError(
            f"there is a memory {folder.name!r} already: {str(folder)!r}", mend="choose another name"
        )


def _copy(source: Ledger, path: Path) -> None:
    """The whole ledger as it is now: SQLite's own backup, which other processes' writes do not tear."""
    with source.reading() as connection, closing(sqlite3.connect(path)) as copy:
        connection.backup(copy)


def _new_folder(aside: Path) -> tuple[Path, Lease]:
    """An empty folder whose lock says that somebody works in it; the lock comes first."""
    while True:
        made = aside / secrets.token_hex(6)
        lease = Lease.take(made.with_suffix(".lock"))
        if lease is not None:
            made.mkdir()
            return made, lease


def sweep(root: Path) -> None:
    """Removes what killed processes left under the memory folder: unfinished copies whose lock nobody holds."""
    for lock in (root / UNFINISHED).glob("*.lock"):
        lease = Lease.take(lock)
        if lease is not None:
            shutil.rmtree(lock.with_suffix(""), ignore_errors=True)
            lock.unlink(missing_ok=True)
            lease.release()


def _sync(*paths: Path) -> None:
    for path in paths:
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
