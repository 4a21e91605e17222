"""What scorers are worth on a graded sample bank: ranking, selection, acceptance, cost."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from phronesis.bench.dataset import Example, canonical_gold
from phronesis.bench.metrics.verdicts import Judged, VerdictCounts, count_verdicts
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
        """Whether each readable answer is right; given attempts may be labelled otherwise though their answers are equal,
        and then the first of them counts."""
        pairs = zip(self.candidates[::-1], self.right[::-1], strict=True)
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
    questions: int
    scored: int
    """Attempts that have a figure."""
    pooled: Interval
    """AUROC over all attempts."""
    within: Interval
    """AUROC between attempts at the same question, each mixed question counting once."""
    mixed: int
    """Questions with both right and wrong attempts that have a figure."""
    best: Interval
    """Accuracy of the highest-scored attempt."""
    vote: Interval
    """Accuracy of the vote weighted by the scores."""
    vote_gain: Interval
    """Weighted vote less majority, paired."""
    best_gain: Interval
    """Highest-scored attempt less majority, paired."""
    accept: float
    """Lowest figure that counts as accepted: the scorer's own, whatever a recipe sets."""
    verdicts: VerdictCounts
    """At that figure, over the attempts with a readable answer: a loop asks of no others. No figure = unknown."""
    balanced: Interval
    """Balanced accuracy of these verdicts."""
    calls: float
    """Model calls per scored attempt."""
    tokens: float
    """Prompt and generated tokens per scored attempt."""
    seconds: float
    """Summed latency of these calls per scored attempt."""

    @property
    def at_chance(self) -> bool:
        """Whether nothing says that it ranks better than chance: the deciding area is 0.5 or less, or not known."""
        return not self.area.value > 0.5

    @property
    def area(self) -> Interval:
        """The area that decides: within a question; pooled where so few questions are mixed that it says nothing (fewer than
        10 and fewer than a third)."""
        few = self.mixed < 10 and 3 * self.mixed < self.questions
        return self.pooled if few or math.isnan(self.within.value) else self.within

    def to_json(self) -> dict[str, Any]:
        data = {name: getattr(self, name) for name in self.__dataclass_fields__ if name != "verdicts"}
        data |= {name: getattr(self.verdicts, name) for name in _OF_VERDICTS}
        data["verdicts"] = asdict(self.verdicts)
        for name, item in data.items():
            if isinstance(item, Interval):
                figures = (item.value, item.low, item.high)
                data[name] = [None if math.isnan(figure) else round(figure, 4) for figure in figures]
            elif isinstance(item, float):
                data[name] = None if math.isnan(item) else round(item, 4)
        return {**data, "at_chance": self.at_chance}


_OF_VERDICTS = ("accepts_right", "accepts_wrong", "precision", "recall", "f1", "unknown", "sameness")


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
        pairs = zip(question.candidates, question.right, strict=True)
        readable = [(_figure(item, scorer, -1.0), right) for item, right in pairs if item.answer is not None]
        found.append(float(max(readable, key=lambda pair: pair[0])[1]) if readable else 0.0)
    return found


def report(
    questions: Sequence[GradedQuestion],
    scorer: str,
    *,
    accept: float = 0.5,
    cost: tuple[int, int, float] = (0, 0, 0.0),
) -> ScorerReport:
    """The scorer's report; ``accept``: lowest figure that counts as accepted; ``cost`` = (calls, tokens, seconds) of scoring
    the whole bank."""
    graded = [
        [
            (figure, right)
            for item, right in zip(question.candidates, question.right, strict=True)
            if (figure := item.scores.get(scorer)) is not None
        ]
        for question in questions
    ]
    judged = [_judged(question, scorer, accept) for question in questions]
    scored = sum(len(part) for part in graded)
    plain = majority_accuracy(questions)
    best, vote = best_accuracy(questions, scorer), weighted_accuracy(questions, scorer)
    calls, tokens, seconds = (total / scored if scored else 0.0 for total in cost)
    return ScorerReport(
        scorer=scorer,
        questions=len(questions),
        scored=scored,
        pooled=bootstrap(graded, _pooled),
        within=bootstrap(graded, auroc_within),
        mixed=sum(len({right for _, right in part}) > 1 for part in graded),
        best=mean_interval(best),
        vote=mean_interval(vote),
        vote_gain=paired(plain, vote),
        best_gain=paired(plain, best),
        accept=accept,
        verdicts=_counted(judged),
        balanced=bootstrap(judged, lambda parts: _counted(parts).balanced),
        calls=calls,
        tokens=tokens,
        seconds=seconds,
    )


def _judged(question: GradedQuestion, scorer: str, accept: float) -> list[Judged]:
    pairs = zip(question.candidates, question.right, strict=True)
    figures = [(item.scores.get(scorer), right) for item, right in pairs if item.answer is not None]
    return [(None if figure is None else figure >= accept, right) for figure, right in figures]


def _counted(parts: Sequence[Sequence[Judged]]) -> VerdictCounts:
    return count_verdicts(pair for part in parts for pair in part)


def _pooled(parts: Sequence[Sequence[Graded]]) -> float:
    return auroc([pair for part in parts for pair in part])


def _figure(item: Candidate, scorer: str, missing: float) -> float:
    figure = item.scores.get(scorer)
    return missing if figure is None else figure


def _chosen(question: GradedQuestion, answer: str | None) -> float:
    return float(answer is not None and question.by_answer.get(answer, False))
