"""Examples: tasks with their gold answers. Strategies never see one."""

from __future__ import annotations

import codecs
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import orjson
from pydantic import ValidationError

from phronesis.core.errors import ConfigurationError
from phronesis.core.task import AnswerFormat, Task, task_of_row
from phronesis.tools.answers import answer_space

_GOLD = ("gold", "answer", "target", "label")


@dataclass(frozen=True, slots=True)
class Example:
    """A task and its right answer, as written."""

    task: Task
    gold: str
    """The right answer, or one of them, as a person reads it."""
    grader: str = ""
    """Who says whether an answer is right, ``name`` or ``name(option=value)``; empty = comparison by the answer format."""
    facts: Mapping[str, Any] = field(default_factory=dict)
    """What else the grader reads: tests, a target, aliases. Never shown to a strategy."""
    group: str = ""
    """What figures are also given by: a level, a kind of question."""
    cluster: str = ""
    """Examples made of one template or paragraph are no independent draws; intervals draw whole clusters. Empty = alone."""


def in_format(example: Example, format: AnswerFormat) -> Example:
    """The example as a recipe reads it whose answers have this format; a task that names its own keeps it."""
    if example.task.answer_format is not None:
        return example
    return replace(example, task=example.task.model_copy(update={"answer_format": format}))


@dataclass(frozen=True, slots=True)
class DataSet:
    """Examples under a name."""

    name: str
    examples: tuple[Example, ...]
    folder: Path | None = None
    """Where files that examples speak of lie: databases, a corpus."""

    @property
    def digest(self) -> str:
        """A hash of everything that decides a figure: tasks in their order, gold answers, graders and their facts."""
        sums = hashlib.blake2b(digest_size=12)
        for item in self.examples:
            known = (item.task.model_dump(mode="json"), item.gold, item.grader, dict(item.facts), item.cluster)
            sums.update(_canonical(known) + b"\n")
        return sums.hexdigest()


def _canonical(known: Any) -> bytes:
    try:
        return orjson.dumps(known, option=orjson.OPT_SORT_KEYS, default=str)
    except orjson.JSONEncodeError:  # whole numbers past 64 bits
        return json.dumps(known, sort_keys=True, default=str).encode()


def check_ids(examples: Sequence[Example], where: str) -> None:
    """Raises ConfigurationError for an id that stands twice, and when there is no example at all."""
    if not examples:
        raise ConfigurationError(f"{where} holds no example", mend="give a data set with at least one question")
    seen: set[str] = set()
    for item in examples:
        if item.task.id in seen:
            raise ConfigurationError(f"{where}: two examples have the id {item.task.id!r}", mend="give each its own id")
        seen.add(item.task.id)


def canonical_gold(example: Example) -> str:
    """The gold answer in canonical form. Raises ConfigurationError when it cannot be read in the task's format."""
    space = answer_space(example.task.answer_format or "text")
    found = space.canonical(example.gold) or space.extract(example.gold)
    if found is None:
        raise ConfigurationError(
            f"the gold answer {example.gold[:80]!r} of {example.task.id!r} is no {space.format}",
            mend="correct the line, or give it the answer_format it has",
        )
    return found


def read_examples(path: Path, *, format: AnswerFormat | None = None, limit: int | None = None) -> list[Example]:
    """The examples of a JSONL file, in order: tasks as ``run --dataset`` reads them, each with a gold answer (``gold``, else
    ``answer``, ``target`` or ``label``). ``format``: of lines that do not name their own.

    Raises ConfigurationError naming the line: not JSON, a field missing, an id twice; or when there is none at all."""
    try:
        whole = path.read_bytes().removeprefix(codecs.BOM_UTF8).rstrip()
    except OSError as error:
        raise ConfigurationError(f"cannot read the data set {str(path)!r}: {error}", mend="check the path") from None
    found: list[Example] = []
    seen: dict[str, int] = {}
    for number, line in enumerate(whole.split(b"\n"), start=1):
        if limit is not None and len(found) >= limit:
            break
        if not line.strip():
            continue
        example = _example(line, number, f"{path}:{number}", format)
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


def _example(line: bytes, number: int, where: str, format: AnswerFormat | None) -> Example:
    try:
        row = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        raise ConfigurationError(f"{where} is not JSON: {error}", mend="one JSON object a line") from None
    return example_of_row(row, number, where, format)


def example_of_row(row: Any, number: int, where: str, format: AnswerFormat | None = None) -> Example:
    """The example of one row: a task as ``run --dataset`` reads it, its gold answer, and perhaps ``grader`` and ``group``;
    the whole row is what its grader may read. Raises ConfigurationError that names ``where``."""
    try:
        task = task_of_row(row, number)
    except ValidationError as error:
        first = error.errors()[0]
        named = ".".join(str(part) for part in first["loc"])
        said = f"{named}: {first['msg']}" if named else first["msg"]
        raise ConfigurationError(f"{where}: {said}", mend="correct the line") from None
    except (ValueError, TypeError) as error:
        raise ConfigurationError(f"{where}: {error}", mend="correct the line") from None
    gold = next((row[name] for name in _GOLD if name in row), None)
    if isinstance(gold, bool) or not isinstance(gold, (str, int, float)) or not str(gold).strip():
        raise ConfigurationError(f"{where} has no gold answer ({gold!r})", mend='add "gold"')
    return Example(
        task=task.model_copy(update={"answer_format": task.answer_format or format}),
        gold=str(gold),
        grader=str(row.get("grader") or ""),
        facts=row,
        group=str(row.get("group") or ""),
        cluster=str(row.get("cluster") or ""),
    )
