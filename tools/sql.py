"""The tool ``sql``: queries on one SQLite file that nothing can be changed in.

The file is opened read-only in a process of its own, under limits of time and memory and shut in as programs are. SQLite is
told to allow reading alone: writes, ATTACH, PRAGMA, a second statement and extensions are refused. Pure: what others write
into the file meanwhile may be seen by a later, different query only.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from phronesis.core.errors import ConfigurationError, ToolError
from phronesis.core.tool import Tool, ToolEntry, ToolOutput, ToolSurroundings
from phronesis.tools import sqlite_query, sqlite_reading
from phronesis.tools.children import in_child
from phronesis.tools.function_tool import tool
from phronesis.tools.options import ToolOptions
from phronesis.tools.python_execution import PythonPrograms

_DESCRIPTION = (
    "Runs one SELECT query (SQLite dialect) on a database that cannot be changed, and returns the first {rows} rows as a "
    "table. The database:\n{schema}"
)
_REPLY = 2_000_000
"""Characters of a result; a larger one is refused."""


class SqlOptions(ToolOptions):
    """Which file, and how much of it is shown."""

    file: Path
    """A SQLite file; relative to the working folder."""
    name: str = Field(default="sql", pattern=r"^[A-Za-z_]\w{0,63}$")
    """What the tool is called; give each file its own."""
    rows: int = Field(default=50, ge=1, le=10_000)
    """Rows of a result that are returned."""
    seconds: float = Field(default=5.0, gt=0, le=600)
    """Processor time of a query."""
    schema_length: int = Field(default=4000, ge=100)
    """Characters of the database's schema that the description holds."""


async def _open(options: SqlOptions, around: ToolSurroundings) -> Sequence[Tool]:
    path = options.file.expanduser().absolute()
    if not path.is_file():
        raise ConfigurationError(
            f"there is no file {str(options.file)!r} for the tool {options.name!r}", mend="check file="
        )
    whole = str(path)
    runner = PythonPrograms(
        seconds=options.seconds + 2, output=_REPLY, readable=(whole, f"{whole}-wal", f"{whole}-shm", f"{whole}-journal")
    )

    async def asked(query: str, rows: int) -> dict[str, Any]:
        job = {"path": whole, "query": query, "rows": rows, "seconds": options.seconds}
        reply, ending = await in_child(runner, sqlite_reading, sqlite_query, job=job)
        return {"error": ending} if reply is None else reply

    found = await asked("", 1000)
    if "error" in found:
        raise ConfigurationError(
            f"{str(options.file)!r} cannot be read as SQLite: {found['error']}", mend="check file="
        )
    schema = "\n".join(str(row[0]) for row in found["rows"]) or "(it has no tables)"
    if len(schema) > options.schema_length:
        schema = f"{schema[: options.schema_length]}\n[cut off; ask sqlite_schema for more]"

    @tool(name=options.name, pure=True, timeout=2 * options.seconds + 15)
    async def sql(query: Annotated[str, Field(description="One SELECT statement.")]) -> ToolOutput:
        """Set below."""
        reply = await asked(query, options.rows)
        if "error" in reply:
            raise _refused(query, str(reply["error"]))
        return _shown(reply)

    return (sql.described(_DESCRIPTION.format(rows=options.rows, schema=schema)),)


def _refused(query: str, error: str) -> ToolError:
    shown = query if len(query) <= 200 else f"{query[:200]}..."
    mend = "correct the query"
    if "not authorized" in error or "prohibited" in error or "readonly" in error:
        mend = "only reading is allowed: write one SELECT"
    elif "one statement" in error:
        mend = "write one statement a call"
    elif "TimeoutError" in error:
        mend = "ask for less: a condition, an aggregate, a LIMIT"
    return ToolError(f"{shown!r} failed: {error}", mend=mend)


def _shown(reply: dict[str, Any]) -> ToolOutput:
    """A table with ``|`` between the cells; nothing is padded, so that it costs few tokens."""
    columns, rows = reply["columns"], reply["rows"]
    lines = [" | ".join(_cell(value) for value in row) for row in [columns, *rows]]
    count = "1 row" if len(rows) == 1 else f"{len(rows)} rows"
    end = f"[{count}; there are more]" if reply["more"] else f"[{count}]"
    return ToolOutput(text="\n".join([*lines, end]), data={"columns": columns, "rows": rows, "more": reply["more"]})


def _cell(value: Any) -> str:
    return "NULL" if value is None else str(value).replace("\n", "\\n").replace("|", "\\|")


ENTRY = ToolEntry("sql", "SELECT queries on a SQLite file that cannot be changed", SqlOptions, _open)
