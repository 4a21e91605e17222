"""``scorers null`` as the command line carries it out."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import orjson
import typer

from phronesis.agents.scorers.table import choose_scorer
from phronesis.bench.metrics.null_model import NullReport, null_gate
from phronesis.bench.null_check import Contest, NullCheck, contest_of
from phronesis.bench.sets.load import load_set
from phronesis.bench.sets.request import requested
from phronesis.cli.progress import reporter
from phronesis.core.errors import ConfigurationError, PhronesisError
from phronesis.core.loop import run_sync
from phronesis.core.settings import Settings, load_settings
from phronesis.graphs.banks import Banks
from phronesis.graphs.recipe import ModelSection


@dataclass(frozen=True, kw_only=True)
class NullOrder:
    """What the command was asked for."""

    scorers: tuple[str, ...]
    dataset: str
    bank: str | None
    limit: int
    accept: float
    least: int
    model: str | None
    base_url: str | None
    parallel: int


@dataclass(frozen=True, slots=True)
class Checked:
    """One scorer's reports, and why it fails; no reason = it passes."""

    scorer: str
    model: str
    reports: Sequence[NullReport]
    reasons: Sequence[str]
    failures: Sequence[PhronesisError]

    def to_json(self) -> dict[str, Any]:
        return {
            "scorer": self.scorer,
            "model": self.model,
            "passed": not self.reasons,
            "reasons": list(self.reasons),
            "failed_calls": len(self.failures),
            "nulls": [_row(report) for report in self.reports],
        }


def run_nulls(order: NullOrder, *, dry_run: bool, json: bool) -> int:
    """Checks each scorer and prints the table; 1 when one fails the gate, or calls failed."""
    settings = load_settings()
    section = ModelSection(model=order.model, base_url=order.base_url)
    checks = [NullCheck(choose_scorer(text), settings, section=section) for text in order.scorers]
    contests = _contests(order, settings)
    if dry_run:
        return _say_plan(checks, len(contests), json=json)
    found = [run_sync(_checked(check, contests, order, quiet=json)) for check in checks]
    if json:
        typer.echo(orjson.dumps({"questions": len(contests), "scorers": [item.to_json() for item in found]}).decode())
    else:
        for item in found:
            show(item, len(contests))
    for item in found:
        if item.failures:
            first = item.failures[0].message
            print(f"{item.scorer}: {len(item.failures)} judgement(s) failed, the first: {first}", file=sys.stderr)
    return int(any(item.reasons or item.failures for item in found))


def _contests(order: NullOrder, settings: Settings) -> list[Contest]:
    examples = load_set(requested(spec=order.dataset, limit=order.limit), settings).examples
    if order.bank is None:
        return [contest_of(example) for example in examples]
    banks = Banks(settings)
    held = {task.id for task in banks.tasks(order.bank)}
    found = [contest_of(item, banks.attempts(order.bank, item.task.id)) for item in examples if item.task.id in held]
    if not found:
        raise ConfigurationError(
            f"run {order.bank!r} holds no task of {order.dataset!r}", mend="give the set it was made of"
        )
    return found


def _say_plan(checks: Sequence[NullCheck], questions: int, *, json: bool) -> int:
    rows = [{"scorer": check.scorer.text, "most_calls": check.calls(questions)} for check in checks]
    if json:
        typer.echo(orjson.dumps({"questions": questions, "scorers": rows}).decode())
        return 0
    for row in rows:
        typer.echo(f"{row['scorer']}: at most {row['most_calls']} calls on {questions} questions")
    return 0


async def _checked(check: NullCheck, contests: Sequence[Contest], order: NullOrder, *, quiet: bool) -> Checked:
    hear = _counter(check.scorer.text, len(contests), quiet=quiet)
    reports = await check.run(contests, accept=order.accept, parallel=order.parallel, hear=hear)
    return Checked(check.scorer.text, check.model, reports, null_gate(reports, least=order.least), check.failures)


def _counter(name: str, total: int, *, quiet: bool) -> Callable[[], None]:
    say, began, done = reporter(f"nulls to {name}"), time.monotonic(), 0

    def heard() -> None:
        nonlocal done
        done += 1
        if not quiet:
            say(time.monotonic() - began, f"{done} of {total} questions")

    return heard


def _row(report: NullReport) -> dict[str, Any]:
    return {
        "null": report.name,
        "injection": report.injection,
        "judged": report.judged,
        "accepted": report.accepted,
        "acceptance_rate": report.acceptance_rate,
        "compared": report.compared,
        "won": report.won,
        "win_rate": report.win_rate,
        "order_consistency": report.order_consistency,
        "mean_score": None if math.isnan(report.mean_p) else report.mean_p,
        "unparsed": report.unparsed,
    }


def show(item: Checked, questions: int) -> None:
    """The table for people."""
    from rich import box
    from rich.console import Console
    from rich.table import Table

    typer.echo(f"{item.scorer} of {item.model or 'the model'}, {questions} questions: ", nl=False)
    typer.echo("fails" if item.reasons else "passes")
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for column in ("null", "judged", "accepted", "mean score", "compared", "wins", "same in both orders", "no verdict"):
        table.add_column(column)
    for report in item.reports:
        table.add_row(
            report.name + (" (injection)" if report.injection else ""),
            str(report.judged),
            _share(report.acceptance_rate),
            "-" if math.isnan(report.mean_p) else f"{report.mean_p:.3f}",
            str(report.compared),
            _share(report.win_rate),
            _share(report.order_consistency),
            str(report.unparsed),
        )
    Console(width=None if sys.stdout.isatty() else 200).print(table)
    for reason in item.reasons:
        typer.echo(f"  {reason}")


def _share(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.1f} %"
