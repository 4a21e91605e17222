"""``rubrics test`` as the command line carries it out: a scoring run like that of ``scorers test``, read by criterion."""

from __future__ import annotations

import math
from collections.abc import Sequence

import orjson
import typer

from phronesis.agents.verification.rubric_files import load_rubric
from phronesis.bench.rubric_agreement import WHOLE, CriterionAgreement, agreement, judged_attempts
from phronesis.bench.scorer_report import ScorerReport
from phronesis.bench.scorer_test import costs, reported
from phronesis.bench.scoring_runs import scorers_of, scoring_knobs
from phronesis.cli.scorer_test_inputs import TestOrder, asked
from phronesis.cli.scorer_tests import run_test, scored
from phronesis.core.settings import load_settings


def run_rubric_test(order: TestOrder, rubric: str, *, json: bool, dry_run: bool) -> int:
    """Scores the attempts by the rubric and prints agreement by criterion; the exit code."""
    criteria = [item.name for item in load_rubric(rubric).criteria]
    if dry_run:
        return run_test(order, json=json, dry_run=True)
    settings = load_settings()
    wanted = asked(order, settings)
    scorers = order.scorers if order.scores is None else scorers_of(settings, order.scores)
    known = order.bank if order.scores is None else str(scoring_knobs(settings, order.scores)["bank"])
    bank, run, results = scored(order, settings, wanted, known, scorers, quiet=json)
    questions, (report, *_) = reported(wanted.grade(results), scorers, costs(settings, run, scorers))
    judged = judged_attempts(results, questions)
    found = [agreement(judged, name) for name in (WHOLE, *criteria)]
    if json:
        head = {"rubric": rubric, "attempts": wanted.given, "bank": bank, "scores": run, "questions": len(questions)}
        rows = [item.to_json() for item in found]
        typer.echo(orjson.dumps({**head, "criteria": rows, "verifier": report.to_json()}).decode())
    else:
        _show(rubric, wanted.given, run, found, report)
    return int(any(result.failures or result.status == "failed" for result in results))


def _show(rubric: str, given: str, run: str, found: Sequence[CriterionAgreement], report: ScorerReport) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table

    typer.echo(f"{rubric} on {report.scored} attempts of {given} (scores {run})")
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for column in ("criterion", "AUROC", "known", "pairs", "prefers right", "ties"):
        table.add_column(column)
    for item in found:
        table.add_row(
            item.criterion,
            str(item.ranks),
            _percent(item.known),
            str(item.pairs),
            _percent(item.prefers_right),
            _percent(item.ties),
        )
    Console().print(table)
    balanced = report.balanced
    typer.echo(
        f"balanced accuracy {_percent(balanced.value)} [{_percent(balanced.low)}, {_percent(balanced.high)}]; "
        f"{report.calls:.1f} calls and {report.tokens:.0f} tokens an attempt"
    )
    typer.echo(
        "AUROC: chance that a right attempt scores above a wrong one, ties half. Pairs: at one question. Brackets: 95 %."
    )


def _percent(share: float) -> str:
    return "-" if math.isnan(share) else f"{100 * share:.0f} %"
