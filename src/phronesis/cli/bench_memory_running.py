"""``bench memory`` as the command line carries it out."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import orjson
import typer

from phronesis.bench.ablation import markdown
from phronesis.bench.ablation.memories import check_there
from phronesis.bench.ablation.plan import AblationPlan, begin, check, kinds_of, learned
from phronesis.bench.ablation.report import AblationReport, report
from phronesis.bench.ablation.running import Ablation, bench_plan, part, phases
from phronesis.bench.dataset import DataSet
from phronesis.bench.graders.grader import Grader
from phronesis.bench.running.bench_file import ArmEntry, arm_of
from phronesis.bench.running.estimate import Estimate, estimate
from phronesis.bench.running.folder import BenchFolder
from phronesis.bench.running.item import Item
from phronesis.bench.running.plan import BenchPlan, Cell, answer_format_of
from phronesis.bench.running.runner import Hear
from phronesis.bench.sets.load import load_set
from phronesis.bench.sets.request import requested
from phronesis.cli.bench_progress import BenchProgress
from phronesis.cli.bench_running import graders_for, say_estimate
from phronesis.cli.plain import plain
from phronesis.cli.values import budget_of, settings_of
from phronesis.core.errors import ConfigurationError, PhronesisError
from phronesis.core.loop import run_sync
from phronesis.core.settings import Settings, load_settings
from phronesis.graphs.memory_cost import learning_cost
from phronesis.graphs.nodes.learn import PARAMETERISED_TOKENS
from phronesis.graphs.recipe import Recipe


@dataclass(frozen=True, kw_only=True)
class MemoryOrder:
    """What the command was asked for."""

    recipe: str
    stream: str
    out: Path
    orders: int
    seed: int
    split: float
    warm: int | None
    repeats: int
    arms: tuple[str, ...]
    session: str
    fresh: bool
    limit: int | None
    sample: int | None
    where: tuple[str, ...]
    columns: tuple[str, ...]
    format: str | None
    grader: str
    overrides: tuple[str, ...]
    budget: str | None


def asked_for(order: MemoryOrder, settings: Settings) -> tuple[AblationPlan, DataSet]:
    """The plan of an order, and its stream. Raises ConfigurationError that names what is wrong."""
    kinds = kinds_of(order.arms)
    request = requested(
        spec=order.stream,
        limit=order.limit,
        sample=order.sample,
        seed=order.seed,
        where=_where(order.where),
        columns={name: str(value) for name, value in settings_of(order.columns, option="--column").items()},
        format=order.format,
        grader=order.grader,
    )
    overrides = {**settings_of(order.overrides, option="--set"), **budget_of(order.budget)}
    recipe = arm_of(ArmEntry(recipe=order.recipe), overrides).recipe
    data = load_set(request, settings)
    data = DataSet(request.title, data.examples, data.folder)
    count = len(data.examples)
    plan = AblationPlan(
        recipe=recipe,
        stream=request,
        seed=order.seed,
        orders=order.orders,
        repeats=order.repeats,
        tasks=tuple(item.task.id for item in data.examples),
        learn=learned(count, split=order.split, warm=order.warm) if "write" in kinds else order.warm or 0,
        arms=kinds,
        session=order.session,
        fresh=order.fresh,
    )
    check(plan)
    check_there(settings, [*plan.mounts, *([plan.session] if plan.session else [])])
    return plan, data


def _where(texts: tuple[str, ...]) -> dict[str, tuple[str, ...]]:
    """Field -> its values, of ``FIELD=A,B``."""
    found = {}
    for text in texts:
        name, equals, values = text.partition("=")
        if not equals:
            raise ConfigurationError(f"--where {text!r} is not FIELD=VALUE", mend="write --where level=easy,medium")
        found[name.strip()] = tuple(part.strip() for part in values.split(","))
    return found


def run_memory_bench(
    order: MemoryOrder, *, parallel: int, retry_failed: bool, fail_on_harm: bool, dry_run: bool, json: bool
) -> int:
    """Runs or goes on with an ablation; the exit code."""
    settings = load_settings()
    plan, data = asked_for(order, settings)
    graders = graders_for({plan.title: data}, settings, {answer_format_of(plan.recipe)})
    if dry_run:
        say_estimate(estimates(plan, data), json=json)
        return 0
    with BenchFolder(order.out) as folder:
        plan = begin(order.out, plan)
        hearing = _Telling(folder, quiet=json)
        work = Ablation(
            folder, plan, data, graders, settings, parallel=parallel, hearing=hearing, retry_failed=retry_failed
        )
        try:
            with hearing:
                run_sync(_run(work, graders))
        except (KeyboardInterrupt, PhronesisError):
            print(f"\nwhat is done is in {order.out}; the same command goes on", file=sys.stderr)
            raise
        found = report(plan, work.items(), work.shelves())
    path = order.out / markdown.FILE_NAME
    path.write_text(markdown.markdown(found), encoding="utf-8")
    if json:
        typer.echo(orjson.dumps(found.to_json()).decode())
    else:
        show(found, path, order.out)
    harmed = fail_on_harm and found.alarm is not None and found.alarm.harmful
    return 1 if harmed or found.failed or found.ungraded else 0


async def _run(work: Ablation, graders: Mapping[tuple[str, str], Grader]) -> None:
    try:
        await work.run()
    finally:
        for grader in graders.values():
            await grader.close()


def estimates(plan: AblationPlan, data: DataSet) -> list[Estimate]:
    """What each phase may cost; ``write`` with what learning adds."""
    rows = []
    for phase in phases(plan):
        wanted = bench_plan(plan, phase, "" if plan.fresh or phase.kind in ("off", "again") else "off")
        (row,) = estimate(wanted, {phase.set: part(plan, data, phase.set, phase.place)})
        recipe = Recipe.from_data(wanted.arms[0].recipe, source=f"arm {wanted.arms[0].name}")
        most = learning_cost(recipe.file.memory, recipe.strategy.cost(recipe.knobs).most[0]).most[0]
        if most:
            calls = (row.calls[0], row.calls[1] + most * row.questions)
            row = replace(
                row,
                formula=f"{row.formula} and 0 to {most} to learn",
                calls=calls,
                tokens=row.tokens + most * row.questions * PARAMETERISED_TOKENS,
            )
        rows.append(row)
    return rows


class _Telling:
    """The progress of one phase after another."""

    def __init__(self, folder: BenchFolder, *, quiet: bool) -> None:
        self._folder = folder
        self._quiet = quiet
        self._shown: BenchProgress | None = None

    def __enter__(self) -> _Telling:
        return self

    def __exit__(self, *_: object) -> None:
        if self._shown is not None:
            self._shown.__exit__(None, None, None)
            self._shown = None

    def __call__(self, name: str, plan: BenchPlan, sets: Mapping[str, DataSet]) -> Hear:
        self.__exit__()
        if not self._quiet:
            print(name, file=sys.stderr, flush=True)
        progress = BenchProgress(plan, sets, self._folder, quiet=self._quiet)
        self._shown = progress.__enter__()

        def hear(cell: Cell, item: Item) -> None:
            progress.hear(cell, item)

        return hear


def show(found: AblationReport, path: Path, out: Path) -> None:
    """The report for people."""
    from rich.console import Console

    console = Console(width=None if sys.stdout.isatty() else 180, highlight=False)
    _table(console, markdown.ARM_COLUMNS, markdown.arm_rows(found))
    _table(console, markdown.COST_COLUMNS, markdown.cost_rows(found))
    for line in markdown.notes(found):
        typer.echo(line)
    if found.concepts:
        typer.echo("\nmost used concepts:")
    for line in markdown.concept_lines(found):
        typer.echo(f"  {plain(line)}")
    for line in markdown.alarm_lines(found):
        typer.secho(plain(line), fg="red", bold=True)
    if found.harmful:
        typer.echo(f"take them out of a memory of yours: phronesis memory quarantine --session NAME --from {out}")
    typer.echo(f"written: {path}")


def _table(console: object, columns: tuple[str, ...], rows: list[list[str]]) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table

    assert isinstance(console, Console)
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*row)
    console.print(table)
