"""MAgICoRe's gate: is weighted self-consistency good enough for this question, or does it need refinement?

A question is hard, and is refined, only when both conditions fail (arXiv 2409.12147; code refine.py):
quality: the mean z-score of the chains that agree with the majority is below 0;
confidence: the answers are spread over more than three effective ones, by outcome weights or by step weights.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from phronesis.graphs.policies.reward import RewardStatistics

A = TypeVar("A", bound=Hashable)
CONFIDENT = 0.5
"""conf(H) < 0.5 iff H > ln 3: more than three effective answers."""


def entropy(weights: Sequence[float]) -> float:
    """Natural-log entropy of the normalised weights; NaN when they add up to 0."""
    total = math.fsum(weights)
    if total <= 0:
        return math.nan
    shares = [share for weight in weights if (share := weight / total) > 0]
    return max(0.0, -math.fsum(share * math.log(share) for share in shares))


def confidence(spread: float) -> float:
    """conf(H) = 2 (1 - sigmoid(H)) = 2 / (1 + e^H), in (0, 1]; 1 when all agree."""
    return 2.0 / (1.0 + math.exp(spread))


def answer_weights(answers: Sequence[A | None], weights: Sequence[float]) -> dict[A | None, float]:
    """Summed weight by answer; an unreadable answer is one of them, as in the paper's code."""
    found: dict[A | None, list[float]] = {}
    for answer, weight in zip(answers, weights, strict=True):
        found.setdefault(answer, []).append(weight)
    return {answer: math.fsum(parts) for answer, parts in found.items()}


@dataclass(frozen=True, slots=True, kw_only=True)
class GateDecision:
    """What the gate saw and decided."""

    hard: bool
    quality: float | None
    """Mean z-score, or mean reward when there are too few statistics; None = no chain agrees with the majority."""
    quality_passes: bool
    normalised: bool
    """Whether quality is a z-score."""
    outcome_confidence: float | None
    """None = no chain has any weight."""
    step_confidence: float | None
    confidence_passes: bool
    majority: str | None
    reason: str


def decide(
    answers: Sequence[str | None],
    rewards: Sequence[float],
    outcomes: Sequence[float],
    steps: Sequence[float],
    *,
    majority: str | None,
    statistics: RewardStatistics,
    confident: float = CONFIDENT,
    floor: float = 1.0,
    least: int = 8,
) -> GateDecision:
    """The decision over one round's chains.

    ``steps``: each chain's reduced step score. ``floor``: mean reward that stands in for z >= 0 while fewer than ``least``
    rewards have been seen (ours; the paper calibrates on its whole test set). NaN and empty cases are the paper's code's:
    all-zero weights count as confident, and quality passes when no chain agrees with the majority. Where not one answer
    could be read, ours decides hard: there is nothing to vote on."""
    agreeing = [reward for answer, reward in zip(answers, rewards, strict=True) if answer == majority]
    readable = any(answer is not None for answer in answers)
    normalised = statistics.count >= least
    by_outcome = confidence(entropy(list(answer_weights(answers, outcomes).values())))
    by_step = confidence(entropy(list(answer_weights(answers, steps).values())))
    confident_enough = not (by_outcome < confident or by_step < confident)
    quality: float | None = None
    if agreeing and majority is not None:
        figures = [statistics.z(reward) for reward in agreeing] if normalised else agreeing
        quality = _mean(figures)
    threshold = 0.0 if normalised else floor
    quality_passes = quality is None or not quality < threshold
    hard = not readable or not (quality_passes or confident_enough)
    if not readable:
        reason = "no answer could be read"
    elif hard:
        reason = f"quality below {threshold:g} and more than {_effective(confident):.2g} effective answers"
    else:
        passed = [name for name, ok in (("quality", quality_passes), ("confidence", confident_enough)) if ok]
        reason = " and ".join(passed) + (" pass" if len(passed) > 1 else " passes")
    return GateDecision(
        hard=hard,
        quality=quality,
        quality_passes=quality_passes,
        normalised=normalised,
        outcome_confidence=None if math.isnan(by_outcome) else by_outcome,
        step_confidence=None if math.isnan(by_step) else by_step,
        confidence_passes=confident_enough,
        majority=majority,
        reason=reason,
    )


def _mean(figures: Sequence[float]) -> float:
    return (
        sum(figures) / len(figures) if any(math.isinf(item) for item in figures) else math.fsum(figures) / len(figures)
    )


def _effective(confident: float) -> float:
    """exp(H) at which conf(H) equals the threshold."""
    return 2.0 / confident - 1.0
