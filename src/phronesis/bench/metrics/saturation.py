"""When further samples or rounds stop paying: the saturation of test-time scaling.

TTSPM, Wang et al. 2025, arXiv 2505.20522: each sample or round succeeds with the same chance, so
F(N) = top (1 - (1 - p)^N). That of hits is an oracle's bound; a vote saturates earlier and may fall.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

Point = tuple[float, float]
"""(samples or rounds N, accuracy)."""


def gain(n: float, p: float, top: float = 1.0) -> float:
    """What sample n + 1 adds: top p (1 - p)^n."""
    _check(p, top)
    return top * p * math.pow(1 - p, n)


def saturation_point(p: float, top: float, least: float) -> int:
    """The smallest N at which one more adds less than ``least``: ceil(ln(least / (top p)) / ln(1 - p)).

    0 where already the first adds less, so for p = 0 or top = 0. ``least`` as what a sample costs over what a whole point of
    accuracy is worth makes it the place to stop. Raises ValueError unless least > 0 and p and top lie in [0, 1]."""
    _check(p, top)
    if not least > 0:
        raise ValueError(f"the least gain must be above 0, not {least!r}")
    if top * p < least:
        return 0
    if p == 1:
        return 1
    found = max(0, math.ceil(math.log(least / (top * p)) / math.log1p(-p)) - 1)
    while gain(found, p, top) >= least:
        found += 1
    return found


@dataclass(frozen=True, slots=True)
class Saturation:
    """A fitted curve."""

    top: float
    """Where it ends, in [0, 1]."""
    p: float
    """Chance per sample or round, in (0, 1)."""
    error: float
    """Root mean square distance to the points."""

    def at(self, n: float) -> float:
        """F(n)."""
        return self.top * (1 - math.pow(1 - self.p, n))


def fit_saturation(points: Sequence[Point]) -> Saturation:
    """The least-squares curve through measured (N, accuracy) points.

    For each p the best ``top`` is known in closed form and cut to [0, 1]; p is found on a grid, then refined. Points with one
    N only do not tell p and top apart: NaN then, as with fewer than two. Raises ValueError for N < 0 and accuracies outside
    [0, 1]. Unbiased estimates (pass@k from one bank) share their noise, so ``error`` is not the curve's uncertainty."""
    if not _enough(points):
        return Saturation(math.nan, math.nan, math.nan)
    counts = np.array([n for n, _ in points], dtype=float)
    values = np.array([accuracy for _, accuracy in points], dtype=float)

    def best(logit: float) -> tuple[float, float]:
        shape = -np.expm1(counts * -np.logaddexp(0.0, logit))
        top = float(np.clip((shape @ values) / (shape @ shape), 0.0, 1.0))
        return float(((top * shape - values) ** 2).sum()), top

    logit = _least(lambda x: best(x)[0])
    squares, top = best(logit)
    return Saturation(top, 1 / (1 + math.exp(-logit)), math.sqrt(squares / len(points)))


def _least(loss: Callable[[float], float], low: float = -12.0, high: float = 12.0) -> float:
    """Where a loss over logits is least: the best of a grid, then golden sections around it."""
    grid = np.linspace(low, high, 481)
    best = int(np.argmin([loss(float(x)) for x in grid]))
    left, right = float(grid[max(0, best - 1)]), float(grid[min(len(grid) - 1, best + 1)])
    ratio = (math.sqrt(5) - 1) / 2
    for _ in range(80):
        first, second = right - ratio * (right - left), left + ratio * (right - left)
        if loss(first) <= loss(second):
            right = second
        else:
            left = first
    return (left + right) / 2


def mixture(rates: Sequence[float], n: float) -> float:
    """F(n) = 1 - mean over questions of (1 - p_i)^n: questions of unlike difficulty, p_i = c_i / n_i of their samples.

    Flatter than one exponential, as measured curves are. At n = 1 the mean rate. Above the samples behind each p_i it is
    biased down: a question without a right sample stays at 0. NaN without questions."""
    for rate in rates:
        _check(rate, 1.0)
    return 1 - math.fsum((1 - rate) ** n for rate in rates) / len(rates) if rates else math.nan


@dataclass(frozen=True, slots=True)
class BetaMixture:
    """Success rates spread over questions as Beta(a, b): F(N) = 1 - B(a, b + N) / B(a, b)."""

    a: float
    b: float
    error: float
    """Root mean square distance to the points."""

    def at(self, n: float) -> float:
        """F(n)."""
        a, b = self.a, self.b
        return -math.expm1(math.lgamma(b + n) - math.lgamma(a + b + n) + math.lgamma(a + b) - math.lgamma(b))


def fit_mixture(points: Sequence[Point]) -> BetaMixture:
    """The least-squares Beta mixture through measured points; NaN as in ``fit_saturation``.

    Its mean rate a / (a + b) and its size a + b are found on a grid that is refined a dozen times. It has no ceiling below 1:
    compare its error with the other's. Raises ValueError as the other does."""
    if not _enough(points):
        return BetaMixture(math.nan, math.nan, math.nan)

    def error(mean: float, size: float) -> float:
        curve = BetaMixture(mean * size, (1 - mean) * size, 0.0)
        return math.fsum((curve.at(n) - accuracy) ** 2 for n, accuracy in points)

    means, sizes, width = (-9.0, 9.0), (-6.0, 8.0), 24
    best = (math.inf, 0.0, 0.0)
    for _ in range(12):
        for logit in np.linspace(*means, width + 1):
            for log in np.linspace(*sizes, width + 1):
                found = error(1 / (1 + math.exp(-float(logit))), math.exp(float(log)))
                best = min(best, (found, float(logit), float(log)))
        _, logit, log = best
        wide, tall = (means[1] - means[0]) / 6, (sizes[1] - sizes[0]) / 6
        means, sizes = (logit - wide, logit + wide), (log - tall, log + tall)
    mean, size = 1 / (1 + math.exp(-best[1])), math.exp(best[2])
    return BetaMixture(mean * size, (1 - mean) * size, math.sqrt(best[0] / len(points)))


def misfit(curve: Callable[[float], float], points: Sequence[Point]) -> float:
    """Root mean square distance of a curve to points, to compare curves of any kind; NaN without points."""
    if not points:
        return math.nan
    return math.sqrt(math.fsum((curve(n) - accuracy) ** 2 for n, accuracy in points) / len(points))


def _check(p: float, top: float) -> None:
    if not 0 <= p <= 1 or not 0 <= top <= 1:
        raise ValueError(f"p={p!r} and top={top!r} must lie in [0, 1]")


def _enough(points: Sequence[Point]) -> bool:
    """Whether there are two different N above 0. Raises ValueError for what is no point of an accuracy curve."""
    for n, accuracy in points:
        if not n >= 0 or not 0 <= accuracy <= 1:
            raise ValueError(f"({n}, {accuracy}) is no point of an accuracy curve")
    return len({n for n, _ in points if n > 0}) > 1
