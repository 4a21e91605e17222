"""ARISE: how well further compute turns into right answers, question by question.

Yin et al. 2025, arXiv 2510.06014. Levels are settings of one strategy from least to most compute; tokens are counted by one
tokenizer.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from phronesis.bench.ranking import Interval, mean_interval

LEAST, MOST, THRESHOLD = 3, 10, 0.5
"""Runs per question and level at least and at most, and the variation above which another one is drawn."""


def arise(accuracies: Sequence[float], tokens: Sequence[float]) -> float:
    """Sum over steps of d_j (T_{j-1} / T_j)^sign(d_j), d_j = a_j - a_{j-1}.

    A gain counts less the more tokens it took, a loss more. Steps without a change, or with a token count of 0 or less, count
    nothing; 0 with one level. A full gain for more tokens is in (0, 1); losses have no bound. Scaling all token counts
    changes nothing. Raises ValueError for lengths that differ."""
    if len(accuracies) != len(tokens):
        raise ValueError(f"{len(accuracies)} accuracies have {len(tokens)} token counts")
    total = 0.0
    for step in range(1, len(accuracies)):
        gain, before, after = accuracies[step] - accuracies[step - 1], tokens[step - 1], tokens[step]
        if gain and before > 0 and after > 0:
            total += gain * (before / after if gain > 0 else after / before)
    return total


def arise_mean(rows: Sequence[tuple[Sequence[float], Sequence[float]]], *, seed: int = 0) -> Interval:
    """Mean ARISE over questions, (accuracies, tokens) each, with its bootstrap interval. NaN without questions."""
    return mean_interval([arise(accuracies, tokens) for accuracies, tokens in rows], seed=seed)


@dataclass(frozen=True, slots=True)
class Transitions:
    """Steps between neighbouring levels, over questions."""

    gained: int
    lost: int
    kept_right: int
    kept_wrong: int
    severe: int
    """Losses that took more than 1.5 times the tokens."""


def transitions(rows: Sequence[tuple[Sequence[float], Sequence[float]]]) -> Transitions:
    """Counts of steps; right means an accuracy of 1/2 or more."""
    steps = [
        (accuracies[at - 1] >= 0.5, accuracies[at] >= 0.5, tokens[at] > 1.5 * tokens[at - 1])
        for accuracies, tokens in rows
        for at in range(1, len(accuracies))
    ]
    return Transitions(
        gained=sum(now and not before for before, now, _ in steps),
        lost=sum(before and not now for before, now, _ in steps),
        kept_right=sum(before and now for before, now, _ in steps),
        kept_wrong=sum(not before and not now for before, now, _ in steps),
        severe=sum(before and not now and dear for before, now, dear in steps),
    )


def plain_slope(accuracies: Sequence[float], tokens: Sequence[float]) -> float:
    """(last accuracy - first) / (last token count - first), what ARISE is to improve on; 0 where tokens did not grow."""
    grown = tokens[-1] - tokens[0] if tokens else 0
    return (accuracies[-1] - accuracies[0]) / grown if grown > 0 else 0.0


def variation(values: Sequence[float]) -> float:
    """Coefficient of variation: population standard deviation / (mean + 1e-8). NaN without values."""
    if not values:
        return math.nan
    mean = math.fsum(values) / len(values)
    return math.sqrt(math.fsum((value - mean) ** 2 for value in values) / len(values)) / (mean + 1e-8)


def adaptive_sampling(
    accuracies: Sequence[float],
    tokens: Sequence[float],
    *,
    least: int = LEAST,
    most: int = MOST,
    threshold: float = THRESHOLD,
) -> int:
    """How many runs to draw next of one question at one level, given those drawn so far; 0 = enough.

    The first ``least`` at once, then one at a time while the variations of accuracy and of tokens add up to more than
    ``threshold`` and there are fewer than ``most``. A low accuracy makes its variation large: 1 of 3 right draws up to the
    most."""
    drawn = len(accuracies)
    if drawn != len(tokens):
        raise ValueError(f"{drawn} accuracies have {len(tokens)} token counts")
    if drawn < least:
        return least - drawn
    return int(drawn < most and variation(accuracies) + variation(tokens) > threshold)


class AdaptiveSampling:
    """The same to be asked and told: ``ask`` how many runs to draw, ``tell`` what each gave, until it asks for none."""

    def __init__(self, *, least: int = LEAST, most: int = MOST, threshold: float = THRESHOLD) -> None:
        if not 1 <= least <= most:
            raise ValueError(f"between {least} and {most} runs cannot be drawn")
        self._bounds = (least, most, threshold)
        self.accuracies: list[float] = []
        self.tokens: list[float] = []

    def ask(self) -> int:
        """Runs to draw now; 0 = enough."""
        least, most, threshold = self._bounds
        return adaptive_sampling(self.accuracies, self.tokens, least=least, most=most, threshold=threshold)

    def tell(self, accuracy: float, tokens: float) -> None:
        """What one run gave."""
        self.accuracies.append(float(accuracy))
        self.tokens.append(float(tokens))

    @property
    def level(self) -> tuple[float, float]:
        """(mean accuracy, mean tokens) of the runs so far; NaN before the first."""
        if not self.tokens:
            return math.nan, math.nan
        return math.fsum(self.accuracies) / len(self.tokens), math.fsum(self.tokens) / len(self.tokens)


def shares(variations: Sequence[float], total: int, *, least: int = LEAST, most: int = MOST) -> list[int]:
    """Runs per cell when all together may take ``total``: ``least`` each, the rest in proportion to the variation seen in
    those, rounded down, at most ``most`` each. The first runs are counted, not drawn again. Raises ValueError when the total
    does not give each cell its least."""
    rest = total - least * len(variations)
    if rest < 0:
        raise ValueError(f"{total} runs do not give each of {len(variations)} cells {least}")
    weight = math.fsum(variations)
    return [min(most, least + (math.floor(rest * item / weight) if weight > 0 else 0)) for item in variations]
