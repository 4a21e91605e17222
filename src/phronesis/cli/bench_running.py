"""``bench run`` as the command line carries it out."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import orjson
import typer

from phronesis.bench.dataset import DataSet
from phronesis.bench.graders.grader import Grader, GraderContext
from phronesis.bench.graders.table import make_grader
from phronesis.bench.running.bench_file import plan_of, read_bench, recipes_as_arms
from phronesis.bench.running.estimate import Estimate, estimate
from phronesis.bench.running.executor import Executor
from phronesis.bench.running.executors import make_executor
from phronesis.bench.running.folder import BenchFolder
from phronesis.bench.running.plan import BenchPlan
from phronesis.bench.running.runner import Runner
from phronesis.bench.running.summary import CellSummary, summarise
from phronesis.bench.sets.load import load_set
from phronesis.bench.sets.request import SetRequest
from phronesis.cli.bench_progress import BenchProgress
from phronesis.cli.values import budget_of, settings_of
from phronesis.core.errors import ConfigurationError, PhronesisError
from phronesis.core.loop import run_sync
from phronesis.core.settings import Settings, load_settings
from phronesis.core.task import AnswerFormat


@dataclass(frozen=True, kw_only=True)
class BenchOrder:
    """What the command was asked for."""

    out: Path
    file: Path | None
    recipes: tuple[str, ...]
    datasets: tuple[str, ...]
    limit: int | None
    sample: int | None
    seed: int
    where: tuple[str, ...]
    columns: tuple[str, ...]
    format: str | None
    grader: str
    overrides: tuple[str, ...]
    budget: str | None
    repeats: int | None
    bank: str
    calls: int | None


def run_bench(order: BenchOrder, *, parallel: int, executor: str, retry_failed: bool, dry_run: bool, json: bool) -> int:
    """Runs or goes on with a bench; the exit code."""
    return carry_out(
        plan_asked_for(order),
        order.out,
        parallel=parallel,
        executor=executor,
        retry_failed=retry_failed,
        dry_run=dry_run,
        json=json,
    )


def plan_asked_for(order: BenchOrder) -> BenchPlan:
    """The plan of an order. Raises ConfigurationError when it says too little or the same thing twice."""
    overrides = {**settings_of(order.overrides, option="--set"), **budget_of(order.budget)}
    if order.file is not None:
        if order.recipes or order.datasets:
            raise ConfigurationError(
                "a bench file names recipes and sets itself", mend="leave --recipe and --dataset out"
            )
        try:
            text = order.file.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigurationError(f"cannot read {str(order.file)!r}: {error}", mend="check the path") from None
        plan = plan_of(read_bench(text, str(order.file)), folder=order.file.parent, overrides=overrides)
        return plan.model_copy(update={"repeats": order.repeats or plan.repeats})
    if not order.recipes or not order.datasets:
        raise ConfigurationError("a bench needs a recipe and a data set", mend="give --recipe and --dataset, or a file")
    columns = {name: str(value) for name, value in settings_of(order.columns, option="--column").items()}
    where = {name: tuple(part.strip() for part in value.split(",")) for name, value in _pairs(order.where).items()}
    sets = tuple(
        SetRequest(
            spec=spec,
            limit=order.limit,
            sample=order.sample,
            seed=order.seed,
            where=where,
            columns=columns,
            format=cast(AnswerFormat | None, order.format),
            grader=order.grader,
        )
        for spec in order.datasets
    )
    arms = recipes_as_arms(order.recipes, overrides, bank=order.bank, calls=order.calls)
    return BenchPlan(name=order.out.name, sets=sets, arms=tuple(arms), repeats=order.repeats or 1)


def _pairs(texts: tuple[str, ...]) -> dict[str, str]:
    found = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals:
            raise ConfigurationError(f"--where {text!r} is not FIELD=VALUE", mend="write --where level=easy,medium")
        found[name.strip()] = value
    return found


def carry_out(
    plan: BenchPlan, out: Path, *, parallel: int, executor: str, retry_failed: bool, dry_run: bool, json: bool
) -> int:
    """Runs a plan in a folder, or says what it would cost; the exit code."""
    settings = load_settings().model_copy(update={"runs_folder": out.absolute() / "runs"})
    sets = {item.title: load_set(item, settings) for item in plan.sets}
    graders = graders_for(sets, settings)
    if dry_run:
        _say_estimate(estimate(plan, sets), json=json)
        return 0
    with BenchFolder(out) as folder:
        plan = folder.begin(plan, sets)
        progress = BenchProgress(plan, sets, folder, quiet=json)
        hands = make_executor(executor, settings, parallel=parallel)
        try:
            with progress:
                run_sync(_work(folder, plan, sets, graders, hands, progress, retry_failed=retry_failed))
        except (KeyboardInterrupt, PhronesisError):
            print(f"\nwhat is done is in {out}; the same command goes on", file=sys.stderr)
            raise
        found = summarise(plan, list(folder.items()))
    if json:
        typer.echo(orjson.dumps([item.to_json() for item in found]).decode())
    else:
        show(found)
    return _exit_code(found)


async def _work(
    folder: BenchFolder,
    plan: BenchPlan,
    sets: Mapping[str, DataSet],
    graders: Mapping[tuple[str, str], Grader],
    hands: Executor,
    progress: BenchProgress,
    *,
    retry_failed: bool,
) -> None:
    try:
        runner = Runner(folder, plan, sets, graders, hands, hear=progress.hear, retry_failed=retry_failed)
        await runner.run()
    finally:
        for grader in graders.values():
            await grader.close()


def graders_for(sets: Mapping[str, DataSet], settings: Settings) -> dict[tuple[str, str], Grader]:
    """A grader per set and grader text, with every example checked. Raises ConfigurationError before anything is spent."""
    found: dict[tuple[str, str], Grader] = {}
    for name, data in sets.items():
        for example in data.examples:
            key = (name, example.grader)
            if key not in found:
                found[key] = make_grader(example.grader, GraderContext(settings=settings, folder=data.folder))
            found[key].check(example)
    return found


def _say_estimate(rows: list[Estimate], *, json: bool) -> None:
    if json:
        typer.echo(orjson.dumps([row.to_json() for row in rows]).decode())
        return
    for row in rows:
        typer.echo(row.line())
    most_calls, most_tokens = sum(row.calls[1] for row in rows), sum(row.tokens for row in rows)
    typer.echo(f"in all at most {most_calls} calls and {most_tokens} generated tokens")


def show(found: list[CellSummary]) -> None:
    """The table for people."""
    from rich import box
    from rich.console import Console
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for column in ("set", "arm", "n", "accuracy %", "unread", "calls", "tokens", "B_seq", "seconds", "notes"):
        table.add_column(column, overflow="fold")
    for item in found:
        table.add_row(*item.cells())
    Console(width=None if sys.stdout.isatty() else 160).print(table)
    typer.echo("Brackets: 95 % bootstrap over questions. calls, tokens, B_seq and seconds are means per question.")


def _exit_code(found: list[CellSummary]) -> int:
    return 1 if any(item.failed or item.ungraded for item in found) else 0


def data_of(found: list[CellSummary]) -> list[dict[str, Any]]:
    """Plain values of a summary."""
    return [item.to_json() for item in found]
