"""Self-certainty: how sure the model was of its own words. Free: it reads log-probabilities that came with the sample."""

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
    calls = 0

    async def score(self, task: Task, candidate: Candidate, *, site: Site) -> float:
        if candidate.mean_logprob is None or math.isnan(candidate.mean_logprob):
            return NEUTRAL
        return math.exp(min(0.0, candidate.mean_logprob))
