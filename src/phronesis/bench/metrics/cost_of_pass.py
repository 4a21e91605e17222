"""What a right answer costs: Cost-of-Pass, its frontier over several systems, and how sure both are.

Erol et al. 2025, arXiv 2504.13359. A cost is whatever the caller counts in: money, GPU seconds, PTE, FLOPs; name it beside
the figure. A run that failed is a cost without a pass. Assumes a checker that says when to stop trying.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from phronesis.bench.ranking import Interval

Run = tuple[float, bool]
"""(cost, whether it passed)."""


def cost_of_pass(costs: Sequence[float], passes: Sequence[bool | float]) -> float:
    """Mean cost of a run over the share of runs that pass: what retrying one problem until it passes costs on average.

    One problem and one system. Infinite when none passes; NaN without runs. Over the runs of many problems it is the cost of
    a right answer to a problem drawn at random, which is another number than the mean over problems. Scales with the costs.
    Raises ValueError for lengths that differ and for a negative cost."""
    count = _check(costs, passes)
    if not count:
        return math.nan
    passed = math.fsum(passes)
    return math.fsum(costs) / passed if passed else math.inf


def cost_of_pass_posterior(costs: Sequence[float], passes: Sequence[bool | float]) -> float:
    """The same with the success rate's posterior mean under a uniform prior: mean cost / ((c + 1) / (n + 2)).

    Always finite; with few runs biased towards a rate of 1/2, as 1 / rate is biased upwards. NaN without runs."""
    count = _check(costs, passes)
    return math.fsum(costs) / count * (count + 2) / (math.fsum(passes) + 1) if count else math.nan


def frontier(values: Mapping[str, float], expert: float | None = None) -> float:
    """Least cost of a pass of one problem over systems and a human expert who always passes at a fixed cost.

    Infinite if no system passes and there is no expert. A further system never raises it."""
    known = [value for value in values.values() if not math.isnan(value)]
    return min([*known, *([] if expert is None else [expert])], default=math.inf)


def task_frontier(problems: Mapping[str, Mapping[str, float]], expert: float | None = None) -> float:
    """Mean over problems of the frontier: system -> cost of pass, by problem. Taken per problem, so that each goes to the
    system that is cheapest there. Infinite when one problem has neither a passing system nor an expert; NaN without any."""
    least = [frontier(values, expert) for values in problems.values()]
    return math.fsum(least) / len(least) if least else math.nan


def essentialness(
    problems: Mapping[str, Mapping[str, float]], family: Sequence[str], expert: float | None = None
) -> float:
    """Task frontier without a family of systems over the one with it: 1 = nothing is lost without them, 2 = a right answer
    costs twice as much. Infinite when only they pass some problem; NaN when some problem is passed by none at all."""
    left = {
        name: {system: value for system, value in values.items() if system not in family}
        for name, values in problems.items()
    }
    whole, without = task_frontier(problems, expert), task_frontier(left, expert)
    return without / whole if 0 < whole < math.inf else math.nan


def bootstrap_cost_of_pass(
    problems: Sequence[Sequence[Run]],
    *,
    expert: float | None = None,
    posterior: bool = False,
    seed: int = 0,
    rounds: int = 1000,
    level: float = 0.95,
) -> Interval:
    """Mean over problems of the cost of a pass of one system, runs drawn with replacement within each problem.

    The interval says how sure the figure is for these problems, not for others like them. A bound may be infinite; with
    ``expert`` each problem costs at most that. posterior: as ``cost_of_pass_posterior``. NaN without problems, or if one has
    no runs."""
    tables = [
        (np.array([cost for cost, _ in runs]), np.array([float(passed) for _, passed in runs])) for runs in problems
    ]
    if not tables or any(not len(costs) for costs, _ in tables):
        return Interval(math.nan, math.nan, math.nan)
    for runs in problems:
        _check([cost for cost, _ in runs], [passed for _, passed in runs])
    rng = np.random.default_rng(seed)
    extra = 1.0 if posterior else 0.0
    means = np.zeros(rounds + 1)
    for costs, passed in tables:
        count = len(costs)
        drawn = rng.integers(0, count, (rounds + 1, count))
        drawn[0] = np.arange(count)
        share = (passed[drawn].sum(axis=1) + extra) / (count + 2 * extra)
        each = _ratio(costs[drawn].mean(axis=1), share)
        means += each if expert is None else np.minimum(each, expert)
    means /= len(tables)
    return _interval(float(means[0]), means[1:], level)


def pooled_cost_of_pass(
    clusters: Sequence[Sequence[Run]], *, seed: int = 0, rounds: int = 1000, level: float = 0.95
) -> Interval:
    """Cost of a right answer to a problem drawn at random: all costs over all passes, clusters of problems drawn with
    replacement. Finite as soon as one run passes, so that it works with one run per problem; the upper bound is infinite
    when enough draws hold no pass at all. Infinite when none passes; NaN without runs."""
    for runs in clusters:
        _check([cost for cost, _ in runs], [passed for _, passed in runs])
    known = [runs for runs in clusters if runs]
    if not known:
        return Interval(math.nan, math.nan, math.nan)
    costs = np.array([math.fsum(cost for cost, _ in runs) for runs in known])
    passed = np.array([float(sum(right for _, right in runs)) for runs in known])
    drawn = np.random.default_rng(seed).integers(0, len(known), (rounds, len(known)))
    value = float(_ratio(costs.sum()[None], passed.sum()[None])[0])
    return _interval(value, _ratio(costs[drawn].sum(axis=1), passed[drawn].sum(axis=1)), level)


def _ratio(costs: NDArray[np.float64], passed: NDArray[np.float64]) -> NDArray[np.float64]:
    """Costs over passes, infinite where nothing passed."""
    found = np.full(costs.shape, math.inf)
    np.divide(costs, passed, out=found, where=passed > 0)
    return found


def _interval(value: float, draws: NDArray[np.float64], level: float) -> Interval:
    """Percentiles that are draws themselves: between a finite and an infinite one nothing can be interpolated."""
    ordered, tail = np.sort(draws), (1 - level) / 2 * (len(draws) - 1)
    return Interval(value, float(ordered[math.floor(tail)]), float(ordered[math.ceil(len(draws) - 1 - tail)]))


def _check(costs: Sequence[float], passes: Sequence[bool | float]) -> int:
    if len(costs) != len(passes):
        raise ValueError(f"{len(costs)} costs have {len(passes)} outcomes")
    bad = next((cost for cost in costs if not cost >= 0), None)
    if bad is not None:
        raise ValueError(f"a cost must be 0 or more, not {bad!r}")
    return len(costs)
