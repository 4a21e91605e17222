"""Arms against a baseline on the questions that both answered: what differs, how sure that is, and what it costs."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from phronesis.bench.metrics.paired import McNemar, least_detectable, mcnemar, paired_difference
from phronesis.bench.metrics.swapped import swapped_p
from phronesis.bench.ranking import Interval
from phronesis.bench.running.item import Item
from phronesis.bench.running.summary import clusters, question_scores

ALPHA = 0.05
"""Level at which a difference is claimed."""


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """One arm against the baseline on one set. Differences are arm - baseline, ratios arm / baseline."""

    set: str
    arm: str
    baseline: str
    questions: int
    """Graded in both; all figures are about these."""
    left_out: int
    """Graded in one of the two only."""
    clusters: int
    """Groups of questions that intervals draw; as many as questions where each stands alone."""
    difference: Interval
    """Of accuracies, 95 % over clusters; NaN without a shared question."""
    arm_better: int
    """Questions on which the arm does better; with one draw each: that only the arm solves."""
    baseline_better: int
    mcnemar: McNemar | None
    """None where a question was asked more than once in an arm."""
    p: float
    """Exact, two-sided, over clusters (metrics/swapped.py); with one draw of questions that stand alone it is McNemar's.
    NaN without a shared question."""
    corrected: float
    """p after Holm's correction over all comparisons that were made together."""
    tokens: Interval
    """Ratio of generated tokens; NaN where the baseline has none."""
    seconds: Interval
    detectable: float
    """True difference that so many questions show at 80 % power, if they tell the arms apart as often as here; NaN where no
    difference would show. Several draws make it smaller, clusters larger."""

    @property
    def discordant(self) -> int:
        """Questions that tell the two apart."""
        return self.arm_better + self.baseline_better

    @property
    def claims(self) -> bool:
        """Whether a difference can be claimed: the interval leaves 0 out, and the corrected p is below 0.05."""
        apart = self.difference.low > 0 or self.difference.high < 0
        return apart and self.corrected < ALPHA


@dataclass(frozen=True, kw_only=True)
class DrawNoise:
    """How much an arm's accuracy changes from one repeat to the next on the same questions."""

    set: str
    arm: str
    accuracies: tuple[float, ...]
    """Of each repeat, over the questions that all repeats have graded."""

    @property
    def spread(self) -> float:
        """Sample standard deviation between repeats; NaN for a single one."""
        return float(np.std(self.accuracies, ddof=1)) if len(self.accuracies) > 1 else math.nan


def compare(items: Sequence[Item], baseline: str) -> list[Comparison]:
    """Every other arm against the baseline, set by set in the order of the items; sets without the baseline have none.

    Intervals draw clusters of questions; p values are corrected over all of them."""
    found: list[Comparison] = []
    for name in dict.fromkeys(item.set for item in items):
        mine = [item for item in items if item.set == name]
        by_arm: dict[str, list[Item]] = {}
        for item in mine:
            by_arm.setdefault(item.arm, []).append(item)
        first = by_arm.pop(baseline, None)
        if first is not None:
            found += [_compared(name, baseline, first, second, clusters(mine)) for second in by_arm.values()]
    known = [index for index, item in enumerate(found) if not math.isnan(item.p)]
    corrected = dict(zip(known, holm([found[index].p for index in known]), strict=True))
    return [_with_corrected(item, corrected.get(index, math.nan)) for index, item in enumerate(found)]


def draw_noise(items: Sequence[Item]) -> list[DrawNoise]:
    """The accuracies of each arm's repeats, for each set and arm in the order of the items."""
    cells: dict[tuple[str, str], dict[int, dict[str, bool]]] = {}
    for item in items:
        repeats = cells.setdefault((item.set, item.arm), {})
        if item.graded:
            repeats.setdefault(item.repeat, {})[item.task] = item.correct
    return [
        DrawNoise(set=name, arm=arm, accuracies=_accuracies([repeats[at] for at in sorted(repeats)]))
        for (name, arm), repeats in cells.items()
    ]


def holm(values: Sequence[float]) -> list[float]:
    """The p values corrected for being several (Holm 1979), in their order: the smallest times their number, the next one
    times one less, ..., never below an earlier one and at most 1. The chance of any false claim stays below the level."""
    found, reached = [1.0] * len(values), 0.0
    for rank, index in enumerate(sorted(range(len(values)), key=lambda at: values[at])):
        reached = max(reached, min(1.0, (len(values) - rank) * values[index]))
        found[index] = reached
    return found


def paired_ratio(
    first: Mapping[str, float],
    second: Mapping[str, float],
    groups: Sequence[Sequence[str]],
    *,
    seed: int = 0,
    rounds: int = 2000,
) -> Interval:
    """Sum of second / sum of first over the questions that both have, with its 95 % interval over groups of questions.

    NaN where the first sums to 0."""
    sums = [
        (math.fsum(first[name] for name in mine), math.fsum(second[name] for name in mine))
        for group in groups
        if (mine := [name for name in group if name in first and name in second])
    ]
    below, above = (np.array([pair[at] for pair in sums]) for at in (0, 1))
    if not len(sums) or not below.sum():
        return Interval(math.nan, math.nan, math.nan)
    rng = np.random.default_rng(seed)
    drawn = [rng.integers(0, len(sums), len(sums)) for _ in range(rounds)]
    ratios = [float(above[at].sum() / below[at].sum()) for at in drawn if below[at].sum()]
    low, high = np.quantile(ratios, [0.025, 0.975])
    return Interval(float(above.sum() / below.sum()), float(low), float(high))


def _compared(
    name: str, baseline: str, first: Sequence[Item], second: Sequence[Item], groups: Sequence[Sequence[str]]
) -> Comparison:
    before, after = _outcomes(first), _outcomes(second)
    shared = [task for task in before if task in after]
    scores = [{task: known[task] for task in shared} for known in (question_scores(first), question_scores(second))]
    single = all(len(known[task]) == 1 for known in (before, after) for task in shared)
    tested = mcnemar(*({task: known[task] == 1 for task in shared} for known in scores)) if single and shared else None
    better = sum(scores[1][task] > scores[0][task] for task in shared)
    worse = sum(scores[1][task] < scores[0][task] for task in shared)
    costs = [(_tokens(mine, shared), _seconds(mine, shared)) for mine in (first, second)]
    return Comparison(
        set=name,
        arm=second[0].arm,
        baseline=baseline,
        questions=len(shared),
        left_out=len(before.keys() ^ after.keys()),
        clusters=sum(any(task in scores[0] for task in group) for group in groups),
        difference=paired_difference(scores[0], scores[1], groups),
        arm_better=better,
        baseline_better=worse,
        mcnemar=tested,
        p=_p(before, after, groups) if shared else math.nan,
        corrected=math.nan,
        tokens=paired_ratio(costs[0][0], costs[1][0], groups),
        seconds=paired_ratio(costs[0][1], costs[1][1], groups),
        detectable=least_detectable(len(shared), _changes(scores, shared)) if shared else math.nan,
    )


def _p(
    before: Mapping[str, tuple[bool, ...]], after: Mapping[str, tuple[bool, ...]], groups: Sequence[Sequence[str]]
) -> float:
    def share(right: Sequence[bool]) -> Fraction:
        return Fraction(sum(right), len(right))

    shared = [[task for task in group if task in before and task in after] for group in groups]
    return swapped_p([sum((share(after[task]) - share(before[task]) for task in mine), Fraction(0)) for mine in shared])


def _changes(scores: Sequence[Mapping[str, float]], shared: Sequence[str]) -> float:
    """Mean square of the questions' differences: with one draw the share of those that tell the two apart."""
    return math.fsum((scores[1][task] - scores[0][task]) ** 2 for task in shared) / len(shared)


def _with_corrected(item: Comparison, corrected: float) -> Comparison:
    values = {name: getattr(item, name) for name in item.__dataclass_fields__}
    return Comparison(**{**values, "corrected": corrected})


def _outcomes(items: Sequence[Item]) -> dict[str, tuple[bool, ...]]:
    """Question -> whether each of its graded repeats is right."""
    found: dict[str, tuple[bool, ...]] = {}
    for item in items:
        if item.graded:
            found[item.task] = (*found.get(item.task, ()), item.correct)
    return found


def _accuracies(repeats: Sequence[Mapping[str, bool]]) -> tuple[float, ...]:
    shared = set.intersection(*(set(known) for known in repeats)) if repeats else set[str]()
    return tuple(sum(known[task] for task in shared) / len(shared) for known in repeats) if shared else ()


def _tokens(items: Sequence[Item], tasks: Sequence[str]) -> dict[str, float]:
    return _means([(item.task, float(item.total_tokens)) for item in items], tasks)


def _seconds(items: Sequence[Item], tasks: Sequence[str]) -> dict[str, float]:
    return _means([(item.task, item.seconds) for item in items], tasks)


def _means(costs: Sequence[tuple[str, float]], tasks: Sequence[str]) -> dict[str, float]:
    """Mean cost of each of the tasks over its repeats."""
    found: dict[str, list[float]] = {task: [] for task in tasks}
    for task, cost in costs:
        if task in found:
            found[task].append(cost)
    return {task: math.fsum(values) / len(values) for task, values in found.items() if values}
