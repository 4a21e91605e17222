"""Adapters: from a row of a set of a known shape to an Example."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from phronesis.bench.dataset import Example
from phronesis.bench.sets.row import Row
from phronesis.core.task import AnswerFormat, Message, Task

Fields = Mapping[str, Any]
Adapter = Callable[[Fields], Example]
"""Raises ValueError that names the field."""


@dataclass(frozen=True, slots=True)
class Source:
    """What an adapter may look at before the first row."""

    rows: Sequence[Row]
    """All rows of the set, whatever is chosen of them."""
    folder: Path | None = None
    """Where the set's further files lie."""


Prepare = Callable[[Source, Any], Adapter]
"""The adapter of a set, from its source and its options. Raises ConfigurationError."""


class NoOptions(BaseModel):
    """A set without options."""

    model_config = ConfigDict(frozen=True, extra="forbid")


def plain(adapter: Adapter) -> Prepare:
    """The preparation of an adapter that needs the row alone."""
    return lambda source, options: adapter


def text(fields: Fields, name: str) -> str:
    """A text that must be there; numbers are written as text. Raises ValueError."""
    value = fields.get(name)
    if isinstance(value, bool) or not isinstance(value, (str, int, float)) or not str(value).strip():
        raise ValueError(f"{name} = {value!r} is no text")
    return str(value)


def items(fields: Fields, name: str, *, least: int = 1) -> list[Any]:
    """A list that must be there. Raises ValueError."""
    value = fields.get(name)
    if not isinstance(value, list) or len(value) < least:
        raise ValueError(f"{name} = {str(value)[:80]!r} is no list of at least {least}")
    return value


def whole(fields: Fields, name: str) -> int:
    """A whole number that must be there. Raises ValueError."""
    value = fields.get(name)
    if isinstance(value, bool) or not isinstance(value, int):
        raise ValueError(f"{name} = {value!r} is no whole number")
    return value


def example(
    fields: Fields,
    question: str,
    gold: str,
    *,
    format: AnswerFormat,
    grader: str,
    facts: Fields | None = None,
    group: Any = "",
    cluster: str = "",
    context: str | None = None,
) -> Example:
    """The example of a row with an ``id``. Raises ValueError."""
    asked = (Message(role="user", content=question),)
    task = Task(id=text(fields, "id"), messages=asked, context=context or None, answer_format=format)
    return Example(task, gold, grader, facts or {}, "" if group is None else str(group), cluster)
