"""Opens a ledger that is only read: one that is mounted, perhaps from a folder nobody may write to."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from phronesis.core.errors import SetupError


def connect_to_read(path: Path, *, busy_seconds: float) -> sqlite3.Connection:
    """A connection that cannot write. SQLite may leave its two side files beside the ledger; where it may not, the file is
    read as if nobody ever wrote to it.

    Raises SetupError when that would hide changes, and SQLite's own errors for a file that cannot be read."""
    try:
        return _connect(path, "mode=ro", busy_seconds)
    except sqlite3.OperationalError as error:
        if not error.sqlite_errorname.startswith(("SQLITE_CANTOPEN", "SQLITE_READONLY")):
            raise
    log = path.with_name(f"{path.name}-wal")
    if log.is_file() and log.stat().st_size:
        raise SetupError(
            f"{str(path)!r} has changes that cannot be read from a folder without write rights",
            mend=f"let somebody who may write there run: phronesis memory stats --session {path.parent.name}",
        )
    return _connect(path, "immutable=1", busy_seconds)


def _connect(path: Path, how: str, busy_seconds: float) -> sqlite3.Connection:
    connection = sqlite3.connect(
        f"{path.absolute().as_uri()}?{how}",
        uri=True,
        timeout=busy_seconds,
        isolation_level=None,
        check_same_thread=False,
    )
    try:
        connection.execute("PRAGMA query_only = ON")
        connection.execute("SELECT COUNT(*) FROM sqlite_master").fetchone()
    except BaseException:
        connection.close()
        raise
    return connection
