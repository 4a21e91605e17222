"""``phronesis bench``: recipes over data sets, graded, counted and compared."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from phronesis.cli import (
    bench_audit,
    bench_comparing,
    bench_inspect,
    bench_memory,
    bench_report,
    bench_rounds,
    bench_sets,
    bench_show,
    bench_suite,
    bench_sweep,
    bench_worker,
)
from phronesis.cli.bench_options import (
    BankCalls,
    BankName,
    Columns,
    Datasets,
    DryRun,
    Executing,
    Format,
    GraderName,
    Json,
    Limit,
    Limits,
    Out,
    Parallel,
    Repeats,
    RetryFailed,
    Sample,
    Seed,
    Where,
)

app = typer.Typer(help="Bench: run recipes over data sets, compare them, report.", no_args_is_help=True)


@app.command()
def run(
    out: Out,
    file: Annotated[Path | None, typer.Argument(help="A bench file (.toml) instead of the options below.")] = None,
    recipe: Annotated[
        list[str] | None, typer.Option(help="A recipe's name or path, or NAME=RECIPE; repeatable: each is an arm.")
    ] = None,
    dataset: Datasets = None,
    limit: Limit = None,
    sample: Sample = None,
    seed: Seed = 0,
    where: Where = None,
    column: Columns = None,
    format: Format = None,
    grader: GraderName = "",
    set_: Annotated[list[str] | None, typer.Option("--set", help="Override a key of every recipe, KEY=VALUE.")] = None,
    budget: Limits = None,
    repeats: Repeats = None,
    bank: BankName = "",
    calls: BankCalls = None,
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
    from phronesis.cli.bench_running import BenchOrder, Handling, run_bench

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
    handling = Handling(parallel=parallel, executor=executor, retry_failed=retry_failed, dry_run=dry_run, json=json)
    raise typer.Exit(run_bench(order, handling))


bench_worker.register(app)
bench_inspect.register(app)
bench_report.register(app)
bench_rounds.register(app)
bench_memory.register(app)
bench_audit.register(app)
bench_comparing.register(app)
bench_sweep.register(app)
bench_sets.register(app)
bench_suite.register(app)
bench_show.register(app)
