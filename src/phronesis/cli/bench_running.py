"""``bench run`` as the command line carries it out."""

from __future__ import annotations

import sys
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
import typer

from phronesis.bench.dataset import DataSet, in_format
from phronesis.bench.graders.grader import Grader, GraderContext
from phronesis.bench.graders.table import make_grader
from phronesis.bench.running.bench_file import plan_of, read_bench, recipes_as_arms
from phronesis.bench.running.documents import documents_of
from phronesis.bench.running.estimate import Estimate, estimate
from phronesis.bench.running.executor import Executor
from phronesis.bench.running.executors import make_executor
from phronesis.bench.running.folder import BenchFolder
from phronesis.bench.running.local import LocalExecutor
from phronesis.bench.running.plan import BenchPlan, answer_format_of, cells
from phronesis.bench.running.runner import Runner
from phronesis.bench.running.summary import CellSummary, summarise
from phronesis.bench.sets.load import load_set
from phronesis.bench.sets.request import SetRequest, requested
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


@dataclass(frozen=True, kw_only=True)
class Handling:
    """How it is to be done and said."""

    parallel: int = 8
    executor: str = "local"
    retry_failed: bool = False
    dry_run: bool = False
    json: bool = False


def run_bench(order: BenchOrder, handling: Handling) -> int:
    """Runs or goes on with a bench; the exit code."""
    return carry_out(plan_asked_for(order), order.out, handling)


def plan_asked_for(order: BenchOrder) -> BenchPlan:
    """The plan of an order. Raises ConfigurationError when it says too little or the same thing twice."""
    overrides = {**settings_of(order.overrides, option="--set"), **budget_of(order.budget)}
    if order.file is not None:
        if given := _beside_a_file(order):
            raise ConfigurationError(
                f"a bench file names recipes and sets itself, and {given[0]} is given",
                mend=f"leave {', '.join(given)} out, or write it into the file",
            )
        try:
            text = order.file.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigurationError(f"cannot read {str(order.file)!r}: {error}", mend="check the path") from None
        plan = plan_of(read_bench(text, str(order.file)), folder=order.file.parent, overrides=overrides)
        return plan.model_copy(update={"repeats": order.repeats or plan.repeats})
    if not order.recipes or not order.datasets:
        raise ConfigurationError("a bench needs a recipe and a data set", mend="give --recipe and --dataset, or a file")
    arms = recipes_as_arms(order.recipes, overrides, bank=order.bank, calls=order.calls)
    return BenchPlan(name=order.out.name, sets=sets_asked_for(order), arms=tuple(arms), repeats=order.repeats or 1)


def _beside_a_file(order: BenchOrder) -> list[str]:
    """Options that say what a bench file says."""
    values = {
        "--recipe": order.recipes,
        "--dataset": order.datasets,
        "--limit": order.limit is not None,
        "--sample": order.sample is not None,
        "--seed": order.seed,
        "--where": order.where,
        "--column": order.columns,
        "--format": order.format,
        "--grader": order.grader,
        "--bank": order.bank,
        "--calls": order.calls is not None,
    }
    return [name for name, value in values.items() if value]


def sets_asked_for(order: BenchOrder) -> tuple[SetRequest, ...]:
    """The data sets of an order's options. Raises ConfigurationError."""
    columns = {name: value.strip() for name, value in _pairs(order.columns, "--column", "question=prompt").items()}
    where = {
        name: tuple(part.strip() for part in value.split(","))
        for name, value in _pairs(order.where, "--where", "level=easy,medium").items()
    }
    return tuple(
        requested(
            spec=spec,
            limit=order.limit,
            sample=order.sample,
            seed=order.seed,
            where=where,
            columns=columns,
            format=order.format,
            grader=order.grader,
        )
        for spec in order.datasets
    )


def _pairs(texts: tuple[str, ...], option: str, sample: str) -> dict[str, str]:
    found = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or not name.strip():
            form = "FIELD=COLUMN" if option == "--column" else "FIELD=VALUE"
            raise ConfigurationError(f"{option} {text!r} is not {form}", mend=f"write {option} {sample}")
        found[name.strip()] = value
    return found


def carry_out(plan: BenchPlan, out: Path, handling: Handling) -> int:
    """Runs a plan in a folder, or says what it would cost; the exit code."""
    found = carry_out_to(plan, out, handling)
    if found is None:
        return 0
    if handling.json:
        typer.echo(orjson.dumps(data_of(found)).decode())
    return exit_code(found)


def carry_out_to(
    plan: BenchPlan,
    out: Path,
    handling: Handling,
    *,
    settings: Settings | None = None,
    sets: Mapping[str, DataSet] | None = None,
) -> list[CellSummary] | None:
    """Runs a plan in a folder and prints its table; the summary. Of a dry run the estimate is printed, and there is none.

    ``settings`` and ``sets``: those of the folder and the plan, where they are known already. ``json`` prints no table."""
    settings = settings or settings_for(out)
    sets = sets or {item.title: load_set(item, settings) for item in plan.sets}
    if handling.dry_run:
        graders_for(sets, settings, formats_of(plan))
        list(cells(plan))
        say_estimate(estimate(plan, sets), json=handling.json)
        return None
    found = solved(plan, sets, out, handling, settings)
    if not handling.json:
        show(found)
    return found


def settings_for(out: Path, *, data: Path | None = None) -> Settings:
    """The settings of a bench in a folder: its runs lie there. ``data``: folder of data sets, instead of the settings'."""
    settings = load_settings().model_copy(update={"runs_folder": out.absolute() / "runs"})
    return settings if data is None else settings.model_copy(update={"data": data.absolute()})


def solved(
    plan: BenchPlan, sets: Mapping[str, DataSet], out: Path, handling: Handling, settings: Settings
) -> list[CellSummary]:
    """Runs what a plan lacks in its folder; the summary of all that the folder holds. Every example is checked first."""
    graders = graders_for(sets, settings, formats_of(plan))
    hands = make_executor(handling.executor, settings, parallel=handling.parallel)
    with BenchFolder(out) as folder:
        plan = folder.begin(plan, sets, run_sync(documents_of(plan, settings)))
        progress = BenchProgress(plan, sets, folder, quiet=handling.json)
        try:
            with progress:
                run_sync(_work(folder, plan, sets, graders, hands, progress, retry_failed=handling.retry_failed))
        except (KeyboardInterrupt, PhronesisError):
            print(f"\nwhat is done is in {out}; the same command goes on", file=sys.stderr)
            raise
        return summarise(plan, list(folder.items()))


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
        overlap = hands.places if isinstance(hands, LocalExecutor) else 0
        runner = Runner(
            folder, plan, sets, graders, hands, hear=progress.hear, retry_failed=retry_failed, overlap=overlap
        )
        await runner.run()
    finally:
        for grader in graders.values():
            await grader.close()


def formats_of(plan: BenchPlan) -> set[AnswerFormat]:
    """The formats that the arms' recipes read answers in."""
    return {answer_format_of(arm.recipe) for arm in plan.arms}


def graders_for(
    sets: Mapping[str, DataSet], settings: Settings, formats: Collection[AnswerFormat]
) -> dict[tuple[str, str], Grader]:
    """A grader per set and grader text, with every example checked in each of the formats that recipes read it in.

    Raises ConfigurationError before anything is spent."""
    found: dict[tuple[str, str], Grader] = {}
    for name, data in sets.items():
        for example in data.examples:
            key = (name, example.grader)
            if key not in found:
                found[key] = make_grader(example.grader, GraderContext(settings=settings, folder=data.folder))
            for format in formats if example.task.answer_format is None else ():
                found[key].check(in_format(example, format))
            if example.task.answer_format is not None:
                found[key].check(example)
    return found


def say_estimate(rows: list[Estimate], *, json: bool) -> None:
    """Prints what a bench may cost."""
    if json:
        typer.echo(orjson.dumps([row.to_json() for row in rows]).decode())
        return
    for row in rows:
        typer.echo(row.line())
    most_calls, most_tokens = sum(row.calls[1] for row in rows), sum(row.tokens for row in rows)
    typer.echo(f"in all at most {most_calls} calls and {most_tokens} generated tokens")


def show(found: list[CellSummary]) -> None:
    """The table for people."""
    columns = ("set", "arm", "n", "accuracy %", "unread", "calls", "tokens", "B_seq", "seconds", "notes")
    print_table(columns, [item.cells() for item in found])
    typer.echo(
        "Brackets: 95 % bootstrap over questions. unread: answers that nothing could be read from. calls, tokens, B_seq "
        "(tokens along the critical path) and seconds are means per question."
    )


def print_table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Prints a table; 160 columns wide where there is no terminal."""
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for column in columns:
        table.add_column(Text(column), overflow="fold")
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    Console(width=None if sys.stdout.isatty() else 160).print(table)


def exit_code(found: list[CellSummary]) -> int:
    """1 when something failed or could not be graded."""
    return 1 if any(item.failed or item.ungraded for item in found) else 0


def data_of(found: list[CellSummary]) -> list[dict[str, Any]]:
    """Plain values of a summary."""
    return [item.to_json() for item in found]
