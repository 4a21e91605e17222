"""``phronesis runs prune``: shows what would go, asks, deletes."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import orjson
import typer

from phronesis.cli.plain import plain
from phronesis.core.errors import ConfigurationError
from phronesis.core.settings import load_settings
from phronesis.graphs.prune import age_of, delete_run, prunable, sources_of, statuses_of, sweep
from phronesis.graphs.prune import named as by_id
from phronesis.graphs.run_folder import RunSummary, list_runs


def prune_runs(
    run_ids: Sequence[str] = (),
    *,
    keep: int,
    older_than: str | None,
    status: str,
    dry_run: bool,
    yes: bool,
    json: bool,
) -> None:
    """Deletes the named runs, or those that may go. Raises ConfigurationError where it would have to ask and cannot."""
    settings = load_settings()
    statuses, age = statuses_of(status), None if older_than is None else age_of(older_than)
    runs = list_runs(settings)
    if run_ids and (keep or age is not None):
        raise ConfigurationError("runs are named, so --keep and --older-than choose nothing", mend="leave them out")
    going = by_id(runs, run_ids) if run_ids else prunable(runs, keep=keep, older_than=age, statuses=statuses)
    named = sources_of(runs, going)
    if not json:
        _show(going, named)
    if dry_run:
        _report(going, deleted=[], in_use=[], named=named, dry_run=True, json=json)
        return
    if going and not yes:
        if json or not (sys.stdin.isatty() and sys.stderr.isatty()):
            raise ConfigurationError(
                f"{_counted(going)} would be deleted, and there is no terminal to ask at",
                mend="add --yes, or --dry-run",
            )
        if not typer.confirm(f"delete {_counted(going)}?", err=True):
            typer.echo("nothing was deleted", err=True)
            return
    sweep(settings)
    gone = {run.run_id for run in going if delete_run(settings.runs / run.run_id)}
    deleted = [run for run in going if run.run_id in gone]
    in_use = [run for run in going if run.run_id not in gone]
    _report(going, deleted=deleted, in_use=in_use, named=named, dry_run=False, json=json)


def _show(going: Sequence[RunSummary], named: dict[str, list[str]]) -> None:
    for run in going:
        note = f"  read by {', '.join(named[run.run_id])}" if run.run_id in named else ""
        counts = f"{run.finished}/{run.tasks} tasks"
        typer.echo(f"{run.run_id}  {run.status:<11}  {plain(run.recipe, 30):<18}  {counts}  {size(run.bytes)}{note}")


def _report(
    going: Sequence[RunSummary],
    *,
    deleted: Sequence[RunSummary],
    in_use: Sequence[RunSummary],
    named: dict[str, list[str]],
    dry_run: bool,
    json: bool,
) -> None:
    if json:
        told = {
            "dry_run": dry_run,
            "chosen": [run._asdict() for run in going],
            "deleted": [run.run_id for run in deleted],
            "in_use": [run.run_id for run in in_use],
            "bytes": sum(run.bytes for run in (going if dry_run else deleted)),
            "read_by": named,
        }
        typer.echo(orjson.dumps(told).decode())
        return
    if dry_run:
        typer.echo(f"{_counted(going)} would be deleted" if going else "nothing would be deleted")
        return
    typer.echo(f"{_counted(deleted)} deleted" if deleted else "nothing was deleted")
    for run in in_use:
        typer.echo(f"{run.run_id} is being worked on and was kept", err=True)


def _counted(runs: Sequence[RunSummary]) -> str:
    return f"{len(runs)} run{'' if len(runs) == 1 else 's'} ({size(sum(run.bytes for run in runs))})"


def size(count: int) -> str:
    """Bytes for people: ``812 B``, ``3.4 MB``."""
    if count < 1000:
        return f"{count} B"
    power = min(3, (len(str(count)) - 1) // 3)
    return f"{count / 1000**power:.1f} {('B', 'kB', 'MB', 'GB')[power]}"
