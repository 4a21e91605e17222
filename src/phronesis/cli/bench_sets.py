"""``phronesis bench sets``: which data sets there are, what their questions look like, and files of them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from phronesis.cli.bench_options import Columns, Format, GraderName, Json, Limit, Sample, Seed, Where

if TYPE_CHECKING:
    from phronesis.bench.dataset import DataSet
    from phronesis.bench.sets.request import SetRequest

_sets = typer.Typer(help="Data sets: list, show, make.", no_args_is_help=True)
Spec = Annotated[str, typer.Argument(help="A known set, a file or folder, or a generator: 'countdown(numbers=4)'.")]
Shuffle = Annotated[int | None, typer.Option(help="Seed of a shuffle of the order.")]


def register(app: typer.Typer) -> None:
    """Adds ``sets`` to the bench's commands."""
    app.add_typer(_sets, name="sets")


@_sets.command("list")
def list_(json: Json = False) -> None:
    """The sets that can be named, what they measure, their licences, and where each would come from.

    \b
    Example:
      PHRONESIS_DATA=~/data phronesis bench sets list
    """
    from phronesis.cli.bench_set_rows import show_list

    show_list(json=json)


@_sets.command()
def show(
    spec: Spec,
    limit: Annotated[int, typer.Option(help="So many of the first rows.", min=1)] = 2,
    sample: Sample = None,
    seed: Seed = 0,
    shuffle: Shuffle = None,
    where: Where = None,
    column: Columns = None,
    format: Format = None,
    grader: GraderName = "",
    json: Json = False,
) -> None:
    """The first questions as a strategy sees them, with gold answer and grader, which it does not see.

    \b
    Examples:
      phronesis bench sets show "chains(n=4, steps=3)"
      phronesis bench sets show mine.csv --column gold=label --where level=hard
    """
    from phronesis.cli.bench_set_rows import request_of, show_rows

    request = request_of(
        spec=spec,
        limit=limit,
        sample=sample,
        seed=seed,
        shuffle=shuffle,
        where=where,
        columns=column,
        format=format,
        grader=grader,
    )
    show_rows(_loaded(request), json=json)


@_sets.command()
def make(
    spec: Spec,
    out: Annotated[Path, typer.Option(help="JSONL file to write.")],
    limit: Limit = None,
    sample: Sample = None,
    seed: Seed = 0,
    shuffle: Shuffle = None,
    where: Where = None,
    column: Columns = None,
    format: Format = None,
    grader: GraderName = "",
    json: Json = False,
) -> None:
    """Write a generated set, or a selection, as JSONL; ``bench run --dataset FILE`` reads the same examples from it.

    \b
    Examples:
      phronesis bench sets make "countdown(n=60, numbers=[3, 4], seed=1)" --out countdown.jsonl
      phronesis bench sets make gsm8k --sample 100 --seed 7 --out gsm100.jsonl
    """
    from phronesis.cli.bench_set_rows import made, request_of

    request = request_of(
        spec=spec,
        limit=limit,
        sample=sample,
        seed=seed,
        shuffle=shuffle,
        where=where,
        columns=column,
        format=format,
        grader=grader,
    )
    made(_loaded(request), out, json=json)


def _loaded(request: SetRequest) -> DataSet:
    from phronesis.bench.sets.load import load_set
    from phronesis.core.settings import load_settings

    return load_set(request, load_settings())
