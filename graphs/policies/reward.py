"""MAgICoRe's reward of a chain, and the statistics it is normalised by (arXiv 2409.12147, code annotate.py)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

StepReduce = Literal["prod", "min", "geo_mean", "last", "mean"]


def reduce_steps(scores: Sequence[float], how: StepReduce = "prod") -> float:
    """Step scores to one figure in [0, 1]; 0 when there is no step (the paper scores an unreadable chain ``[0]``).

    ``prod`` is the paper's; over many steps it falls towards 0, so ``min``, ``mean``, ``geo_mean`` and ``last`` are
    offered."""
    if not scores:
        return 0.0
    if how == "prod":
        return math.prod(scores)
    if how == "min":
        return min(scores)
    if how == "last":
        return scores[-1]
    if how == "mean":
        return math.fsum(scores) / len(scores)
    if min(scores) <= 0:
        return 0.0
    return min(1.0, math.exp(math.fsum(math.log(score) for score in scores) / len(scores)))


@dataclass(frozen=True, slots=True)
class RewardStatistics:
    """Count, mean and population standard deviation of the rewards of first chains."""

    count: int = 0
    mean: float = 0.0
    std: float = 0.0

    def z(self, reward: float) -> float:
        """(reward - mean) / std; with no spread the sign of the difference decides (0, +inf or -inf)."""
        if self.std > 0:
            return (reward - self.mean) / self.std
        difference = reward - self.mean
        return 0.0 if difference == 0 else math.copysign(math.inf, difference)


def statistics_of(rewards: Sequence[float]) -> RewardStatistics:
    """Statistics of a sample; population standard deviation, exact sums."""
    if not rewards:
        return RewardStatistics()
    if min(rewards) == max(rewards):
        return RewardStatistics(len(rewards), rewards[0], 0.0)
    mean = math.fsum(rewards) / len(rewards)
    variance = math.fsum((reward - mean) ** 2 for reward in rewards) / len(rewards)
    return RewardStatistics(len(rewards), mean, math.sqrt(variance))
