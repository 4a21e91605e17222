"""``scorers test`` as the command line carries it out."""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
import typer

from phronesis.agents.scorers.table import ChosenScorer, choose_scorer
from phronesis.bench.dataset import Example, canonical_gold, read_examples
from phronesis.bench.ranking import Interval, mean_interval
from phronesis.bench.scorer_report import (
    GradedQuestion,
    ScorerReport,
    majority_accuracy,
    oracle_accuracy,
    single_accuracy,
)
from phronesis.bench.scorer_test import bank_recipe, costs, record_bank, reports, score_bank
from phronesis.bench.scoring_runs import answer_of, format_of, model_of, scorers_of, scoring_knobs
from phronesis.cli.progress import Progress
from phronesis.cli.values import settings_of
from phronesis.core.errors import ConfigurationError, PhronesisError
from phronesis.core.loop import run_sync
from phronesis.core.result import Result
from phronesis.core.settings import Settings, load_settings
from phronesis.graphs.banks import Banks
from phronesis.graphs.recipe import Recipe
from phronesis.graphs.scorer_records import ScorerRecord, ScorerRecords, today


@dataclass(frozen=True, kw_only=True)
class TestOrder:
    """What the command was asked for."""

    __test__ = False
    dataset: Path
    scorers: tuple[str, ...]
    bank: str | None
    recipe: str
    samples: int
    limit: int | None
    overrides: tuple[str, ...]
    scores: str | None
    parallel: int


def run_test(order: TestOrder, *, json: bool, dry_run: bool) -> int:
    """Records a bank unless one is named, scores it, prints the table; the exit code."""
    if order.scores is not None and (order.scorers or order.bank is not None):
        raise ConfigurationError("--scores names a scoring run whole", mend="leave --bank and the scorers out")
    settings = load_settings()
    overrides = settings_of(order.overrides, option="--set")
    recipe = bank_recipe(Recipe.load(order.recipe, overrides=overrides), order.samples)
    known = order.bank if order.scores is None else str(scoring_knobs(settings, order.scores)["bank"])
    format = recipe.file.answer.format if known is None else format_of(settings, known)
    examples = read_examples(order.dataset, format=format, limit=order.limit)
    for example in examples:
        canonical_gold(example)
    scorers = order.scorers if order.scores is None else scorers_of(settings, order.scores)
    if not scorers:
        raise ConfigurationError("no scorer is named", mend="name some: phronesis scorers list shows them")
    chosen = [choose_scorer(text) for text in scorers]
    if dry_run:
        return _plan(settings, chosen, examples, known, order.samples, json=json)
    bank, run, results = _work(order, settings, recipe, examples, scorers, quiet=json)
    questions, found = reports(results, examples, scorers, costs(settings, run, scorers))
    model = model_of(settings, bank)
    formats = {example.task.answer_format or "text" for example in examples}
    if len(formats) == 1:
        (name,) = formats
        records = [_record(model, name, run, questions, item) for item in found if item.scored]
        ScorerRecords(settings.home / "statistics.sqlite3").save(records)
    if json:
        typer.echo(orjson.dumps(_data(bank, run, model, questions, found)).decode())
    else:
        show(bank, run, model, questions, found)
    return max(_said_failures(results), *(_said_silence(item) for item in found))


def _plan(
    settings: Settings,
    chosen: Sequence[ChosenScorer],
    examples: Sequence[Example],
    bank: str | None,
    samples: int,
    *,
    json: bool,
) -> int:
    """Says what would run: the recorded attempts where there are some."""
    attempts = len(examples) * samples
    asked = len(examples)
    if bank is not None:
        banks, wanted = Banks(settings), {example.task.id for example in examples}
        held = [banks.attempts(bank, task.id) for task in banks.tasks(bank) if task.id in wanted]
        asked, attempts = len(held), sum(item.status != "failed" for part in held for item in part)
    most = {item.text: attempts * item.calls.most + asked * item.calls.task for item in chosen}
    if json:
        rows = [{"scorer": text, "most_calls": calls} for text, calls in most.items()]
        typer.echo(orjson.dumps({"questions": asked, "attempts": attempts, "bank": bank, "scorers": rows}).decode())
        return 0
    typer.echo(f"{asked} questions, {attempts} attempts" + (": a new bank" if bank is None else f" of run {bank}"))
    for text, calls in most.items():
        typer.echo(f"{text}: at most {calls} calls")
    return 0


def _said_failures(results: Sequence[Result]) -> int:
    """1 when something failed, and then it is said on standard error."""
    failures = [failure for result in results for failure in result.failures]
    failed = [result.task_id for result in results if result.status == "failed"]
    if failures:
        first = failures[0]
        print(f"{len(failures)} failure(s), the first: {first.where}: {first.message}", file=sys.stderr)
    return 1 if failures or failed else 0


def _said_silence(item: ScorerReport) -> int:
    """1 when a scorer has not one figure, and then it is said on standard error."""
    if not item.scored:
        print(f"{item.scorer}: no attempt has a figure; nothing is recorded of it", file=sys.stderr)
    return int(not item.scored)


def _work(
    order: TestOrder,
    settings: Settings,
    recipe: Recipe,
    examples: Sequence[Example],
    scorers: Sequence[str],
    *,
    quiet: bool,
) -> tuple[str, str, list[Result]]:
    """(bank, scoring run, results). When it is stopped, says how to go on."""
    tasks = [example.task for example in examples]
    bank = order.bank if order.scores is None else scoring_knobs(settings, order.scores)["bank"]

    async def record(progress: Progress) -> str:
        return await record_bank(recipe, tasks, settings=settings, parallel=order.parallel, listener=progress.hear)

    async def score(progress: Progress, bank: str) -> tuple[str, list[Result]]:
        if order.scores is not None:
            wanted = tasks
        else:
            ids = {task.id for task in tasks}
            wanted = [task for task in Banks(settings).tasks(bank) if task.id in ids]
            if not wanted:
                raise ConfigurationError(
                    f"run {bank!r} holds no task of the data set", mend="give the set it was made of"
                )
        return await score_bank(
            bank,
            scorers,
            wanted,
            models={name: section.model_dump() for name, section in recipe.file.models.items()},
            answer=answer_of(settings, bank),
            settings=settings,
            parallel=order.parallel,
            resume=order.scores,
            listener=progress.hear,
        )

    stage = Progress(recipe=None, total=len(tasks), quiet=quiet)
    try:
        if bank is None:
            with stage:
                bank = run_sync(record(stage))
            print(f"bank: run {bank} (use it again with --bank {bank})", file=sys.stderr)
            stage = Progress(recipe=None, total=len(tasks), quiet=quiet)
        with stage:
            run, results = run_sync(score(stage, bank))
    except (KeyboardInterrupt, PhronesisError):
        known = f"--scores RUN or --bank {bank}" if bank else "`phronesis runs resume RUN`, then --bank RUN"
        print(f"\ngo on with {known}; `phronesis runs list` shows the runs", file=sys.stderr)
        raise
    return bank, run, results


def _record(model: str, format: str, run: str, questions: Sequence[GradedQuestion], item: ScorerReport) -> ScorerRecord:
    area = item.pooled if math.isnan(item.within.value) else item.within
    within = [None if math.isnan(figure) else figure for figure in (area.value, area.low, area.high)]
    return ScorerRecord(
        model=model,
        scorer=item.scorer,
        format=format,
        auroc=within[0],
        low=within[1],
        high=within[2],
        attempts=item.scored,
        questions=len(questions),
        day=today(),
        run=run,
    )


def _baselines(questions: Sequence[GradedQuestion]) -> dict[str, Interval]:
    return {
        "one attempt": mean_interval(single_accuracy(questions)),
        "majority": mean_interval(majority_accuracy(questions)),
        "any right": mean_interval(oracle_accuracy(questions)),
    }


def _data(
    bank: str, run: str, model: str, questions: Sequence[GradedQuestion], found: Sequence[ScorerReport]
) -> dict[str, Any]:
    baselines = {name: [item.value, item.low, item.high] for name, item in _baselines(questions).items()}
    attempts = sum(len(question.candidates) for question in questions)
    head = {"bank": bank, "scores": run, "model": model, "questions": len(questions), "attempts": attempts}
    return {**head, "baselines": baselines, "scorers": [item.to_json() for item in found]}


def show(bank: str, run: str, model: str, questions: Sequence[GradedQuestion], found: Sequence[ScorerReport]) -> None:
    """The table for people."""
    from rich import box
    from rich.console import Console
    from rich.table import Table

    attempts = sum(len(question.candidates) for question in questions)
    typer.echo(f"{len(questions)} questions, {attempts} attempts of {model or 'the model'} (bank {bank}, scores {run})")
    for name, interval in _baselines(questions).items():
        typer.echo(f"  {name:<12} {percent(interval)}")
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    columns = ("scorer", "AUROC pooled", "within", "best of k", "weighted vote", "vote - majority", "accepts", "cost")
    for column in columns:
        table.add_column(column, no_wrap=column == "scorer", overflow="fold")
    for item in found:
        mark = "  (at chance)" if item.at_chance else ""
        table.add_row(
            item.scorer + mark,
            str(item.pooled),
            str(item.within),
            percent(item.best),
            percent(item.vote),
            percent(item.vote_gain, sign=True),
            _accepts(item),
            f"{item.calls:.1f} calls, {item.tokens:.0f} tokens, {item.seconds:.1f} s",
        )
    Console(width=None if sys.stdout.isatty() else 200).print(table)
    typer.echo(
        "accepts: share of the right / wrong attempts scored 0.5 or more. Cost is per scored attempt. Brackets: 95 %."
    )


def _accepts(item: ScorerReport) -> str:
    shares = ("-" if math.isnan(share) else f"{share:.0%}" for share in (item.accepts_right, item.accepts_wrong))
    return " / ".join(shares)


def percent(interval: Interval, *, sign: bool = False) -> str:
    form = "+.1f" if sign else ".1f"
    value, low, high = (100 * figure for figure in (interval.value, interval.low, interval.high))
    return f"{value:{form}} [{low:{form}}, {high:{form}}]"
