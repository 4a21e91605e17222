"""``bench audit`` as the command line carries it out."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import orjson
import typer

from phronesis.bench.audit_report import AuditReport, report
from phronesis.bench.audit_run import Asked, Audited, Verdict, ask, draw, missing, read_labels, verdicts, with_texts
from phronesis.bench.running.folder import BenchFolder
from phronesis.bench.running.summary import percent
from phronesis.cli.progress import reporter
from phronesis.core.errors import ConfigurationError, ModelError, PhronesisError
from phronesis.core.loop import run_sync
from phronesis.core.settings import Settings, load_settings
from phronesis.graphs.endpoints import RoleEndpoint
from phronesis.graphs.recipe import ModelSection


@dataclass(frozen=True, kw_only=True)
class AuditOrder:
    """What the command was asked for."""

    folder: Path
    samples: int
    models: tuple[str, ...]
    base_urls: tuple[str, ...]
    seed: int
    labels: Path | None
    parallel: int


def run_audit(order: AuditOrder, *, dry_run: bool, json: bool) -> int:
    """Asks what was not asked yet and prints the report; the exit code."""
    settings, folder = load_settings(), BenchFolder(order.folder)
    sections = _sections(order)
    folder.plan()
    items = list(folder.items())
    drawn = draw(items, order.samples, seed=order.seed)
    if not drawn:
        raise ConfigurationError(
            f"{str(order.folder)!r} holds no answer that was graded right", mend="audit a bench that has some"
        )
    chosen, without = with_texts(folder, drawn)
    if without:
        print(f"{len(without)} right answer(s) have no text any more: their journals are gone", file=sys.stderr)
    names = {item.id: item.item.task for item in chosen}
    labels, unknown = read_labels(order.labels, names) if order.labels else ({}, [])
    if unknown:
        print(f"{len(unknown)} label(s) are of items that are not audited: {', '.join(unknown[:3])}", file=sys.stderr)
    if dry_run:
        return _say_plan(order, settings, chosen, sections, json=json)
    try:
        with folder:
            auditors, failed = run_sync(_ask_all(order, settings, chosen, sections, quiet=json))
    except (KeyboardInterrupt, PhronesisError):
        print(f"\nwhat was said so far is in {order.folder}; the same command goes on", file=sys.stderr)
        raise
    if failed:
        print(f"{len(failed)} call(s) failed, the first: {failed[0].message}; audit again for them", file=sys.stderr)
    known = verdicts(order.folder)
    found = {auditor: _of(chosen, auditor, known) for auditor in auditors}
    result = report(items, chosen, found, labels)
    if json:
        typer.echo(orjson.dumps({**result.to_json(), "failed_calls": len(failed), "ids": list(names)}).decode())
    else:
        show(result)
    return 1 if failed or not chosen else 0


def _sections(order: AuditOrder) -> list[ModelSection]:
    """An auditor each. Raises ConfigurationError when models and addresses do not pair up."""
    count = max(1, len(order.models), len(order.base_urls))
    for what, given in (("--model", order.models), ("--base-url", order.base_urls)):
        if len(given) not in (0, 1, count):
            raise ConfigurationError(
                f"{what} is given {len(given)} times for {count} auditors", mend=f"give {what} once, or {count} times"
            )
    twice = next((name for name in order.models if order.models.count(name) > 1), None)
    if twice is not None:
        raise ConfigurationError(f"the auditor {twice!r} is named twice", mend="name each model once")
    models = order.models * (count if len(order.models) == 1 else 1) or (None,) * count
    urls = order.base_urls * (count if len(order.base_urls) == 1 else 1) or (None,) * count
    return [ModelSection(model=model, base_url=url) for model, url in zip(models, urls, strict=True)]


def _of(chosen: Sequence[Audited], auditor: str, known: Mapping[Asked, Verdict]) -> dict[str, Verdict]:
    """The auditor's verdicts on what was chosen, by item."""
    return {item.id: known[auditor, item.request] for item in chosen if (auditor, item.request) in known}


def _say_plan(
    order: AuditOrder, settings: Settings, chosen: Sequence[Audited], sections: Sequence[ModelSection], *, json: bool
) -> int:
    known = verdicts(order.folder)
    rows = []
    for section in sections:
        name = section.model or settings.model
        calls = len(missing(chosen, name, known)) if name else len(chosen)
        rows.append({"auditor": name, "calls": calls})
    if json:
        ids = [item.id for item in chosen]
        typer.echo(orjson.dumps({"audited": len(chosen), "auditors": rows, "ids": ids}).decode())
        return 0
    for row in rows:
        typer.echo(f"{row['auditor'] or 'the configured model'}: {row['calls']} calls, {len(chosen)} right answers")
    return 0


async def _ask_all(
    order: AuditOrder, settings: Settings, chosen: Sequence[Audited], sections: Sequence[ModelSection], *, quiet: bool
) -> tuple[list[str], list[ModelError]]:
    """(the auditors' names, the calls that failed)."""
    auditors, failed = list[str](), list[ModelError]()
    for section in sections:
        endpoint = RoleEndpoint(section, settings)
        await endpoint.require((), who="the audit")
        name = endpoint.model
        if name in auditors:
            raise ConfigurationError(f"two auditors are the model {name!r}", mend="give each another --model")
        auditors.append(name)
        wanted = missing(chosen, name, verdicts(order.folder))
        hear = _counter(name, len(wanted), quiet=quiet)
        failed += await ask(order.folder, wanted, name, endpoint, parallel=order.parallel, hear=hear)
    return auditors, failed


def _counter(name: str, total: int, *, quiet: bool) -> Callable[[], None]:
    say, began, done = reporter(f"audit by {name}"), time.monotonic(), 0

    def heard() -> None:
        nonlocal done
        done += 1
        if not quiet:
            say(time.monotonic() - began, f"{done} of {total}")

    return heard


def show(result: AuditReport) -> None:
    """The table for people."""
    from rich import box
    from rich.console import Console
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    names = (
        "set",
        "arm",
        "auditor",
        "right",
        "read",
        "flawed",
        "unknown",
        "FP rate %",
        "true %",
        "accuracy %",
        "pass@k %",
    )
    for column in names:
        table.add_column(column, overflow="fold")
    for row in result.rows:
        curve = ", ".join(
            f"{k}: {_percent(before)} -> {_percent(after)}" for k, (before, after) in row.pass_at_k.items()
        )
        table.add_row(
            row.set,
            row.arm,
            row.auditor,
            f"{row.right}",
            f"{row.audited}",
            f"{row.flawed}",
            f"{row.unknown}",
            percent(row.rate),
            _percent(row.true_rate),
            f"{_percent(row.accuracy)} -> {_percent(row.corrected_accuracy)}",
            curve,
        )
    Console(width=None if sys.stdout.isatty() else 200).print(table)
    for auditor, skill in result.skills.items():
        finds, passes = _percent(skill.sensitivity), _percent(skill.specificity)
        typer.echo(
            f"{auditor}: finds {finds} % of the flawed, passes {passes} % of the sound ({skill.labelled} labels)"
        )
    typer.echo(
        "FP rate: share of right answers with a flawed derivation; brackets 95 %. Arrows: without false positives."
    )


def _percent(share: float | None) -> str:
    return "-" if share is None or math.isnan(share) else f"{100 * share:.1f}"
