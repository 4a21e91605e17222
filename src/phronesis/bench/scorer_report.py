"""What scorers are worth on a graded sample bank: ranking, selection, acceptance, cost."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from phronesis.bench.dataset import Example, canonical_gold
from phronesis.bench.ranking import Graded, Interval, auroc, auroc_within, bootstrap, mean_interval, paired
from phronesis.core.result import Candidate, Result
from phronesis.graphs.policies.voting import majority, weighted_vote
from phronesis.tools.answers import answer_space


@dataclass(frozen=True, slots=True)
class GradedQuestion:
    """The attempts at one question, those that came out, and which of them are right."""

    id: str
    candidates: tuple[Candidate, ...]
    right: tuple[bool, ...]

    @property
    def by_answer(self) -> Mapping[str, bool]:
        """Whether each readable answer is right."""
        pairs = zip(self.candidates, self.right, strict=True)
        return {item.answer: right for item, right in pairs if item.answer is not None}


def grade(results: Sequence[Result], examples: Sequence[Example]) -> list[GradedQuestion]:
    """The attempts of each result beside its example's gold answer; tasks without an example are left out.

    Raises ConfigurationError for a gold answer that cannot be read in its format."""
    gold = {example.task.id: example for example in examples}
    found = []
    for result in results:
        if result.task_id not in gold:
            continue
        example = gold[result.task_id]
        space = answer_space(example.task.answer_format or "text")
        wanted = canonical_gold(example)
        kept = tuple(item for item in result.candidates if item.status != "failed")
        right = tuple(item.answer is not None and space.equal(item.answer, wanted) for item in kept)
        found.append(GradedQuestion(result.task_id, kept, right))
    return found


@dataclass(frozen=True, kw_only=True)
class ScorerReport:
    """One scorer on one bank. Intervals are percentile bootstraps over questions."""

    scorer: str
    scored: int
    """Attempts that have a figure."""
    pooled: Interval
    """AUROC over all attempts."""
    within: Interval
    """AUROC between attempts at the same question, each mixed question counting once."""
    best: Interval
    """Accuracy of the highest-scored attempt."""
    vote: Interval
    """Accuracy of the vote weighted by the scores."""
    vote_gain: Interval
    """Weighted vote less majority, paired."""
    best_gain: Interval
    """Highest-scored attempt less majority, paired."""
    accepts_right: float
    """Share of right attempts scored 0.5 or more."""
    accepts_wrong: float
    """Share of wrong attempts scored 0.5 or more."""
    calls: float
    """Model calls per scored attempt."""
    tokens: float
    """Prompt and generated tokens per scored attempt."""
    seconds: float
    """Summed latency of these calls per scored attempt."""

    @property
    def at_chance(self) -> bool:
        """Whether nothing says that it ranks better than chance: the within-question AUROC is 0.5 or less, or not known."""
        value = self.pooled.value if math.isnan(self.within.value) else self.within.value
        return not value > 0.5

    def to_json(self) -> dict[str, Any]:
        data = {name: getattr(self, name) for name in self.__dataclass_fields__}
        for name, item in data.items():
            if isinstance(item, Interval):
                figures = (item.value, item.low, item.high)
                data[name] = [None if math.isnan(figure) else round(figure, 4) for figure in figures]
            elif isinstance(item, float):
                data[name] = None if math.isnan(item) else round(item, 4)
        return {**data, "at_chance": self.at_chance}


def majority_accuracy(questions: Sequence[GradedQuestion]) -> list[float]:
    """1 or 0 per question: the majority's answer is right (ties to the first seen)."""
    return [_chosen(question, majority([item.answer for item in question.candidates]).winner) for question in questions]


def oracle_accuracy(questions: Sequence[GradedQuestion]) -> list[float]:
    """1 or 0 per question: any attempt is right."""
    return [float(any(question.right)) for question in questions]


def single_accuracy(questions: Sequence[GradedQuestion]) -> list[float]:
    """The share of right attempts per question: what one attempt is worth."""
    return [sum(question.right) / len(question.right) if question.right else 0.0 for question in questions]


def weighted_accuracy(questions: Sequence[GradedQuestion], scorer: str) -> list[float]:
    """1 or 0 per question: the answer with the largest sum of scores is right; without a figure a vote counts nothing."""
    found = []
    for question in questions:
        weights = [max(0.0, _figure(item, scorer, 0.0)) for item in question.candidates]
        answers = [item.answer for item in question.candidates]
        voting = [weight for weight, answer in zip(weights, answers, strict=True) if answer is not None]
        weights = weights if any(voting) else [1.0] * len(weights)
        found.append(_chosen(question, weighted_vote(answers, weights).winner))
    return found


def best_accuracy(questions: Sequence[GradedQuestion], scorer: str) -> list[float]:
    """1 or 0 per question: the highest-scored readable attempt is right; ties to the first."""
    found = []
    for question in questions:
        readable = [item for item in question.candidates if item.answer is not None]
        best = max(readable, key=lambda item: _figure(item, scorer, -1.0), default=None)
        found.append(_chosen(question, best.answer if best is not None else None))
    return found


def report(
    questions: Sequence[GradedQuestion], scorer: str, *, cost: tuple[int, int, float] = (0, 0, 0.0)
) -> ScorerReport:
    """The scorer's report; ``cost`` = (calls, tokens, seconds) of scoring the whole bank."""
    graded = [
        [
            (figure, right)
            for item, right in zip(question.candidates, question.right, strict=True)
            if (figure := item.scores.get(scorer)) is not None
        ]
        for question in questions
    ]
    flat = [pair for part in graded for pair in part]
    plain = majority_accuracy(questions)
    best, vote = best_accuracy(questions, scorer), weighted_accuracy(questions, scorer)
    calls, tokens, seconds = (total / len(flat) if flat else 0.0 for total in cost)
    return ScorerReport(
        scorer=scorer,
        scored=len(flat),
        pooled=bootstrap(graded, _pooled),
        within=bootstrap(graded, auroc_within),
        best=mean_interval(best),
        vote=mean_interval(vote),
        vote_gain=paired(plain, vote),
        best_gain=paired(plain, best),
        accepts_right=_share(flat, lambda pair: pair[1]),
        accepts_wrong=_share(flat, lambda pair: not pair[1]),
        calls=calls,
        tokens=tokens,
        seconds=seconds,
    )


def _pooled(parts: Sequence[Sequence[Graded]]) -> float:
    return auroc([pair for part in parts for pair in part])


def _share(graded: Sequence[Graded], counted: Callable[[Graded], bool]) -> float:
    kept = [pair for pair in graded if counted(pair)]
    return sum(score >= 0.5 for score, _ in kept) / len(kept) if kept else math.nan


def _figure(item: Candidate, scorer: str, missing: float) -> float:
    figure = item.scores.get(scorer)
    return missing if figure is None else figure


def _chosen(question: GradedQuestion, answer: str | None) -> float:
    return float(answer is not None and question.by_answer.get(answer, False))
