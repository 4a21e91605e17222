"""``scorers fit`` as the command line carries it out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import orjson
import typer

from phronesis.agents.scorers.signals import SIGNALS
from phronesis.agents.scorers.table import choose_scorer
from phronesis.bench.dataset import read_examples
from phronesis.bench.fitting import Fitted, answer_rows, attempt_rows, fit_rows, held_out
from phronesis.bench.ranking import mean_interval
from phronesis.bench.scorer_report import GradedQuestion
from phronesis.bench.scorer_test import reports
from phronesis.bench.scoring_runs import format_of, model_of, scorers_of, scoring_knobs
from phronesis.cli.scorer_test_table import percent
from phronesis.core.errors import ConfigurationError
from phronesis.core.result import Result
from phronesis.core.settings import Settings, load_settings
from phronesis.graphs.banks import Banks
from phronesis.graphs.scorer_records import today

OF_ANSWERS = ("share", "lead", "weighted_share", "best", "mean")
"""Features of an answer that need no other scorer; see ``combined.answer_figures``."""


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
    if not out.parent.is_dir():
        raise ConfigurationError(f"cannot write {str(out)!r}: there is no folder {str(out.parent)!r}", mend="make it")
    settings = load_settings()
    scorers = _features_of(use, scorers_of(settings, scores), scores)
    fitted, said = _fit(settings, dataset, scores, per=per, scorers=scorers, features=features, ridge=ridge)
    try:
        out.write_text(fitted.model.to_toml(), encoding="utf-8")
    except OSError as error:
        raise ConfigurationError(f"cannot write {str(out)!r}: {error.strerror}", mend="choose another --out") from None
    accuracy = mean_interval(fitted.chosen)
    if json:
        data = {"out": str(out), "pooled": fitted.pooled.value, "within": fitted.within.value}
        typer.echo(orjson.dumps({**data, "accuracy": accuracy.value, "gain": fitted.gain.value}).decode())
        return 0
    typer.echo(f"{out}: {said}")
    typer.echo(f"  held out: AUROC pooled {fitted.pooled}, within {fitted.within}")
    typer.echo(f"  best {per}: {percent(accuracy)}, less majority {percent(fitted.gain, sign=True)}")
    for name, feature in sorted(fitted.model.features.items(), key=lambda item: -abs(item[1].weight)):
        typer.echo(f"  {name:<18} {feature.weight:+.3f}")
    return 0


def _fit(
    settings: Settings,
    dataset: Path,
    scores: str,
    *,
    per: str,
    scorers: dict[str, str],
    features: str | None,
    ridge: float,
) -> tuple[Fitted, str]:
    """The fitted model, and what it was fitted on. Raises ConfigurationError when nothing can be fitted."""
    bank = str(scoring_knobs(settings, scores)["bank"])
    examples = read_examples(dataset, format=format_of(settings, bank))
    banks = Banks(settings)
    results = [
        Result(task_id=task.id, status="ok", answer=None, candidates=tuple(banks.attempts(scores, task.id)))
        for task in banks.tasks(scores)
    ]
    questions, _ = reports(results, examples, (), {})
    rows = attempt_rows(questions, examples)
    try:
        if per == "attempt":
            names, scorers = _chosen(features, SIGNALS), {}
        else:
            outside = held_out(rows, SIGNALS, ridge=ridge)
            chances = {question.id: part for question, part in zip(questions, outside, strict=True)}
            rows = answer_rows(questions, examples, lambda question: _spread(question, chances[question.id]), scorers)
            names = _chosen(features, (*OF_ANSWERS, *scorers))
            scorers = {name: text for name, text in scorers.items() if name in names}
        counted = f"{len(questions)} questions, {sum(map(len, rows))} {per}s"
        said = f"{model_of(settings, bank)}, {dataset.name}, {counted}, {today()}"
        return fit_rows(rows, questions, names, calibrated_on=said, scorers=scorers, ridge=ridge), said
    except ValueError as error:
        raise ConfigurationError(f"nothing can be fitted: {error}", mend="give more questions") from None


def _features_of(use: Sequence[str], known: Sequence[str], run: str) -> dict[str, str]:
    """Feature name -> scorer: the scorer's name, numbered where one stands in several forms."""
    missing = [text for text in use if text not in known]
    if missing:
        raise ConfigurationError(f"run {run!r} holds no scores of {missing[0]!r}", mend=f"known: {', '.join(known)}")
    names = [choose_scorer(text, kinds=("outcome", "group")).name for text in use]
    if len(set(use)) < len(use):
        raise ConfigurationError(f"--use names a scorer twice: {', '.join(use)}", mend="leave one of them out")
    several = {name for name, count in Counter(names).items() if count > 1}
    seen: Counter[str] = Counter()
    found = {}
    for name, text in zip(names, use, strict=True):
        seen[name] += 1
        found[f"{name}_{seen[name]}" if name in several else name] = text
    return found


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
