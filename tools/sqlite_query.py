"""One query on one SQLite file, as JSON. The text of this file is run in a child process: it imports the standard library
and what stands before it."""

from __future__ import annotations

import sqlite3
from typing import Any

from phronesis.tools.sqlite_reading import open_database, table_of

_SCHEMA = "SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL AND name NOT LIKE 'sqlite_%' ORDER BY rowid"
_LONGEST_CELL = 1000
"""Characters of one value that are kept."""


def carry_out(job: dict[str, Any]) -> dict[str, Any]:
    """``job``: ``path``, ``query`` (empty = the schema), ``rows`` at most, ``seconds``.

    Returns ``columns``, ``rows`` and ``more`` (whether there are further ones), or ``error``."""
    try:
        connection = _opened(job["path"])
        columns, rows = table_of(connection, job["query"] or _SCHEMA, job["seconds"], job["rows"] + 1)
    except Exception as error:
        return {"error": f"{type(error).__name__}: {error}"[:500]}
    kept = [[_cell(value) for value in row] for row in rows[: job["rows"]]]
    return {"columns": columns, "rows": kept, "more": len(rows) > job["rows"]}


def _opened(path: str) -> sqlite3.Connection:
    """With the locks that others who write it expect, where they can be taken."""
    connection = open_database("", path, immutable=False)
    try:
        connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
        return connection
    except sqlite3.OperationalError:
        connection.close()
        return open_database("", path)


def _cell(value: Any) -> Any:
    if isinstance(value, bytes):
        return f"x'{value[:_LONGEST_CELL].hex()}'"
    if isinstance(value, float) and value in (float("inf"), float("-inf")):
        return str(value)
    if isinstance(value, str) and len(value) > _LONGEST_CELL:
        return f"{value[:_LONGEST_CELL]}..."
    return value
