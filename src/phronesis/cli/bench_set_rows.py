"""``bench sets`` as the command line carries it out."""

from __future__ import annotations

import json as plain_json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import typer
from pydantic_core import to_jsonable_python

from phronesis.bench.dataset import DataSet
from phronesis.bench.sets.generated import find_generator, generator_names
from phronesis.bench.sets.known import FOR_VERIFIERS, KNOWN
from phronesis.bench.sets.places import place
from phronesis.bench.sets.request import SetRequest, requested
from phronesis.bench.sets.writing import row_of, write_rows
from phronesis.cli.plain import plain_lines
from phronesis.cli.values import settings_of
from phronesis.core.errors import ConfigurationError
from phronesis.core.settings import load_settings

_SHOWN = 6000
"""Characters of a question that are shown."""


def request_of(*, where: Sequence[str] | None, columns: Sequence[str] | None, **fields: Any) -> SetRequest:
    """The request of a command's options. Raises ConfigurationError that names a wrong one."""
    chosen = {}
    for text in where or ():
        name, equals, values = text.partition("=")
        if not equals:
            raise ConfigurationError(f"--where {text!r} is not FIELD=VALUE", mend="write --where level=easy,medium")
        chosen[name.strip()] = tuple(part.strip() for part in values.split(","))
    named = {name: str(value) for name, value in settings_of(columns or (), option="--column").items()}
    return requested(where=chosen, columns=named, **fields)


def show_list(*, json: bool) -> None:
    """Prints the sets that can be named."""
    settings = load_settings()
    rows: list[dict[str, Any]] = [
        {"name": name, "kind": "known", "measures": known.measures, "licence": known.licence}
        | {"options": _options(known.options), "from": place(name, settings)}
        for name, known in KNOWN.items()
    ]
    for name in generator_names():
        entry = find_generator(name)
        told = {"options": _options(entry.options), "from": "generated"}
        rows.append({"name": name, "kind": "generator", "measures": entry.measures, "licence": "made here"} | told)
    if json:
        typer.echo(plain_json.dumps(rows))
        return
    width = max(len(row["name"]) for row in rows)
    for row in rows:
        found = row["from"] or "not here: set PHRONESIS_DATA"
        typer.echo(f"{row['name']:<{width}}  {row['measures']}  [{row['licence']}]  {found}")
        if row["options"]:
            typer.echo(f"{'':<{width}}  options: {', '.join(f'{k} = {v}' for k, v in row['options'].items())}")
    for name, why in FOR_VERIFIERS.items():
        typer.echo(f"{name:<{width}}  not for recipes: {why}")


def _options(model: Any) -> dict[str, Any]:
    """Option -> default as JSON writes it; None for one that must be given."""
    return {
        name: None if field.is_required() else to_jsonable_python(field.default)
        for name, field in model.model_fields.items()
    }


def show_rows(data: DataSet, *, json: bool) -> None:
    """Prints examples: what a strategy sees, then what only the grader does."""
    if json:
        typer.echo(plain_json.dumps([row_of(item) for item in data.examples], default=str))
        return
    for item in data.examples:
        typer.echo(f"--- {item.task.id}")
        for message in item.task.history:
            typer.echo(plain_lines(f"({message.role}) {message.content}"))
        question = item.task.question
        cut = f"\n... ({len(question) - _SHOWN} more characters)" if len(question) > _SHOWN else ""
        typer.echo(plain_lines(question[:_SHOWN]) + cut)
        typer.echo(f"\ngold: {plain_lines(item.gold)[:500]}")
        hidden = {"format": item.task.answer_format or "the recipe's", "grader": item.grader or "answer"}
        hidden |= {"group": item.group, "cluster": item.cluster}
        typer.echo("  ".join(f"{name}: {value}" for name, value in hidden.items() if value))


def made(data: DataSet, out: Path, *, json: bool) -> None:
    """Writes the examples and says what was written."""
    write_rows(data.examples, out)
    beside = data.folder if any(item.grader.startswith("sql") for item in data.examples) else None
    if json:
        told = {"file": str(out), "rows": len(data.examples), "digest": data.digest}
        typer.echo(plain_json.dumps(told | ({"needs_files_of": str(beside)} if beside else {})))
        return
    typer.echo(f"{len(data.examples)} rows in {out}, digest {data.digest}")
    if beside is not None:
        typer.echo(f"note: the grader reads databases of {beside}: copy them beside the file")
