"""What a bench found, an arm on a set at a time: accuracy with its interval, and what it cost."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from phronesis.bench.metrics.audit import share_interval
from phronesis.bench.ranking import Interval, bootstrap
from phronesis.bench.running.item import Item
from phronesis.bench.running.plan import BenchPlan


@dataclass(frozen=True, kw_only=True)
class CellSummary:
    """One arm on one set, its repeats pooled by question."""

    arm: str
    set: str
    questions: int
    repeats: int
    """The most that a question has."""
    accuracy: Interval
    """Mean over questions of the share of graded repeats that are right; failed tasks are wrong, ungraded ones left out."""
    score: float
    """The same of the graders' scores in [0, 1]."""
    failed: int
    ungraded: int
    lost_calls: int
    """Tasks that came out although the endpoint lost them calls; --retry-failed asks again."""
    unparsable: int
    """Graded tasks whose answer could not be read."""
    calls: float
    """Per task, like everything below."""
    paid_calls: float
    """Calls that no bank served."""
    tokens: float
    """B_total: generated tokens."""
    sequential_tokens: float
    """B_seq: those along the critical path."""
    prompt_tokens: float
    seconds: float
    by_role: dict[str, float]
    """Generated tokens by role."""
    figures: dict[str, Interval] = field(default_factory=dict)
    """Means of the grader's further figures, such as ``f1`` and ``recall``, with 95 % intervals."""

    def cells(self) -> list[str]:
        """A row of the table for people."""
        counts = (("failed", self.failed), ("ungraded", self.ungraded), ("with lost calls", self.lost_calls))
        notes = [f"{count} {name}" for name, count in counts if count]
        if self.paid_calls < self.calls:
            notes.append(f"{self.calls - self.paid_calls:.1f} calls from a bank")
        return [
            self.set,
            self.arm,
            f"{self.questions}" + (f" x {self.repeats}" if self.repeats > 1 else ""),
            percent(self.accuracy),
            f"{self.unparsable}",
            f"{self.calls:.1f}",
            f"{self.tokens:.0f}",
            f"{self.sequential_tokens:.0f}",
            f"{self.seconds:.1f}",
            ", ".join(notes),
        ]

    def to_json(self) -> dict[str, Any]:
        """Plain values; an interval is [value, low, high]."""
        data = {name: getattr(self, name) for name in self.__dataclass_fields__}
        data["accuracy"] = _three(self.accuracy)
        data["figures"] = {name: _three(interval) for name, interval in self.figures.items()}
        return {name: _plain(value) for name, value in data.items()}


def summarise(plan: BenchPlan, items: Sequence[Item]) -> list[CellSummary]:
    """A row per set and arm that has items, in the plan's order."""
    found = []
    for name in (item.title for item in plan.sets):
        for arm in plan.arms:
            mine = [item for item in items if item.set == name and item.arm == arm.name]
            if mine:
                found.append(summary(mine))
    return found


def summary(items: Sequence[Item]) -> CellSummary:
    """The summary of the items of one arm on one set; at least one."""
    graded = [item for item in items if item.graded]
    count = len(items)
    roles = sorted({call.role for item in items for call in item.calls})
    spent = {
        role: sum(call.completion_tokens for item in items for call in item.calls if call.role == role)
        for role in roles
    }
    repeats: dict[str, set[int]] = {}
    for item in items:
        repeats.setdefault(item.task, set()).add(item.repeat)
    return CellSummary(
        arm=items[0].arm,
        set=items[0].set,
        questions=len(repeats),
        repeats=max(len(found) for found in repeats.values()),
        accuracy=accuracy(graded),
        score=_mean_score(graded),
        failed=sum(item.status == "failed" for item in items),
        ungraded=count - len(graded),
        lost_calls=sum(item.lost_calls for item in items),
        unparsable=sum(not item.parsed for item in graded if item.status == "ok"),
        calls=sum(item.model_calls for item in items) / count,
        paid_calls=sum(item.paid_calls for item in items) / count,
        tokens=sum(item.total_tokens for item in items) / count,
        sequential_tokens=sum(item.sequential_tokens for item in items) / count,
        prompt_tokens=sum(item.prompt_tokens for item in items) / count,
        seconds=math.fsum(item.seconds for item in items) / count,
        by_role={role: tokens / count for role, tokens in spent.items()},
        figures=grader_figures(graded),
    )


def grader_figures(items: Sequence[Item], *, seed: int = 0) -> dict[str, Interval]:
    """Mean over questions of each figure that the grader gave, by name, with its 95 % bootstrap interval over clusters.

    Tasks that failed and answers that could not be read count 0 where they lack a figure; other items that lack it, such as
    rows that name no paragraphs, are left out of it."""
    found = {}
    for name in dict.fromkeys(name for item in items for name in item.figures):
        known: dict[str, list[float]] = {}
        for item in items:
            if name in item.figures or not item.parsed:
                known.setdefault(item.task, []).append(item.figures.get(name, 0.0))
        drawn = [[_mean(known[task]) for task in tasks if task in known] for tasks in clusters(items)]
        groups = [group for group in drawn if group]
        interval = bootstrap(groups, _mean_of_all, seed=seed)
        share = all(0.0 <= value <= 1.0 for values in known.values() for value in values)
        found[name] = honest(interval, len(groups)) if share else interval
    return found


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values)


def _mean_of_all(parts: Sequence[Sequence[float]]) -> float:
    flat = [value for part in parts for value in part]
    return math.fsum(flat) / len(flat) if flat else math.nan


def _three(interval: Interval) -> list[Any]:
    return [_plain(value) for value in (interval.value, interval.low, interval.high)]


def question_scores(items: Sequence[Item]) -> dict[str, float]:
    """Question -> share of its graded repeats that are right, in the order of the items."""
    found: dict[str, list[bool]] = {}
    for item in items:
        if item.graded:
            found.setdefault(item.task, []).append(item.correct)
    return {task: sum(right) / len(right) for task, right in found.items()}


def clusters(items: Sequence[Item]) -> list[list[str]]:
    """The questions, those of one cluster together, in the order of the items: what an interval draws with replacement."""
    found: dict[str, list[str]] = {}
    for item in items:
        tasks = found.setdefault(f"cluster {item.cluster}" if item.cluster else f"task {item.task}", [])
        if item.task not in tasks:
            tasks.append(item.task)
    return list(found.values())


def _mean_score(items: Sequence[Item]) -> float:
    found: dict[str, list[float]] = {}
    for item in items:
        found.setdefault(item.task, []).append(item.score)
    means = [math.fsum(scores) / len(scores) for scores in found.values()]
    return math.fsum(means) / len(means) if means else math.nan


def accuracy(items: Sequence[Item], *, seed: int = 0) -> Interval:
    """Mean accuracy over questions with its 95 % bootstrap interval over clusters of questions.

    Where all are right, all are wrong, or there is one cluster, every draw is the same and the bootstrap would be sure of
    it: then it is Wilson's interval of as many draws as there are clusters."""
    known = question_scores(items)
    groups = [[known[task] for task in tasks if task in known] for tasks in clusters(items)]
    return honest(bootstrap(groups, _mean_of_all, seed=seed), sum(map(bool, groups)))


def honest(interval: Interval, count: int) -> Interval:
    """The interval of a mean of shares over ``count`` clusters, or Wilson's where it has no width because the mean is 0 or 1
    or there is one cluster only."""
    alike = interval.low == interval.value == interval.high and (interval.value in (0.0, 1.0) or count == 1)
    return share_interval(interval.value * count, count) if alike else interval


def percent(interval: Interval, *, sign: bool = False) -> str:
    """``62.5 [50.0, 73.4]``; a dash where there is nothing."""
    if math.isnan(interval.value):
        return "-"
    form = "+.1f" if sign else ".1f"
    value, low, high = (100 * figure for figure in (interval.value, interval.low, interval.high))
    return f"{value:{form}} [{low:{form}}, {high:{form}}]"


def _plain(value: Any) -> Any:
    if isinstance(value, float):
        return None if math.isnan(value) else round(value, 4)
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return value
