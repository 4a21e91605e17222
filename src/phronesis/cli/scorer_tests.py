"""``scorers test`` and ``scorers fit`` as the command line carries them out."""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import orjson
import typer

from phronesis.agents.scorers.signals import SIGNALS
from phronesis.agents.scorers.table import choose_scorer
from phronesis.bench.dataset import Example, read_examples
from phronesis.bench.fitting import answer_rows, attempt_rows, fit_rows, held_out
from phronesis.bench.ranking import Interval, mean_interval
from phronesis.bench.scorer_report import (
    GradedQuestion,
    ScorerReport,
    majority_accuracy,
    oracle_accuracy,
    single_accuracy,
)
from phronesis.bench.scorer_test import bank_recipe, costs, record_bank, reports, score_bank
from phronesis.cli.progress import Progress
from phronesis.cli.values import settings_of
from phronesis.core.errors import ConfigurationError, PhronesisError
from phronesis.core.journal import FILE_NAME, read_events
from phronesis.core.loop import run_sync
from phronesis.core.result import Result
from phronesis.core.settings import Settings, load_settings
from phronesis.core.task import AnswerFormat
from phronesis.graphs.banks import Banks
from phronesis.graphs.recipe import Recipe
from phronesis.graphs.run_folder import run_folder
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
    settings = load_settings()
    recipe = bank_recipe(
        Recipe.load(order.recipe, overrides=settings_of(order.overrides, option="--set")), order.samples
    )
    known = order.bank if order.scores is None else str(_knobs_of(settings, order.scores)["bank"])
    format = recipe.file.answer.format if known is None else _format_of(settings, known)
    examples = read_examples(order.dataset, format=format, limit=order.limit)
    scorers = order.scorers if order.scores is None else _scorers_of(settings, order.scores)
    if not scorers:
        raise ConfigurationError("no scorer is named", mend="name some: phronesis scorers list shows them")
    chosen = [choose_scorer(text) for text in scorers]
    if dry_run:
        asked = len(examples)
        typer.echo(f"{asked} questions" + ("" if order.bank else f", {order.samples} attempts each: a new bank"))
        for scorer in chosen:
            calls = scorer.calls
            most = asked * (order.samples * calls.most + calls.task)
            typer.echo(f"{scorer.text}: at most {most} calls")
        return 0
    bank, run, results = _work(order, settings, recipe, examples, scorers, quiet=json)
    questions, found = reports(results, examples, scorers, costs(settings, run, scorers))
    model = _model_of(settings, bank)
    formats = {example.task.answer_format or "text" for example in examples}
    if len(formats) == 1:
        records = [_record(model, formats.copy().pop(), run, questions, item) for item in found]
        ScorerRecords(settings.home / "statistics.sqlite3").save(records)
    if json:
        typer.echo(orjson.dumps(_data(bank, run, model, questions, found)).decode())
    else:
        show(bank, run, model, questions, found)
    return 1 if any(result.status == "failed" for result in results) else 0


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
    bank = order.bank if order.scores is None else _knobs_of(settings, order.scores)["bank"]

    async def record(progress: Progress) -> str:
        return await record_bank(recipe, tasks, settings=settings, parallel=order.parallel, listener=_named(progress))

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
            settings=settings,
            parallel=order.parallel,
            resume=order.scores,
            listener=_named(progress),
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


def _named(progress: Progress) -> Any:
    return progress.hear


def _started(settings: Settings, run: str) -> dict[str, Any]:
    events = read_events(run_folder(settings, run) / FILE_NAME)
    return dict(next(event for event in events if event.type == "run_started").data)


def _knobs_of(settings: Settings, run: str) -> dict[str, Any]:
    recipe = _started(settings, run)["recipe"]
    if recipe["strategy"] != "score_bank":
        raise ConfigurationError(f"run {run!r} scores no bank", mend="name a run of `phronesis scorers test`")
    return dict(recipe["knobs"])


def _scorers_of(settings: Settings, run: str) -> tuple[str, ...]:
    return tuple(_knobs_of(settings, run)["scorers"])


def _format_of(settings: Settings, run: str) -> AnswerFormat:
    return cast(AnswerFormat, _started(settings, run)["recipe"]["answer"]["format"])


def _model_of(settings: Settings, bank: str) -> str:
    models = _started(settings, bank)["models"]
    return str(models.get("solver") or next(iter(models.values()), ""))


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
        typer.echo(f"  {name:<12} {_percent(interval)}")
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
            _percent(item.best),
            _percent(item.vote),
            _percent(item.vote_gain, sign=True),
            f"{item.accepts_right:.0%} / {item.accepts_wrong:.0%}",
            f"{item.calls:.1f} calls, {item.tokens:.0f} tokens, {item.seconds:.1f} s",
        )
    Console(width=None if sys.stdout.isatty() else 200).print(table)
    typer.echo(
        "accepts: share of the right / wrong attempts scored 0.5 or more. Cost is per scored attempt. Brackets: 95 %."
    )


def _percent(interval: Interval, *, sign: bool = False) -> str:
    form = "+.1f" if sign else ".1f"
    value, low, high = (100 * figure for figure in (interval.value, interval.low, interval.high))
    return f"{value:{form}} [{low:{form}}, {high:{form}}]"


def run_fit(
    dataset: Path,
    scores: str,
    out: Path,
    *,
    per: str,
    use: tuple[str, ...],
    features: str | None,
    ridge: float,
    json: bool,
) -> int:
    """Fits a logistic model on a scoring run and writes it; the exit code."""
    if per not in ("attempt", "answer"):
        raise ConfigurationError(f"--per {per!r} is neither attempt nor answer", mend="choose one")
    settings = load_settings()
    format = _format_of(settings, str(_knobs_of(settings, scores)["bank"]))
    examples = read_examples(dataset, format=format)
    known = _scorers_of(settings, scores)
    missing = [text for text in use if text not in known]
    if missing:
        raise ConfigurationError(f"run {scores!r} holds no scores of {missing[0]!r}", mend=f"known: {', '.join(known)}")
    for text in use:
        choose_scorer(text, kinds=("outcome", "group"))
    banks = Banks(settings)
    tasks = banks.tasks(scores)
    results = [
        Result(task_id=task.id, status="ok", answer=None, candidates=tuple(banks.attempts(scores, task.id)))
        for task in tasks
    ]
    questions, _ = reports(results, examples, (), {})
    rows = attempt_rows(questions, examples)
    if per == "attempt":
        names = _chosen(features, SIGNALS)
        scorers: dict[str, str] = {}
    else:
        outside = held_out(rows, SIGNALS, ridge=ridge)
        chances = {question.id: part for question, part in zip(questions, outside, strict=True)}
        scorers = {text.partition("(")[0]: text for text in use}
        rows = answer_rows(questions, examples, lambda question: _spread(question, chances[question.id]), scorers)
        names = _chosen(features, ("share", "lead", "weighted_share", "best", "mean", *scorers))
    model = _model_of(settings, _knobs_of(settings, scores)["bank"])
    said = f"{model}, {dataset.name}, {len(questions)} questions, {sum(map(len, rows))} {per}s, {today()}"
    try:
        fitted = fit_rows(rows, questions, names, calibrated_on=said, scorers=scorers, ridge=ridge)
    except ValueError as error:
        raise ConfigurationError(f"nothing can be fitted: {error}", mend="give more questions") from None
    out.write_text(fitted.model.to_toml(), encoding="utf-8")
    accuracy = mean_interval(fitted.chosen)
    if json:
        data = {"out": str(out), "pooled": fitted.pooled.value, "within": fitted.within.value}
        typer.echo(orjson.dumps({**data, "accuracy": accuracy.value, "gain": fitted.gain.value}).decode())
        return 0
    typer.echo(f"{out}: {said}")
    typer.echo(f"  held out: AUROC pooled {fitted.pooled}, within {fitted.within}")
    typer.echo(f"  best {per}: {_percent(accuracy)}, less majority {_percent(fitted.gain, sign=True)}")
    for name, feature in sorted(fitted.model.features.items(), key=lambda item: -abs(item[1].weight)):
        typer.echo(f"  {name:<18} {feature.weight:+.3f}")
    return 0


def _chosen(features: str | None, known: Sequence[str]) -> tuple[str, ...]:
    if features is None:
        return tuple(known)
    wanted = tuple(part.strip() for part in features.split(",") if part.strip())
    unknown = [name for name in wanted if name not in known]
    if unknown or not wanted:
        raise ConfigurationError(
            f"unknown feature {unknown[0] if unknown else ''!r}", mend=f"known: {', '.join(known)}"
        )
    return wanted


def _spread(question: GradedQuestion, readable: Sequence[float]) -> list[float]:
    """Chances of all attempts, 0 for those that cannot be read."""
    left = iter(readable)
    return [next(left) if item.answer is not None else 0.0 for item in question.candidates]
