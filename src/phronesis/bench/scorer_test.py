"""Testing scorers: record a sample bank once, score its attempts by any number of scorers, report."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from phronesis.agents.scorers.table import choose_scorer
from phronesis.bench.dataset import Example
from phronesis.bench.given_attempts import GivenQuestion, digest, unlabelled
from phronesis.bench.scorer_report import GradedQuestion, ScorerReport, grade, report
from phronesis.core.errors import ConfigurationError, SetupError
from phronesis.core.journal import FILE_NAME, Event, read_events
from phronesis.core.result import Result
from phronesis.core.settings import Settings
from phronesis.core.task import Task
from phronesis.graphs.recipe import Recipe
from phronesis.graphs.run import Run
from phronesis.graphs.run_folder import run_folder

Listener = Callable[[Event], None]


@dataclass(frozen=True, kw_only=True)
class ScorerTest:
    """The outcome of a test."""

    bank: str
    """Run that holds the attempts."""
    scores: str
    """Run that holds the scores."""
    model: str
    questions: tuple[GradedQuestion, ...]
    reports: tuple[ScorerReport, ...]


def bank_recipe(recipe: Recipe, samples: int) -> Recipe:
    """The recipe with that many attempts and their log-probabilities, where its knobs have names for them."""
    data = recipe.to_data()
    fields = type(recipe.knobs).model_fields
    data["knobs"] |= {name: samples for name in ("k", "n") if name in fields}
    data["knobs"] |= {"weights": "probability"} if "weights" in fields else {}
    return Recipe.from_data(data, source=recipe.source)


async def record_bank(
    recipe: Recipe, tasks: Sequence[Task], *, settings: Settings, parallel: int, listener: Listener | None = None
) -> str:
    """Runs the recipe over the tasks; the run's id."""
    async with await Run.start(recipe, settings=settings, listener=listener) as run:
        async for _ in run.solve_all(tasks, parallel=parallel):
            pass
        return run.id


def given_recipe(file: Path, models: Mapping[str, Any], format: str) -> Recipe:
    """The recipe whose run holds the attempts of such a file (bench/given_attempts.py)."""
    data = {
        "schema": "phronesis/recipe/1",
        "name": "given",
        "strategy": "given",
        "knobs": {"attempts": str(file)},
        "models": dict(models),
        "answer": {"format": format},
        "calibration": "frozen",
    }
    return Recipe.from_data(data, source="scorers test")


async def record_given(
    questions: Sequence[GivenQuestion],
    *,
    models: Mapping[str, Any],
    format: str,
    settings: Settings,
    parallel: int,
    listener: Listener | None = None,
) -> str:
    """A run that holds the given attempts; its id. The file it reads lies in the home folder while it is made."""
    file = settings.home / "given" / f"{digest(questions)}-{os.getpid()}.jsonl"
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(unlabelled(questions))
    except OSError as error:
        raise SetupError(f"cannot write {str(file)!r}: {error.strerror}", mend="set PHRONESIS_HOME") from None
    recipe, tasks = given_recipe(file, models, format), [question.task for question in questions]
    run = await record_bank(recipe, tasks, settings=settings, parallel=parallel, listener=listener)
    file.unlink(missing_ok=True)
    return run


async def score_bank(
    bank: str,
    scorers: Sequence[str],
    tasks: Sequence[Task],
    *,
    models: dict[str, Any],
    answer: dict[str, Any],
    settings: Settings,
    parallel: int,
    resume: str | None = None,
    listener: Listener | None = None,
) -> tuple[str, list[Result]]:
    """Scores a bank's attempts in a run of its own, or goes on with an earlier one; (its id, the results)."""
    if resume is not None:
        run = await Run.resume(resume, settings=settings, listener=listener)
        if run.recipe.strategy.name != "score_bank":
            await run.close()
            raise ConfigurationError(f"run {resume!r} scores no bank", mend="name a run of `phronesis scorers test`")
        tasks = run.tasks
    else:
        data = {
            "schema": "phronesis/recipe/1",
            "name": "score_bank",
            "strategy": "score_bank",
            "knobs": {"bank": bank, "scorers": list(scorers)},
            "models": models,
            "answer": answer,
            "calibration": "frozen",
        }
        run = await Run.start(Recipe.from_data(data, source="scorers test"), settings=settings, listener=listener)
    async with run:
        results = {result.task_id: result async for result in run.solve_all(tasks, parallel=parallel)}
        return run.id, [results[task.id] for task in tasks]


def costs(settings: Settings, run: str, scorers: Sequence[str]) -> dict[str, tuple[int, int, float]]:
    """(calls, tokens, seconds) that each scorer spent in a scoring run, read from its journal."""
    spent = {scorer: (0, 0, 0.0) for scorer in scorers}
    for event in read_events(run_folder(settings, run) / FILE_NAME):
        stage = event.key.partition("#")[0].partition("/")[0]
        if event.type != "call" or not stage.startswith("s") or not stage[1:].isdigit():
            continue
        scorer = scorers[int(stage[1:])]
        calls, tokens, seconds = spent[scorer]
        value = event.data["value"]
        usage = value["usage"]
        tokens += usage.get("prompt_tokens", 0) + usage.get("completion_tokens", 0)
        spent[scorer] = (calls + int(event.data.get("count", 1)), tokens, seconds + float(value["latency"]))
    return spent


def reports(
    results: Sequence[Result],
    examples: Sequence[Example],
    scorers: Sequence[str],
    spent: dict[str, tuple[int, int, float]],
) -> tuple[tuple[GradedQuestion, ...], tuple[ScorerReport, ...]]:
    """The graded questions, and a report per scorer in the order given. Raises ConfigurationError when no task has a gold
    answer."""
    return reported(grade(results, examples), scorers, spent)


def reported(
    questions: Sequence[GradedQuestion], scorers: Sequence[str], spent: Mapping[str, tuple[int, int, float]]
) -> tuple[tuple[GradedQuestion, ...], tuple[ScorerReport, ...]]:
    """The same of questions that are graded already. Raises ConfigurationError when there is none."""
    if not questions:
        raise ConfigurationError(
            "no task of the bank is in the data set", mend="give the data set the bank was made of"
        )
    found = []
    for scorer in scorers:
        cost, accept = spent.get(scorer, (0, 0, 0.0)), choose_scorer(scorer).accept
        found.append(report(questions, scorer, accept=accept, cost=cost))
    return tuple(questions), tuple(found)
