"""``scorers test`` as the command line carries it out."""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence

import orjson
import typer

from phronesis.agents.scorers.table import ChosenScorer, choose_scorer
from phronesis.bench.scorer_report import GradedQuestion, ScorerReport
from phronesis.bench.scorer_test import costs, reported, score_bank
from phronesis.bench.scoring_runs import answer_of, model_of, models_of, scorers_of, scoring_knobs
from phronesis.cli.progress import Progress
from phronesis.cli.scorer_test_inputs import Asked, TestOrder, asked
from phronesis.cli.scorer_test_table import Head, show, table_data
from phronesis.core.errors import ConfigurationError, PhronesisError
from phronesis.core.loop import run_sync
from phronesis.core.result import Result
from phronesis.core.settings import Settings, load_settings
from phronesis.graphs.banks import Banks
from phronesis.graphs.scorer_records import ScorerRecord, ScorerRecords, scored_by, today


def run_test(order: TestOrder, *, json: bool, dry_run: bool) -> int:
    """Records a bank unless one is named, scores it, prints the table; the exit code."""
    if order.scores is not None and (order.scorers or order.bank is not None):
        raise ConfigurationError("--scores names a scoring run whole", mend="leave --bank and the scorers out")
    settings = load_settings()
    wanted = asked(order, settings)
    scorers = order.scorers if order.scores is None else scorers_of(settings, order.scores)
    if not scorers:
        raise ConfigurationError("no scorer is named", mend="name some: phronesis scorers list shows them")
    chosen = [choose_scorer(text) for text in scorers]
    _check_given(wanted, chosen)
    known = order.bank if order.scores is None else str(scoring_knobs(settings, order.scores)["bank"])
    if dry_run:
        return _plan(settings, chosen, wanted, known, json=json)
    if wanted.one_sided:
        print(f"every attempt is {wanted.one_sided}: nothing can be said of ranking", file=sys.stderr)
    bank, run, results = scored(order, settings, wanted, known, scorers, quiet=json)
    questions, found = reported(wanted.grade(results), scorers, costs(settings, run, scorers))
    model = model_of(settings, bank) or model_of(settings, run)
    formats = {task.answer_format or "text" for task in wanted.tasks}
    if len(formats) == 1:
        (name,) = formats
        judges = models_of(settings, run)
        records = [
            _record(scored_by(judges, item.scorer) if wanted.given else model, name, run, wanted.given, questions, item)
            for item in found
            if item.scored
        ]
        ScorerRecords(settings.home / "statistics.sqlite3").save(records)
    head = Head(bank, run, model, wanted.given)
    if json:
        typer.echo(orjson.dumps(table_data(head, questions, found)).decode())
    else:
        show(head, questions, found)
    return max(_said_failures(results), *(_said_silence(item) for item in found))


def _plan(settings: Settings, chosen: Sequence[ChosenScorer], wanted: Asked, bank: str | None, *, json: bool) -> int:
    """Says what would run: the recorded attempts where there are some."""
    asked_of, attempts = len(wanted.tasks), wanted.attempts
    if bank is not None:
        banks, ids = Banks(settings), {task.id for task in wanted.tasks}
        held = [banks.attempts(bank, task.id) for task in banks.tasks(bank) if task.id in ids]
        asked_of, attempts = len(held), sum(item.status != "failed" for part in held for item in part)
    most = {item.text: attempts * item.calls.most + asked_of * item.calls.task for item in chosen}
    if json:
        rows = [{"scorer": text, "most_calls": calls} for text, calls in most.items()]
        typer.echo(orjson.dumps({"questions": asked_of, "attempts": attempts, "bank": bank, "scorers": rows}).decode())
        return 0
    typer.echo(f"{asked_of} questions, {attempts} attempts" + (": a new bank" if bank is None else f" of run {bank}"))
    for text, calls in most.items():
        typer.echo(f"{text}: at most {calls} calls")
    return 0


def _check_given(wanted: Asked, chosen: Sequence[ChosenScorer]) -> None:
    """Raises ConfigurationError for a scorer that reads what given attempts have not."""
    found = next((item.text for item in chosen if item.logprobs), None)
    if wanted.given and found is not None:
        raise ConfigurationError(
            f"{found} reads the log-probabilities of attempts, and given attempts have none",
            mend="leave it out, or draw attempts: --dataset",
        )


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


def scored(
    order: TestOrder, settings: Settings, wanted: Asked, bank: str | None, scorers: Sequence[str], *, quiet: bool
) -> tuple[str, str, list[Result]]:
    """(bank, scoring run, results). When it is stopped, says how to go on."""

    async def record(progress: Progress) -> str:
        return await wanted.record(progress.hear)

    async def score(progress: Progress, bank: str) -> tuple[str, list[Result]]:
        tasks = list(wanted.tasks)
        if order.scores is None:
            ids = {task.id for task in tasks}
            tasks = [task for task in Banks(settings).tasks(bank) if task.id in ids]
            if not tasks:
                raise ConfigurationError(
                    f"run {bank!r} holds no task of the data set", mend="give the set it was made of"
                )
        return await score_bank(
            bank,
            scorers,
            tasks,
            models=wanted.models,
            answer=answer_of(settings, bank),
            settings=settings,
            parallel=order.parallel,
            resume=order.scores,
            listener=progress.hear,
        )

    stage = Progress(recipe=None, total=len(wanted.tasks), quiet=quiet or bool(bank is None and wanted.given))
    try:
        if bank is None:
            with stage:
                bank = run_sync(record(stage))
            print(f"bank: run {bank} (use it again with --bank {bank})", file=sys.stderr)
            stage = Progress(recipe=None, total=len(wanted.tasks), quiet=quiet)
        with stage:
            run, results = run_sync(score(stage, bank))
    except (KeyboardInterrupt, PhronesisError):
        known = f"--scores RUN or --bank {bank}" if bank else "`phronesis runs resume RUN`, then --bank RUN"
        print(f"\ngo on with {known}; `phronesis runs list` shows the runs", file=sys.stderr)
        raise
    return bank, run, results


def _record(
    model: str, format: str, run: str, given: str, questions: Sequence[GradedQuestion], item: ScorerReport
) -> ScorerRecord:
    figures = (
        item.area.value,
        item.area.low,
        item.area.high,
        item.balanced.value,
        item.balanced.low,
        item.balanced.high,
    )
    auroc, low, high, *balanced = (None if math.isnan(figure) else figure for figure in figures)
    return ScorerRecord(
        model=model,
        scorer=item.scorer,
        format=format,
        auroc=auroc,
        low=low,
        high=high,
        attempts=item.scored,
        questions=len(questions),
        day=today(),
        run=run,
        given=given,
        accept=item.accept,
        balanced=balanced[0],
        balanced_low=balanced[1],
        balanced_high=balanced[2],
        unknown=None if math.isnan(item.verdicts.unknown) else item.verdicts.unknown,
        sameness=item.verdicts.sameness,
    )
