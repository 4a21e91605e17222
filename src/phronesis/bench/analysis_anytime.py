"""How good the answer at hand is after so many generated tokens."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from phronesis.bench.running.item import AttemptGrade, Item

Rule = Literal["vote", "best", "last"]
Event = tuple[float, bool]
"""(tokens, whether the answer at hand from then on is right)."""
_POINTS = 32


@dataclass(frozen=True)
class Timelines:
    """An arm's answers as they came, an entry per graded item."""

    rule: Rule
    """How an answer is taken from the attempts so far."""
    total: tuple[tuple[Event, ...], ...]
    """By all generated tokens (B_total)."""
    sequential: tuple[tuple[Event, ...], ...]
    """By those along the critical path (B_seq), branches side by side."""


def timelines(items: Sequence[Item]) -> Timelines:
    """The answers at hand of one arm on one set.

    Between attempts the answer comes from those so far: by vote, by highest reward, or the latest one, whichever gives the
    arm's own answers most often (ties: in this order). The last event is the arm's own answer when everything was spent.
    Tokens of roles that make no attempts (reviewers, judges) are spread over the attempts in proportion to their length."""
    graded = [item for item in items if item.graded]
    rules: tuple[Rule, ...] = ("vote", "best", "last")
    rule = max(rules, key=lambda name: sum(_agrees(item, name) for item in graded))
    return Timelines(
        rule,
        tuple(_events(item, rule, _one_by_one(item.attempts), item.total_tokens) for item in graded),
        tuple(_events(item, rule, _side_by_side(item.attempts), item.sequential_tokens) for item in graded),
    )


def chosen(attempts: Sequence[AttemptGrade], rule: Rule) -> AttemptGrade | None:
    """The attempt whose answer a rule takes; None when no attempt can be read."""
    readable = [one for one in attempts if one.status == "ok"]
    if not readable:
        return None
    if rule == "last":
        return readable[-1]
    if rule == "best":
        scored = [one for one in readable if one.reward is not None]
        return max(scored, key=lambda one: one.reward or 0.0, default=readable[0])
    counts = Counter(one.answer for one in readable)
    return max(readable, key=lambda one: counts[one.answer])


def _agrees(item: Item, rule: Rule) -> bool:
    picked = chosen(item.attempts, rule)
    return picked is not None and picked.answer == item.answer


def _one_by_one(attempts: Sequence[AttemptGrade]) -> list[tuple[float, AttemptGrade]]:
    """(tokens spent when an attempt was there, it): rounds in order, within a round as listed."""
    spent, found = 0.0, []
    for one in sorted(attempts, key=lambda one: one.round):
        spent += one.tokens
        found.append((spent, one))
    return found


def _side_by_side(attempts: Sequence[AttemptGrade]) -> list[tuple[float, AttemptGrade]]:
    """The same where every attempt begins as soon as its parents are there."""
    ends: dict[str, float] = {}
    for one in sorted(attempts, key=lambda one: one.round):
        ends[one.id] = one.tokens + max((ends.get(parent, 0.0) for parent in one.parents), default=0.0)
    return sorted(((ends[one.id], one) for one in attempts), key=lambda pair: pair[0])


def _events(item: Item, rule: Rule, arrivals: Sequence[tuple[float, AttemptGrade]], spent: int) -> tuple[Event, ...]:
    found: list[Event] = []
    last = arrivals[-1][0] if arrivals else 0.0
    scale = spent / last if last else 1.0
    for index, (tokens, _) in enumerate(arrivals[:-1]):
        picked = chosen([one for _, one in arrivals[: index + 1]], rule)
        found.append((tokens * scale, picked is not None and picked.correct))
    return (*found, (float(spent), item.correct))


def budgets(arms: Mapping[str, Sequence[Sequence[Event]]]) -> list[float]:
    """Budgets on which arms are compared: evenly spread ratios from the least to the most tokens that any arm needed."""
    spent = [tokens for lines in arms.values() for line in lines for tokens, _ in line if tokens > 0]
    if not spent:
        return []
    low, high = float(np.quantile(spent, 0.02)), max(spent)
    if high <= low:
        return [high]
    step = (high / low) ** (1 / (_POINTS - 1))
    return [round(low * step**index, 6) for index in range(_POINTS - 1)] + [high]


def reach(lines: Sequence[Sequence[Event]]) -> float:
    """Tokens after which an arm's mean answer no longer changes."""
    return max((line[-1][0] for line in lines if line), default=math.nan)
