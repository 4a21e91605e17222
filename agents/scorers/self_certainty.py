"""How sure the model was of its own words. Free: both scorers read log-probabilities that came with the sample."""

from __future__ import annotations

import math

from phronesis.core.result import Candidate
from phronesis.core.site import Site
from phronesis.core.task import Task

NEUTRAL = 0.5
"""Score of an attempt without log-probabilities: never the highest."""


class SelfCertainty:
    """exp(mean log-probability of the chosen tokens), the geometric mean of their probabilities, in (0, 1].

    Measured on the default model: AUROC .656 pooled, .655 within a question."""

    name = "self_certainty"

    def calls_for(self, candidate: Candidate) -> int:
        return 0

    async def score(self, task: Task, candidate: Candidate, *, site: Site) -> float:
        return _probability(candidate.mean_logprob)


class AnswerCertainty:
    """The same over the tokens of the marked answer alone, in (0, 1]; 0.5 where no answer is marked."""

    name = "answer_certainty"

    def calls_for(self, candidate: Candidate) -> int:
        return 0

    async def score(self, task: Task, candidate: Candidate, *, site: Site) -> float:
        return _probability(candidate.answer_logprob)


def _probability(mean: float | None) -> float:
    return NEUTRAL if mean is None or math.isnan(mean) else math.exp(min(0.0, mean))
