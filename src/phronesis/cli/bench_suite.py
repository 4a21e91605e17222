"""``phronesis bench suite``: the benches that come with the package, from questions to report."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from phronesis.cli.bench_options import (
    BankName,
    DryRun,
    Executing,
    Json,
    Limit,
    Parallel,
    Repeats,
    RetryFailed,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from phronesis.bench.dataset import DataSet
    from phronesis.bench.running.plan import BenchPlan
    from phronesis.bench.running.summary import CellSummary
    from phronesis.cli.bench_running import Handling
    from phronesis.core.settings import Settings


def register(app: typer.Typer) -> None:
    """Adds the verb."""
    app.command()(suite)


def suite(
    name: Annotated[str, typer.Argument(help="The suite, or ``list`` to see them.")],
    out: Annotated[Path | None, typer.Option(help="Folder of the bench; one that exists is gone on with.")] = None,
    data: Annotated[
        Path | None, typer.Option(help="Folder of data sets (SET/dev.jsonl), instead of PHRONESIS_DATA.")
    ] = None,
    model: Annotated[str | None, typer.Option(help="Model of every arm; default: what the machine provides.")] = None,
    limit: Limit = None,
    repeats: Repeats = None,
    bank: BankName = "",
    parallel: Parallel = 4,
    executor: Executing = "local",
    retry_failed: RetryFailed = False,
    dry_run: DryRun = False,
    json: Json = False,
) -> None:
    """Run a suite and write its report. smoke: does everything run; core: methods at an equal budget of calls.

    \b
    Examples:
      phronesis bench suite list
      phronesis bench suite smoke --out smoke
      phronesis bench suite core --data ~/data --repeats 3 --out core
    """
    from phronesis.cli.bench_running import Handling, settings_for
    from phronesis.core.errors import ConfigurationError

    if name == "list":
        list_suites(json=json)
        return
    handling = Handling(parallel=parallel, executor=executor, retry_failed=retry_failed, dry_run=dry_run, json=json)
    plan = suite_plan(name, model=model, limit=limit, repeats=repeats, bank=bank)
    if out is None and not dry_run:
        raise ConfigurationError("a suite needs a folder", mend=f"write phronesis bench suite {name} --out {name}")
    out = out or Path(name)
    settings = settings_for(out, data=data)
    raise typer.Exit(run_suite(name, plan, out, handling, settings))


def list_suites(*, json: bool) -> None:
    """Prints the suites with what they are for."""
    import orjson

    from phronesis.bench.running.bench_file import suite as read_suite
    from phronesis.bench.running.bench_file import suites

    found = {name: read_suite(name) for name in suites()}
    if json:
        rows = [
            {"name": name, "description": file.description, "sets": [item.title for item in file.sets]}
            | {"arms": [arm.name or arm.recipe for arm in file.arms]}
            for name, file in found.items()
        ]
        typer.echo(orjson.dumps(rows).decode())
        return
    for name, file in found.items():
        typer.echo(f"{name}: {file.description}")
        typer.echo(f"  sets {', '.join(item.title for item in file.sets)}")
        typer.echo(f"  arms {', '.join(arm.name or arm.recipe for arm in file.arms)}")


def suite_plan(name: str, *, model: str | None, limit: int | None, repeats: int | None, bank: str) -> BenchPlan:
    """A suite's plan with what was asked otherwise. Raises ConfigurationError for an unknown suite."""
    from phronesis.bench.running.bench_file import plan_of
    from phronesis.bench.running.bench_file import suite as read_suite

    plan = plan_of(read_suite(name), overrides={"models.default.model": model} if model else {})
    sets = tuple(
        item if limit is None else item.model_copy(update={"limit": min(limit, item.limit or limit)})
        for item in plan.sets
    )
    arms = tuple(arm if arm.bank else arm.model_copy(update={"bank": bank}) for arm in plan.arms)
    return plan.model_copy(update={"sets": sets, "arms": arms, "repeats": repeats or plan.repeats})


def run_suite(name: str, plan: BenchPlan, out: Path, handling: Handling, settings: Settings) -> int:
    """Runs it, compares, writes the report; the exit code."""
    import orjson

    from phronesis.bench.comparing_folders import gathered, read_side
    from phronesis.cli.bench_comparing import compared
    from phronesis.cli.bench_running import carry_out_to, exit_code

    done = carry_out_to(plan, out, handling, settings=settings, sets=sets_at_hand(name, plan, settings))
    if done is None:
        return 0
    found = gathered([read_side(out)])
    views = compared(found, plan.arms[0].name if plan.arms[0].name in found.arms else None)
    page = report_of(out)
    said = outcome(name, done)
    if handling.json:
        data: dict[str, Any] = {"suite": name, "arms": [item.to_json() for item in done]}
        data |= {"sets": [view.to_json() for view in views], "report": str(page), "verdict": said}
        typer.echo(orjson.dumps(data).decode())
        return exit_code(done)
    for view in views:
        typer.echo(f"\n{view.set}")
        for line in view.sentences():
            typer.echo(f"  {line}")
    typer.echo(f"\nreport: {page}")
    typer.echo(said)
    return exit_code(done)


def sets_at_hand(name: str, plan: BenchPlan, settings: Settings) -> dict[str, DataSet]:
    """The suite's sets. Raises SetupError for one whose data are not here, with how to get them."""
    from phronesis.bench.sets.load import load_set
    from phronesis.core.errors import ConfigurationError, SetupError

    found = {}
    for request in plan.sets:
        try:
            found[request.title] = load_set(request, settings)
        except ConfigurationError as error:
            raise SetupError(
                f"the suite {name} needs the set {request.title!r}: {error.message}",
                mend=error.mend or f"give --data a folder that holds {request.spec}/dev.jsonl",
            ) from None
    return found


def report_of(out: Path) -> Path:
    """Writes the folder's report; the page."""
    from phronesis.bench.reports.material import read_material
    from phronesis.bench.reports.report import build_report, write_report

    return write_report(build_report(read_material(out)), html=out / "report.html").html


def outcome(name: str, done: Sequence[CellSummary]) -> str:
    """One line: whether everything came out."""
    items = sum(item.questions * item.repeats for item in done)
    bad = {what: sum(getattr(item, what) for item in done) for what in ("failed", "ungraded")}
    said = f"{items} items, {bad['failed']} failed, {bad['ungraded']} ungraded"
    if any(bad.values()):
        return f"{name}: not everything came out: {said}; the same command with --retry-failed tries those again"
    return f"{name}: everything came out: {said}"
