"""Runs queries on a database that they cannot change, and compares what they bring. The text of this file is also run
in a child process: it imports the standard library only."""

from __future__ import annotations

import sqlite3
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

_MOST_ROWS = 100_000
"""Rows of a gold result; more are not compared."""
_MOST_COLUMNS = 6
"""Columns whose order is tried."""
_LONGEST_VALUE = 10_000_000
_STEPS = 1000
"""Steps of SQLite's machine between two looks at the clock."""
_READS = {
    sqlite3.SQLITE_SELECT,
    sqlite3.SQLITE_READ,
    sqlite3.SQLITE_FUNCTION,
    sqlite3.SQLITE_RECURSIVE,
}


def carry_out(job: dict[str, Any]) -> dict[str, Any]:
    """``job``: ``dump`` or ``path``, ``gold``, ``predicted``, ``ordered``, ``any_order`` of columns, ``seconds`` a
    query.

    Returns ``same``, ``rows`` (of the prediction, no more than one past the gold's) and ``error`` of the prediction; an
    error of the gold query stands under ``gold_error``."""
    connection = open_database(job["dump"], job["path"])
    try:
        gold = rows_of(connection, job["gold"], job["seconds"], _MOST_ROWS)
    except Exception as error:
        return {"same": False, "rows": 0, "error": "", "gold_error": f"{type(error).__name__}: {error}"[:300]}
    try:
        found = rows_of(connection, job["predicted"], job["seconds"], len(gold) + 1)
    except Exception as error:
        return {"same": False, "rows": 0, "error": f"{type(error).__name__}: {error}"[:300]}
    return {
        "same": same_result(gold, found, ordered=job["ordered"], any_order=job["any_order"]),
        "rows": len(found),
        "error": "",
    }


def open_database(dump: str, path: str) -> sqlite3.Connection:
    """The database of a dump, in memory, or of a file (``path``), read-only; from here on nothing can be changed in
    it."""
    address = f"file:{quote(path)}?mode=ro&immutable=1" if path else "file::memory:"
    connection = sqlite3.connect(address, uri=True)
    connection.setlimit(sqlite3.SQLITE_LIMIT_ATTACHED, 0)
    if dump:
        connection.executescript(dump)
    connection.text_factory = lambda data: data.decode(errors="replace")
    connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, _LONGEST_VALUE)
    connection.set_authorizer(_allowed)
    return connection


def rows_of(connection: sqlite3.Connection, query: str, seconds: float, most: int) -> list[tuple[Any, ...]]:
    """The first rows of one query. Raises sqlite3's errors, and TimeoutError after so many seconds of processor
    time."""
    end = time.process_time() + seconds
    connection.set_progress_handler(lambda: time.process_time() > end, _STEPS)
    try:
        return connection.execute(query).fetchmany(most)
    except sqlite3.OperationalError as error:
        if "interrupted" in str(error):
            raise TimeoutError(f"the query ran longer than {seconds:g} s") from None
        raise
    finally:
        connection.set_progress_handler(None, _STEPS)


def same_result(gold: list[tuple[Any, ...]], found: list[tuple[Any, ...]], *, ordered: bool, any_order: bool) -> bool:
    """Whether two results hold the same rows: as lists, or as multisets. Floats count to nine digits, and 1 equals 1.0.

    ``any_order``: some order of the columns must do, where there are no more than six."""
    if len(gold) != len(found):
        return False
    if not gold:
        return True
    left, right = [_plain(row) for row in gold], [_plain(row) for row in found]
    width = len(left[0])
    if width != len(right[0]):
        return False
    orders = _orders(left, right, width) if any_order and width <= _MOST_COLUMNS else iter([tuple(range(width))])
    for order in orders:
        turned = [tuple(row[column] for column in order) for row in right]
        if turned == left if ordered else Counter(turned) == Counter(left):
            return True
    return False


def _orders(left: list[tuple[Any, ...]], right: list[tuple[Any, ...]], width: int) -> Iterator[tuple[int, ...]]:
    """Orders of the right side's columns in which each holds the values of the left side's column at its place."""
    wanted = [Counter(row[column] for row in left) for column in range(width)]
    given = [Counter(row[column] for row in right) for column in range(width)]
    fits = [[at for at in range(width) if given[at] == wanted[column]] for column in range(width)]

    def further(chosen: tuple[int, ...]) -> Iterator[tuple[int, ...]]:
        if len(chosen) == width:
            yield chosen
            return
        for at in fits[len(chosen)]:
            if at not in chosen:
                yield from further((*chosen, at))

    return further(())


def _plain(row: tuple[Any, ...]) -> tuple[Any, ...]:
    return tuple(float(f"{value:.9g}") if isinstance(value, float) else value for value in row)


def _allowed(action: int, first: str | None, second: str | None, database: str | None, within: str | None) -> int:
    loads = action == sqlite3.SQLITE_FUNCTION and str(second).lower() == "load_extension"
    return sqlite3.SQLITE_OK if action in _READS and not loads else sqlite3.SQLITE_DENY
