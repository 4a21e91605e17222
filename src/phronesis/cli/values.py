"""Option values: ``knobs.k=8``, ``calls=40,seconds=120``, dataset lines."""

from __future__ import annotations

import codecs
import sys
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
from pydantic import ValidationError

from phronesis.core.errors import ConfigurationError
from phronesis.core.task import Task, task_of_row


def toml_value(text: str) -> Any:
    """8, 0.5, true, "x" and [1, 2] as TOML reads them; anything else is the text itself."""
    try:
        return tomllib.loads(f"v = {text}")["v"]
    except tomllib.TOMLDecodeError:
        return text


def settings_of(pairs: Sequence[str], *, option: str) -> dict[str, Any]:
    """KEY=VALUE pairs. Raises ConfigurationError for one without '='."""
    found = {}
    for pair in pairs:
        key, separator, value = pair.partition("=")
        if not separator or not key.strip():
            raise ConfigurationError(f"{option} {pair!r} is not KEY=VALUE", mend=f"write {option} knobs.k=8")
        found[key.strip()] = toml_value(value.strip())
    return found


def budget_of(text: str | None) -> dict[str, Any]:
    """``calls=40,seconds=120`` as overrides of the recipe's budget."""
    if not text:
        return {}
    pairs = settings_of(text.split(","), option="--budget")
    return {f"budget.{limit}": value for limit, value in pairs.items()}


@dataclass(frozen=True)
class BadLine:
    """A dataset line that is no task."""

    number: int
    reason: str


STANDARD_INPUT = Path("-")


def read_tasks(path: Path) -> tuple[list[Task], list[BadLine]]:
    """Tasks and bad lines of a JSONL file, in order; ``-`` is standard input. A line holds ``question`` or ``messages``,
    and may hold ``id``, ``context`` and ``answer_format``; other fields, gold answers above all, are never read.

    Empty lines at the end are no lines. Raises ConfigurationError when the file cannot be read."""
    try:
        whole = sys.stdin.buffer.read() if path == STANDARD_INPUT else path.read_bytes()
    except OSError as error:
        raise ConfigurationError(f"cannot read the data set {str(path)!r}: {error}", mend="check the path") from None
    tasks: list[Task] = []
    bad: list[BadLine] = []
    seen: set[str] = set()
    for number, line in enumerate(whole.removeprefix(codecs.BOM_UTF8).rstrip().split(b"\n"), start=1):
        if not line.strip():
            bad.append(BadLine(number, "the line is empty"))
            continue
        try:
            task = task_of_row(orjson.loads(line), number)
        except orjson.JSONDecodeError as error:
            bad.append(BadLine(number, f"not JSON: {error}"))
            continue
        except (ValidationError, ValueError, TypeError) as error:
            bad.append(BadLine(number, _reason(error)))
            continue
        if task.id in seen:
            bad.append(BadLine(number, f"the id {task.id!r} stands on an earlier line too"))
            continue
        seen.add(task.id)
        tasks.append(task)
    return tasks, bad


def _reason(error: Exception) -> str:
    if not isinstance(error, ValidationError):
        return str(error)
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"])
    return f"{where}: {first['msg']}" if where else first["msg"]
