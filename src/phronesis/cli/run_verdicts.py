"""``phronesis runs verdicts``: verdicts and people's words on them, as a table, as JSON, or as labelled rows."""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence

import orjson
import typer
from rich.table import Table
from rich.text import Text

from phronesis.bench.metrics.agreement import Threshold
from phronesis.bench.run_verdicts import Agreement, RunVerdict, agreements, labelled_rows, verdicts_of
from phronesis.cli.plain import counted, plain
from phronesis.cli.tables import console
from phronesis.core.errors import ConfigurationError
from phronesis.core.settings import load_settings
from phronesis.graphs.run_folder import run_folder

_STYLES = {"accept": "green", "reject": "red", "unknown": "yellow"}


def show_verdicts(run_ids: Sequence[str], *, json: bool, jsonl: bool) -> None:
    """Prints the verdicts. Raises ConfigurationError for a run that is not there and for both forms at once."""
    if json and jsonl:
        raise ConfigurationError("--json and --jsonl print different things", mend="leave one of them out")
    settings = load_settings()
    found = [item for run_id in dict.fromkeys(run_ids) for item in verdicts_of(run_folder(settings, run_id))]
    if jsonl:
        _print_rows(found)
        return
    compared = agreements(found)
    if json:
        rows = [item.to_json() for item in found]
        typer.echo(orjson.dumps({"verdicts": rows, "agreement": [item.to_json() for item in compared]}).decode())
        return
    if not found:
        typer.echo('no verdicts: run a recipe with --verify, for example --verify "generative(votes=4)"')
        return
    out = console()
    out.print(_table(found, several=len({item.run for item in found}) > 1))
    for item in compared:
        for line in agreement_lines(item):
            out.print(Text(line), soft_wrap=True)
    if not compared:
        out.print(Text("no person judged an attempt: run with --verify-ask all to compare", style="dim"))


def _print_rows(found: Sequence[RunVerdict]) -> None:
    rows = labelled_rows(found)
    for row in rows:
        typer.echo(orjson.dumps(row).decode())
    judged = sum(item.right is not None for item in found)
    if len(rows) < judged:
        left = judged - len(rows)
        print(f"{counted(left, 'judged attempt')} left out: judged again, or journalled without texts", file=sys.stderr)
    if not rows:
        print("no attempt that a person judged: run with --verify-ask all", file=sys.stderr)


def _table(found: Sequence[RunVerdict], *, several: bool) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), show_edge=False, header_style="dim")
    for column in (*(("run",) if several else ()), "task", "attempt", "answer", "verdict", "person", "reason"):
        table.add_column(column)
    for item in found:
        run = (Text(item.run),) if several else ()
        reason = item.person_reason or item.reason
        table.add_row(
            *run,
            Text(plain(item.task, 40)),
            Text(item.attempt),
            Text(plain(str(item.answer), 40)),
            Text(f"{item.label}{_figure(item.score)}", style=_STYLES[item.label]),
            Text(item.person or ""),
            Text(plain(reason, 120)),
        )
    return table


def _figure(score: float | None) -> str:
    return "" if score is None else f" ({score:.2f})"


def agreement_lines(item: Agreement) -> list[str]:
    """How far a verifier and people agree, for people."""
    kappa = "" if item.kappa is None else f", kappa {item.kappa:.2f}"
    unknown = f", {item.unknown} of them unknown" if item.unknown else ""
    accuracy = "" if item.accuracy is None else f"agrees with people on {item.accuracy:.0%}"
    lines = [f"{plain(item.verifier)} {accuracy} of {counted(item.judged, 'judged verdict')}{unknown}{kappa}"]
    if item.threshold is not None:
        lines.append(threshold_line(item.threshold))
    return [*lines, *([f"warning: {item.warning}"] if item.warning else [])]


def threshold_line(found: Threshold) -> str:
    """The proposed threshold, its interval and its ties."""
    cut = "accepting nothing" if math.isinf(found.accept) else f"verify.accept = {_cut(found.accept)}"
    best = f"{cut} agrees best ({found.agreement:.0%})"
    others = ", ".join(map(_cut, found.ties[1:]))
    ties = f"; as often: {others}" if others else ""
    return f"{best}; 95 % interval {_cut(found.low)} to {_cut(found.high)}{ties}"


def _cut(value: float) -> str:
    return "nothing" if math.isinf(value) else f"{value:.3g}"
