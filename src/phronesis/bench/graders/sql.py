"""Queries graded by their result on the row's database."""

from __future__ import annotations

import re
import sqlite3
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from phronesis.bench.dataset import Example
from phronesis.bench.graders import sql_execution
from phronesis.bench.graders.code_blocks import last_block
from phronesis.bench.graders.facts import needed, text_of, unfit
from phronesis.bench.graders.grader import WRONG, Attempted, Grade, GraderContext, graded
from phronesis.bench.graders.table import GraderEntry
from phronesis.core.errors import ConfigurationError, ToolError
from phronesis.tools import sqlite_reading
from phronesis.tools.children import in_child
from phronesis.tools.python_execution import PythonPrograms

_LANGUAGES = ("sql", "sqlite", "sqlite3", "")
_QUERY = re.compile(r"(?i)\b(?:select\b|with\s+(?:recursive\s+)?\w+\s*(?:\([^()]{0,500}\)\s*)?as\s*\()")
_STARTS = re.compile(
    r"(?im)^[ \t`*>]{0,40}(?:(?:final +)?answer {0,4}(?:is|:|=)|sql *:|query *:)?[ \t`*]{0,40}(?=(?:select|with)\b)"
)
_STATEMENT = re.compile(r"(?:[^;'\"`]|'[^']*'|\"[^\"]*\")*")
_HEADER = b"SQLite format 3\x00"
_LONGEST = 20_000
"""Characters of a query."""


class SqlOptions(BaseModel):
    """How results are compared."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    column_order: Literal["any", "strict"] = "any"
    """``any``: columns may stand in another order, as Spider's test-suite evaluator has it (up to six of them; wider
    results are compared strictly). ``strict``: they may not."""
    seconds: float = Field(5.0, gt=0, le=60)
    """Processor time of each query."""


class BySql:
    """Right when the query brings what the gold query brings: the same multiset of rows, or the same list with
    ``ordered``.

    Facts: ``db`` (SQL dump or SQLite file, relative to the data set's folder and inside it), ``gold_sql``, ``ordered``
    (false), ``gold_empty``. Read is the last fenced block of SQL, else the last statement that begins a line. Queries
    run in a child process on a database they cannot change; writes, ATTACH, pragmas and a second statement are refused.
    Figures: ``runs`` (1 when the query raised no error), ``gold_empty`` (1 where the gold result is empty: leave those
    questions out of the accuracy, or give it apart)."""

    reads: Literal["answer", "text"] = "text"

    def __init__(self, folder: Path | None, options: SqlOptions) -> None:
        self._folder = folder
        self._options = options
        self._programs = PythonPrograms(seconds=2 * options.seconds + 5)
        self._databases: dict[str, tuple[str, str]] = {}
        self._empty: dict[tuple[str, str], bool] = {}

    def check(self, example: Example) -> None:
        ordered = example.facts.get("ordered", False)
        if not isinstance(ordered, bool):
            raise unfit(example, "ordered", "it is neither true nor false")
        self._gold_empty(example)

    async def grade(self, example: Example, attempt: Attempted) -> Grade:
        query = query_of(text_of(attempt))
        if query is None:
            return WRONG
        dump, path = self._database(example)
        job: dict[str, Any] = {
            "dump": dump,
            "path": path,
            "gold": example.facts["gold_sql"],
            "predicted": query,
            "ordered": bool(example.facts.get("ordered", False)),
            "any_order": self._options.column_order == "any",
            "seconds": self._options.seconds,
        }
        programs = replace(self._programs, readable=(path,)) if path else self._programs
        reply, ending = await in_child(programs, sqlite_reading, sql_execution, job=job)
        gold_empty = float(self._gold_empty(example))
        if reply is None:
            return graded(False, f"{query}\n{ending}", runs=0.0, gold_empty=gold_empty)
        if "gold_error" in reply:
            raise ToolError(f"the gold query of {example.task.id!r} failed under limits: {reply['gold_error']}")
        error = str(reply["error"])
        read = f"{query}\n{error}" if error else query
        return graded(reply["same"] is True, read, runs=float(not error), gold_empty=gold_empty)

    def _gold_empty(self, example: Example) -> bool:
        """Whether the gold query brings no row. Raises ConfigurationError when it fails."""
        key = needed(example, "db", str), needed(example, "gold_sql", str)
        if key not in self._empty:
            try:
                connection = sqlite_reading.open_database(*self._database(example))
                try:
                    rows = sqlite_reading.rows_of(connection, key[1], self._options.seconds, 1)
                finally:
                    connection.close()
            except (sqlite3.Error, sqlite3.Warning, TimeoutError) as error:
                raise unfit(example, "gold_sql", f"it fails on {key[0]!r}: {error}") from None
            self._empty[key] = not rows
        return self._empty[key]

    def _database(self, example: Example) -> tuple[str, str]:
        """(the dump's text, "") or ("", the path of a SQLite file)."""
        name = needed(example, "db", str)
        if name not in self._databases:
            self._databases[name] = _read_database(self._folder, name, example)
        return self._databases[name]

    async def close(self) -> None:
        pass


def _read_database(folder: Path | None, name: str, example: Example) -> tuple[str, str]:
    if folder is None:
        raise ConfigurationError(
            f"the grader sql of {example.task.id!r} looks for {name!r} in the data set's folder, and the set has none",
            mend="load the set from a folder",
        )
    root = folder.resolve()
    try:
        path = (root / name).resolve()
        if not path.is_relative_to(root):
            raise unfit(example, "db", f"it lies outside of {str(root)!r}")
        data = path.read_bytes()[: len(_HEADER)]
        return ("", str(path)) if data == _HEADER else (path.read_text(encoding="utf-8"), "")
    except (OSError, ValueError) as error:
        raise unfit(example, "db", f"it cannot be read: {error}") from None


def query_of(text: str) -> str | None:
    """The query of a reply, without its closing semicolon; None when there is none or it has over 20,000 characters."""
    block = last_block(text, _LANGUAGES, lambda content: _QUERY.search(content) is not None)
    source = block if block is not None and _QUERY.search(block) else _unfenced(text)
    start = _QUERY.search(source)
    if start is None or len(source) - start.start() > _LONGEST:
        return None
    body = source[start.start() :]
    statement = _STATEMENT.match(body)
    query = statement[0] if statement is not None and body[statement.end() :][:1] == ";" else body
    return query.strip().strip("`").strip() or None


def _unfenced(text: str) -> str:
    """The last paragraph in which a line begins with a query, from there on; else the line with the last SELECT."""
    for part in reversed(re.split(r"\n[ \t]*\n", text[-_LONGEST:])):
        found = _STARTS.search(part)
        if found is not None:
            return part[found.end() :]
    lines = [line for line in text[-_LONGEST:].splitlines() if re.search(r"\bSELECT\b", line)]
    return lines[-1] if lines else ""


def _build(context: GraderContext, options: SqlOptions) -> BySql:
    return BySql(context.folder, options)


ENTRY = GraderEntry(
    name="sql",
    summary="a query that brings the gold query's rows on the row's SQLite database (Spider)",
    options=SqlOptions,
    build=_build,
)
