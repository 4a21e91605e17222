"""The front of accuracy against cost: who is on it, and who dominates whom."""

from __future__ import annotations

import math

import pytest

from phronesis.bench.pareto import fronts, pareto_front
from phronesis.bench.ranking import Interval
from phronesis.bench.running.summary import CellSummary


def row(arm: str, tokens: float, right: float, *, seconds: float = 1.0, name: str = "sums") -> CellSummary:
    return CellSummary(
        arm=arm,
        set=name,
        questions=10,
        repeats=1,
        accuracy=Interval(right, right, right),
        score=right,
        failed=0,
        ungraded=0,
        lost_calls=0,
        unparsable=0,
        calls=1.0,
        paid_calls=1.0,
        tokens=tokens,
        sequential_tokens=tokens,
        prompt_tokens=0.0,
        seconds=seconds,
        by_role={},
    )


@pytest.mark.parametrize(
    ("points", "front"),
    [
        ([], []),
        ([(1.0, 0.5)], [0]),
        ([(1.0, 0.5), (2.0, 0.7), (3.0, 0.6)], [0, 1]),
        ([(2.0, 0.5), (1.0, 0.5)], [1]),
        ([(1.0, 0.5), (1.0, 0.6)], [1]),
        ([(1.0, 0.5), (1.0, 0.5)], [0, 1]),
        ([(1.0, math.nan), (2.0, 0.1), (math.nan, 1.0)], [1]),
    ],
)
def test_the_front(points: list[tuple[float, float]], front: list[int]) -> None:
    assert pareto_front(points) == front


def test_a_dominated_arm_names_the_most_accurate_one_above_it() -> None:
    tokens, seconds = fronts([row("wide", 8, 0.7, seconds=3), row("one", 1, 0.5), row("bad", 9, 0.4, seconds=0.5)])
    assert [(item.arm, item.dominated_by) for item in tokens.rows] == [("one", None), ("wide", None), ("bad", "wide")]
    assert [(item.arm, item.dominated_by) for item in seconds.rows] == [("bad", None), ("one", None), ("wide", None)]
    assert tokens.to_json()["rows"][2] == {"arm": "bad", "tokens": 9, "accuracy": 0.4, "dominated_by": "wide"}


def test_each_set_has_its_own_fronts_and_arms_without_an_accuracy_none() -> None:
    found = fronts([row("a", 1, 0.5), row("b", 1, math.nan), row("a", 1, 0.2, name="more")])
    assert [(front.set, front.cost, len(front.rows)) for front in found] == [
        ("sums", "tokens", 1),
        ("sums", "seconds", 1),
        ("more", "tokens", 1),
        ("more", "seconds", 1),
    ]
