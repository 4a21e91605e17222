"""``phronesis bench``: recipes over data sets, graded, counted and compared."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(help="Bench: run recipes over data sets, compare them, report.", no_args_is_help=True)
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Out = Annotated[Path, typer.Option(help="Folder of the bench; one that exists is gone on with.")]
Parallel = Annotated[int, typer.Option(help="Tasks in work at a time.", min=1)]
Executing = Annotated[str, typer.Option(help="Who runs the tasks: local, processes(n=4), or an installed executor.")]
RetryFailed = Annotated[bool, typer.Option("--retry-failed", help="Let every failed task begin again.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what would run and what it may cost.")]


@app.command()
def run(
    out: Out,
    file: Annotated[Path | None, typer.Argument(help="A bench file (.toml) instead of the options below.")] = None,
    recipe: Annotated[
        list[str] | None, typer.Option(help="A recipe's name or path, or NAME=RECIPE; repeatable: each is an arm.")
    ] = None,
    dataset: Annotated[
        list[str] | None,
        typer.Option(help="A known set, a file or folder, or a generator: countdown(numbers=4, n=50); repeatable."),
    ] = None,
    limit: Annotated[int | None, typer.Option(help="The first so many questions of each set.", min=1)] = None,
    sample: Annotated[int | None, typer.Option(help="So many questions of each set, drawn at random.", min=1)] = None,
    seed: Annotated[int, typer.Option(help="Seed of --sample.")] = 0,
    where: Annotated[list[str] | None, typer.Option(help="Rows whose field has a value: FIELD=A,B.")] = None,
    column: Annotated[list[str] | None, typer.Option(help="Which column holds what: question=prompt.")] = None,
    format: Annotated[str | None, typer.Option(help="Answer format of rows that do not name their own.")] = None,
    grader: Annotated[str, typer.Option(help="Grader of every row, instead of the set's own.")] = "",
    set_: Annotated[list[str] | None, typer.Option("--set", help="Override a key of every recipe, KEY=VALUE.")] = None,
    budget: Annotated[str | None, typer.Option(help="Limits of one task: calls=8,seconds=60.")] = None,
    repeats: Annotated[
        int | None, typer.Option(help="Times that everything is run, each with its own seed.", min=1)
    ] = None,
    bank: Annotated[str, typer.Option(help="A run, or an arm, whose recorded replies are used first.")] = "",
    calls: Annotated[int | None, typer.Option(help="Calls that the bank may lack; default: any number.", min=0)] = None,
    parallel: Parallel = 8,
    executor: Executing = "local",
    retry_failed: RetryFailed = False,
    dry_run: DryRun = False,
    json: Json = False,
) -> None:
    """Run recipes over data sets; what is done is kept, and the same command goes on.

    \b
    Examples:
      phronesis bench run --recipe direct --recipe self_consistency --dataset gsm8k --limit 40 --out gsm
      phronesis bench run --recipe sc4=self_consistency --set knobs.k=4 --dataset mine.csv --column gold=label --out mine
      phronesis bench run plan.toml --out results
    """
    from phronesis.cli.bench_running import BenchOrder, run_bench

    order = BenchOrder(
        out=out,
        file=file,
        recipes=tuple(recipe or ()),
        datasets=tuple(dataset or ()),
        limit=limit,
        sample=sample,
        seed=seed,
        where=tuple(where or ()),
        columns=tuple(column or ()),
        format=format,
        grader=grader,
        overrides=tuple(set_ or ()),
        budget=budget,
        repeats=repeats,
        bank=bank,
        calls=calls,
    )
    code = run_bench(order, parallel=parallel, executor=executor, retry_failed=retry_failed, dry_run=dry_run, json=json)
    raise typer.Exit(code)
