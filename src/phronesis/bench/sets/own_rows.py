"""Examples from rows of one's own: which column holds what."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from phronesis.bench.dataset import Example, example_of_row
from phronesis.bench.sets.row import Row, nearest
from phronesis.core.errors import ConfigurationError
from phronesis.core.task import AnswerFormat

FIELDS = ("question", "gold", "id", "context", "answer_format", "group", "cluster", "grader")
"""Our fields that a column may be named for."""
GOLD = ("gold", "answer", "target", "label")
"""Columns that are taken for the gold answer, in this order, when none is named."""


def check_columns(columns: Mapping[str, str], rows: Sequence[Row], source: str) -> None:
    """Raises ConfigurationError for a field of ours that there is not, and for a column that no row has."""
    for ours, column in columns.items():
        if ours not in FIELDS:
            raise ConfigurationError(f"column {ours}={column}: there is no field {ours!r}", mend=nearest(ours, FIELDS))
        if not any(column in row.fields for row in rows):
            known = sorted({name for row in rows for name in row.fields})
            raise ConfigurationError(f"{source} has no column {column!r} for {ours!r}", mend=nearest(column, known))


def own_example(row: Row, columns: Mapping[str, str], format: AnswerFormat | None = None) -> Example:
    """The example of a row. ``columns``: our field -> its column; the others are read under their own names.

    A gold answer that is a list gives the first as gold and all of them as the fact ``aliases``; true and false are
    ``yes`` and ``no``. The grader reads the object ``facts`` where the row has one, else the whole row. Raises
    ConfigurationError that names the row and the field."""
    fields: dict[str, Any] = {name: value for name, value in row.fields.items() if name not in columns}
    fields |= {ours: row.fields[column] for ours, column in columns.items() if column in row.fields}
    if "question" not in fields and "messages" not in fields:
        hint = nearest("question", [name for name in row.fields if name not in GOLD])
        raise ConfigurationError(f"{row.where} has neither 'question' nor 'messages'", mend=f"name a column; {hint}")
    column = "gold" if "gold" in columns else next((name for name in GOLD if _filled(fields.get(name))), "")
    gold, aliases = _gold(fields.get(column), row.where, columns.get("gold", column))
    example = example_of_row({**fields, "gold": gold}, row.number, row.where, format)
    known = row.fields.get("facts")
    facts = dict(known) if isinstance(known, Mapping) else {**row.fields, **({"aliases": aliases} if aliases else {})}
    return Example(
        task=example.task,
        gold=gold,
        grader=_text(fields, "grader"),
        facts=facts,
        group=_text(fields, "group"),
        cluster=_text(fields, "cluster"),
    )


def _filled(value: Any) -> bool:
    return value is not None and str(value).strip() != ""


def _gold(value: Any, where: str, column: str) -> tuple[str, list[str]]:
    """(gold answer, all of several)."""
    if isinstance(value, list) and value and all(isinstance(item, (str, int, float)) for item in value):
        return _gold(value[0], where, column)[0], [str(item) for item in value]
    if isinstance(value, bool):
        return ("yes" if value else "no"), []
    if isinstance(value, (str, int, float)) and str(value).strip():
        return str(value), []
    said = f"{column} = {value!r}" if column else f"none of {', '.join(GOLD)}"
    raise ConfigurationError(f"{where} has no gold answer ({said})", mend="add it, or name its column: gold=COLUMN")


def _text(fields: Mapping[str, Any], name: str) -> str:
    value = fields.get(name)
    return "" if value is None else str(value)
