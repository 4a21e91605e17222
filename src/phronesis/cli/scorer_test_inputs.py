"""What ``scorers test`` is asked about: a data set whose attempts a recipe draws, or labelled attempts of a file."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast, get_args

from phronesis.bench.dataset import canonical_gold, read_examples
from phronesis.bench.given_attempts import grade_given
from phronesis.bench.given_sets import GivenRequest, load_given
from phronesis.bench.scorer_report import GradedQuestion, grade
from phronesis.bench.scorer_test import Listener, bank_recipe, record_bank, record_given
from phronesis.bench.scoring_runs import format_of, scoring_knobs
from phronesis.bench.sets.request import SetRequest
from phronesis.cli.values import settings_of
from phronesis.core.errors import ConfigurationError
from phronesis.core.result import Result
from phronesis.core.settings import Settings
from phronesis.core.task import AnswerFormat, Task
from phronesis.graphs.recipe import Recipe


@dataclass(frozen=True, kw_only=True)
class TestOrder:
    """What the command was asked for."""

    __test__ = False
    dataset: Path | None
    attempts: str | None
    where: tuple[str, ...]
    shuffle: int | None
    scorers: tuple[str, ...]
    bank: str | None
    recipe: str
    samples: int
    limit: int | None
    overrides: tuple[str, ...]
    scores: str | None
    parallel: int


@dataclass(frozen=True, kw_only=True)
class Asked:
    """Questions, and who knows which attempts at them are right."""

    tasks: tuple[Task, ...]
    attempts: int
    """Of a new bank."""
    models: dict[str, Any]
    """Model sections of the scoring run."""
    record: Callable[[Listener], Awaitable[str]]
    """Makes a bank; its run."""
    grade: Callable[[Sequence[Result]], list[GradedQuestion]]
    given: str = ""
    """Name of the labelled attempts; empty = they are drawn."""
    one_sided: str = ""
    """``right`` or ``wrong`` where all labels are that."""


def asked(order: TestOrder, settings: Settings) -> Asked:
    """Reads what the order names. Raises ConfigurationError for both inputs or none, and for what cannot be read."""
    if (order.dataset is None) == (order.attempts is None):
        said = (
            "both --dataset and --attempts are" if order.dataset is not None else "neither --dataset nor --attempts is"
        )
        raise ConfigurationError(f"{said} given", mend="give one: questions with gold answers, or labelled attempts")
    if order.attempts is not None:
        return _given(order, settings, order.attempts)
    if order.where or order.shuffle is not None:
        option = "--where" if order.where else "--shuffle"
        raise ConfigurationError(f"{option} chooses among --attempts", mend="leave it out, or use --limit")
    assert order.dataset is not None
    return _drawn(order, settings, order.dataset)


def _drawn(order: TestOrder, settings: Settings, dataset: Path) -> Asked:
    recipe = bank_recipe(_recipe(order), order.samples)
    known = order.bank if order.scores is None else str(scoring_knobs(settings, order.scores)["bank"])
    format = recipe.file.answer.format if known is None else format_of(settings, known)
    examples = read_examples(dataset, format=format, limit=order.limit)
    for example in examples:
        canonical_gold(example)
    tasks = tuple(example.task for example in examples)
    return Asked(
        tasks=tasks,
        attempts=len(tasks) * order.samples,
        models=_models(recipe),
        record=lambda hear: record_bank(recipe, tasks, settings=settings, parallel=order.parallel, listener=hear),
        grade=lambda results: grade(results, examples),
    )


def _given(order: TestOrder, settings: Settings, spec: str) -> Asked:
    format = str(settings_of(order.overrides, option="--set").get("answer.format", "text"))
    if format not in get_args(AnswerFormat):
        known = ", ".join(get_args(AnswerFormat))
        raise ConfigurationError(f"unknown answer format {format!r}", mend=f"choose one of {known}")
    where: dict[str, tuple[str, ...]] = {}
    for name, value in (_pair(text) for text in order.where):
        where[name] = (*where.get(name, ()), *value.split(","))
    request = GivenRequest(
        spec=spec, where=where, limit=order.limit, shuffle=order.shuffle, format=cast(AnswerFormat, format)
    )
    questions, models = load_given(request, settings), _models(_recipe(order))
    labels = {item.right for question in questions for item in question.attempts}
    return Asked(
        tasks=tuple(question.task for question in questions),
        attempts=sum(len(question.attempts) for question in questions),
        models=models,
        record=lambda hear: record_given(
            questions, models=models, format=format, settings=settings, parallel=order.parallel, listener=hear
        ),
        grade=lambda results: grade_given(results, questions),
        given=" ".join((SetRequest(spec=spec).title, *order.where)),
        one_sided="" if len(labels) > 1 else "right" if True in labels else "wrong",
    )


def _recipe(order: TestOrder) -> Recipe:
    return Recipe.load(order.recipe, overrides=settings_of(order.overrides, option="--set"))


def _models(recipe: Recipe) -> dict[str, Any]:
    return {name: section.model_dump() for name, section in recipe.file.models.items()}


def _pair(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not name.strip() or not value.strip():
        raise ConfigurationError(f"--where {text!r} is not FIELD=VALUE", mend="write --where subset=gsm8k")
    return name.strip(), value.strip()
