"""Examples: tasks with their gold answers. Strategies never see one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
from pydantic import ValidationError

from phronesis.core.errors import ConfigurationError
from phronesis.core.task import AnswerFormat, Task, as_task

_GOLD = ("gold", "answer", "target")
_QUESTION = ("messages", "question", "problem", "input")


@dataclass(frozen=True, slots=True)
class Example:
    """A task and its right answer, as written."""

    task: Task
    gold: str


def read_examples(path: Path, *, format: AnswerFormat | None = None, limit: int | None = None) -> list[Example]:
    """The examples of a JSONL file, in order: a question (or messages), a gold answer (``gold``, else ``answer``), an id.

    Raises ConfigurationError naming the line: not JSON, a field missing, an id twice; or when there is none at all."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"cannot read the data set {str(path)!r}: {error}", mend="check the path") from None
    found: list[Example] = []
    seen: dict[str, int] = {}
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        if limit is not None and len(found) >= limit:
            break
        example = _example(line, f"{path}:{number}", format)
        if example.task.id in seen:
            raise ConfigurationError(
                f"{path}:{number}: the id {example.task.id!r} stands in line {seen[example.task.id]} too",
                mend="give each line its own id",
            )
        seen[example.task.id] = number
        found.append(example)
    if not found:
        raise ConfigurationError(f"{str(path)!r} holds no example", mend="one JSON object a line: question, gold, id")
    return found


def _example(line: str, where: str, format: AnswerFormat | None) -> Example:
    try:
        row = orjson.loads(line)
    except ValueError as error:
        raise ConfigurationError(f"{where} is not JSON: {error}", mend="one JSON object a line") from None
    if not isinstance(row, dict):
        raise ConfigurationError(f"{where} is not an object", mend="one JSON object a line")
    gold, asked = _first(row, _GOLD), _first(row, _QUESTION)
    if gold is None:
        raise ConfigurationError(f"{where} has no gold answer", mend='add "gold"')
    if asked is None:
        raise ConfigurationError(f"{where} has no question", mend='add "question"')
    wanted = row.get("answer_format", format)
    try:
        task = Task(messages=asked, id=str(row.get("id") or ""), context=row.get("context"), answer_format=wanted)
    except ValidationError as error:
        raise ConfigurationError(f"{where}: {error.errors()[0]['msg']}", mend="correct the line") from None
    return Example(as_task(task), str(gold))


def _first(row: dict[str, Any], names: Sequence[str]) -> Any:
    return next((row[name] for name in names if row.get(name) not in (None, "")), None)
