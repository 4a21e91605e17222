"""Reads SQLite databases that nothing can be changed in. The text of this file is also run in a child process: it imports the
standard library only."""

from __future__ import annotations

import sqlite3
import time
from typing import Any
from urllib.parse import quote

_LONGEST_VALUE = 10_000_000
_STEPS = 1000
"""Steps of SQLite's machine between two looks at the clock."""
_READS = {
    sqlite3.SQLITE_SELECT,
    sqlite3.SQLITE_READ,
    sqlite3.SQLITE_FUNCTION,
    sqlite3.SQLITE_RECURSIVE,
}


def open_database(dump: str, path: str, *, immutable: bool = True) -> sqlite3.Connection:
    """The database of a dump, in memory, or of a file (``path``), read-only; from here on nothing can be changed in it.

    ``immutable``: nobody else writes the file either, so no lock is taken and no journal beside it is looked at."""
    address = f"file:{quote(path)}?mode=ro{'&immutable=1' if immutable else ''}" if path else "file::memory:"
    connection = sqlite3.connect(address, uri=True)
    connection.setlimit(sqlite3.SQLITE_LIMIT_ATTACHED, 0)
    if dump:
        connection.executescript(dump)
    connection.text_factory = lambda data: data.decode(errors="replace")
    connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, _LONGEST_VALUE)
    connection.execute("PRAGMA query_only = 1")
    connection.set_authorizer(_allowed)
    return connection


def rows_of(connection: sqlite3.Connection, query: str, seconds: float, most: int) -> list[tuple[Any, ...]]:
    """The first rows of one query. Raises sqlite3's errors, and TimeoutError after so many seconds of processor
    time."""
    return table_of(connection, query, seconds, most)[1]


def table_of(
    connection: sqlite3.Connection, query: str, seconds: float, most: int
) -> tuple[list[str], list[tuple[Any, ...]]]:
    """Names of the columns and the first rows of one query. Raises as ``rows_of`` does."""
    end = time.process_time() + seconds
    connection.set_progress_handler(lambda: time.process_time() > end, _STEPS)
    try:
        cursor = connection.execute(query)
        return [column[0] for column in cursor.description or ()], cursor.fetchmany(most)
    except sqlite3.OperationalError as error:
        if "interrupted" in str(error):
            raise TimeoutError(f"the query ran longer than {seconds:g} s") from None
        raise
    finally:
        connection.set_progress_handler(None, _STEPS)


def _allowed(action: int, first: str | None, second: str | None, database: str | None, within: str | None) -> int:
    loads = action == sqlite3.SQLITE_FUNCTION and str(second).lower() == "load_extension"
    return sqlite3.SQLITE_OK if action in _READS and not loads else sqlite3.SQLITE_DENY
