"""The report of ``scorers test`` as tables for people and as JSON."""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import typer

from phronesis.bench.ranking import Interval, mean_interval
from phronesis.bench.scorer_report import (
    GradedQuestion,
    ScorerReport,
    majority_accuracy,
    oracle_accuracy,
    single_accuracy,
)


@dataclass(frozen=True, slots=True)
class Head:
    """What the report is of."""

    bank: str
    scores: str
    model: str
    """The model that drew the attempts; of given ones, that scored them."""
    given: str
    """Name of the labelled attempts; empty = they were drawn."""


def table_data(head: Head, questions: Sequence[GradedQuestion], found: Sequence[ScorerReport]) -> dict[str, Any]:
    """Plain values."""
    said = {"bank": head.bank, "scores": head.scores, "model": head.model, "given": head.given or None}
    baselines = {name: [item.value, item.low, item.high] for name, item in _baselines(questions).items()}
    counts = {"questions": len(questions), "attempts": _attempts(questions)}
    return {**said, **counts, "baselines": baselines, "scorers": [item.to_json() for item in found]}


def show(head: Head, questions: Sequence[GradedQuestion], found: Sequence[ScorerReport]) -> None:
    """Prints the tables: what the scorers are worth for ranking, and what as verifiers."""
    of = head.given or head.model or "the model"
    if head.given and head.model:
        of += f", scored by {head.model}"
    typer.echo(
        f"{len(questions)} questions, {_attempts(questions)} attempts of {of} (bank {head.bank}, scores {head.scores})"
    )
    for name, interval in _baselines(questions).items():
        typer.echo(f"  {name:<12} {percent(interval)}")
    ranking = ("scorer", "AUROC pooled", "within", "best of k", "weighted vote", "vote - majority", "cost")
    _print(ranking, [_ranking(item) for item in found])
    verdicts = ("as a verifier", "from", "accepts right / wrong", "balanced accuracy", "rejects: P / R / F1", "unknown")
    _print(verdicts, [_verdicts(item) for item in found])
    for item in found:
        if item.verdicts.sameness:
            typer.echo(f"{item.scorer} {item.verdicts.sameness}")
    typer.echo(
        "from: the lowest figure it accepts. P / R / F1: precision, recall and F1 of rejecting wrong attempts; an unknown "
        "verdict is never right.\nCost is per scored attempt. Brackets: 95 %."
    )


def _ranking(item: ScorerReport) -> tuple[str, ...]:
    return (
        item.scorer + ("  (at chance)" if item.at_chance and not math.isnan(item.area.value) else ""),
        str(item.pooled),
        str(item.within),
        percent(item.best),
        percent(item.vote),
        percent(item.vote_gain, sign=True),
        f"{item.calls:.1f} calls, {item.tokens:.0f} tokens, {item.seconds:.1f} s",
    )


def _verdicts(item: ScorerReport) -> tuple[str, ...]:
    found = item.verdicts
    return (
        item.scorer,
        f"{item.accept:g}",
        f"{_share(found.accepts_right)} / {_share(found.accepts_wrong)}",
        percent(item.balanced),
        f"{_share(found.precision)} / {_share(found.recall)} / {_share(found.f1)}",
        _share(found.unknown),
    )


def _print(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for index, column in enumerate(columns):
        table.add_column(column, no_wrap=not index, overflow="fold")
    for row in rows:
        table.add_row(*row)
    Console(width=None if sys.stdout.isatty() else 200).print(table)


def _baselines(questions: Sequence[GradedQuestion]) -> dict[str, Interval]:
    return {
        "one attempt": mean_interval(single_accuracy(questions)),
        "majority": mean_interval(majority_accuracy(questions)),
        "any right": mean_interval(oracle_accuracy(questions)),
    }


def _attempts(questions: Sequence[GradedQuestion]) -> int:
    return sum(len(question.candidates) for question in questions)


def _share(share: float) -> str:
    return "-" if math.isnan(share) else f"{share:.0%}"


def percent(interval: Interval, *, sign: bool = False) -> str:
    """In percent, with its interval; ``-`` where there is nothing to estimate from."""
    if math.isnan(interval.value):
        return "-"
    form = "+.1f" if sign else ".1f"
    value, low, high = (100 * figure for figure in (interval.value, interval.low, interval.high))
    return f"{value:{form}} [{low:{form}}, {high:{form}}]"
