"""Fitting the logistic scorers on graded attempts, with figures from questions that were not fitted on."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from phronesis.agents.scorers.combined import answer_figures
from phronesis.agents.scorers.logistic import LogisticModel, fit
from phronesis.agents.scorers.signals import signals
from phronesis.bench.dataset import Example
from phronesis.bench.ranking import Graded, Interval, auroc, auroc_within, bootstrap, paired
from phronesis.bench.scorer_report import GradedQuestion, majority_accuracy

FOLDS = 10


@dataclass(frozen=True, slots=True)
class Row:
    """One attempt or one answer: its figures, whether it is right, how many attempts stand behind it."""

    figures: Mapping[str, float | None]
    right: bool


@dataclass(frozen=True, kw_only=True)
class Fitted:
    """A model, and how it did on the questions left out of each fold."""

    model: LogisticModel
    pooled: Interval
    within: Interval
    chosen: tuple[float, ...]
    """1 or 0 per question: the highest-ranked row, by a model that had not seen the question, is right."""
    gain: Interval
    """The same less majority, paired."""


def attempt_rows(questions: Sequence[GradedQuestion], examples: Sequence[Example]) -> list[list[Row]]:
    """A row per readable attempt, by question."""
    tasks = {example.task.id: example.task for example in examples}
    return [
        [
            Row(signals(tasks[question.id], item), right)
            for item, right in zip(question.candidates, question.right, strict=True)
            if item.answer is not None
        ]
        for question in questions
    ]


def answer_rows(
    questions: Sequence[GradedQuestion],
    examples: Sequence[Example],
    chances: Callable[[GradedQuestion], Sequence[float]],
    scorers: Mapping[str, str],
) -> list[list[Row]]:
    """A row per different answer, by question; ``scorers``: feature name -> scorer whose figures the attempts hold."""
    found = []
    for question in questions:
        others = {name: [item.scores.get(text) for item in question.candidates] for name, text in scorers.items()}
        figures = answer_figures(question.candidates, chances(question), others)
        found.append([Row(part, question.by_answer[answer]) for answer, part in figures.items()])
    return found


def held_out(
    rows: Sequence[Sequence[Row]], names: Sequence[str], *, ridge: float, seed: int = 0, folds: int = FOLDS
) -> list[list[float]]:
    """P(right) of every row by a model fitted on the other folds' questions; folds are drawn by the seed."""
    order = np.random.default_rng(seed).permutation(len(rows))
    found: list[list[float]] = [[] for _ in rows]
    for part in np.array_split(order, min(folds, len(rows))):
        left_out = {int(index) for index in part}
        kept = [row for index, group in enumerate(rows) if index not in left_out for row in group]
        model = _fit(kept, names, ridge, "a fold")
        for index in left_out:
            found[index] = [model.probability(row.figures) for row in rows[index]]
    return found


def fit_rows(
    rows: Sequence[Sequence[Row]],
    questions: Sequence[GradedQuestion],
    names: Sequence[str],
    *,
    calibrated_on: str,
    scorers: Mapping[str, str] | None = None,
    ridge: float = 1.0,
    seed: int = 0,
) -> Fitted:
    """The model over all rows, and how models that had not seen a question did on it. Raises ValueError without rows of
    both kinds."""
    outside = held_out(rows, names, ridge=ridge, seed=seed)
    graded: list[list[Graded]] = [
        [(score, row.right) for score, row in zip(scores, group, strict=True)]
        for scores, group in zip(outside, rows, strict=True)
    ]
    chosen = tuple(float(bool(part) and max(part, key=lambda pair: pair[0])[1]) for part in graded)
    pooled = bootstrap(graded, lambda parts: auroc([pair for part in parts for pair in part]))
    everything = [row for group in rows for row in group]
    model = _fit(everything, names, ridge, calibrated_on, scorers)
    area = None if math.isnan(pooled.value) else round(pooled.value, 4)
    return Fitted(
        model=model.model_copy(update={"auroc": area}),
        pooled=pooled,
        within=bootstrap(graded, auroc_within),
        chosen=chosen,
        gain=paired(majority_accuracy(questions), chosen),
    )


def _fit(
    rows: Sequence[Row],
    names: Sequence[str],
    ridge: float,
    calibrated_on: str,
    scorers: Mapping[str, str] | None = None,
) -> LogisticModel:
    figures, right = [row.figures for row in rows], [row.right for row in rows]
    return fit(figures, right, names=names, calibrated_on=calibrated_on, scorers=scorers, ridge=ridge)
