"""Paired comparisons: McNemar's exact test, the cluster bootstrap, what so many questions can tell apart."""

from __future__ import annotations

import math
from statistics import NormalDist

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from phronesis.bench.metrics.paired import McNemar, least_detectable, mcnemar, paired_difference

GRADES = st.dictionaries(st.sampled_from("abcdefghij"), st.booleans(), max_size=10)


def grades(first_only: int, second_only: int, both: int = 3) -> tuple[dict[str, bool], dict[str, bool]]:
    rows = [(True, False)] * first_only + [(False, True)] * second_only + [(True, True), (False, False)] * both
    return {str(at): row[0] for at, row in enumerate(rows)}, {str(at): row[1] for at, row in enumerate(rows)}


@pytest.mark.parametrize(
    ("first_only", "second_only", "p"),
    [(0, 0, 1.0), (1, 0, 1.0), (5, 0, 0.0625), (6, 0, 0.03125), (3, 3, 1.0), (8, 2, 0.109375), (1, 9, 0.021484375)],
)
def test_mcnemar_gives_the_exact_binomial_p(first_only: int, second_only: int, p: float) -> None:
    assert mcnemar(*grades(first_only, second_only)) == McNemar(first_only, second_only, p)


@settings(deadline=None)
@given(GRADES, GRADES)
def test_mcnemar_is_symmetric_and_reads_shared_questions_only(first: dict[str, bool], second: dict[str, bool]) -> None:
    there, back = mcnemar(first, second), mcnemar(second, first)
    assert (there.first_only, there.second_only, there.p) == (back.second_only, back.first_only, back.p)
    assert 0 < there.p <= 1
    assert mcnemar({**first, "only here": True}, second) == there
    assert mcnemar(first, first).p == 1


def test_mcnemar_copes_with_many_questions() -> None:
    found = mcnemar(*grades(2600, 2400))
    spread = NormalDist().cdf(-(200 - 1) / math.sqrt(5000)) * 2
    assert found.p == pytest.approx(spread, rel=0.02)


def test_mcnemar_rejects_equal_arms_at_most_as_often_as_it_says() -> None:
    rng = np.random.default_rng(1)
    rejected = 0
    for _ in range(400):
        rights = rng.random((2, 40)) < 0.6
        first, second = ({str(at): bool(right) for at, right in enumerate(row)} for row in rights)
        rejected += mcnemar(first, second).p <= 0.05
    assert rejected / 400 <= 0.05 + 0.02


def alone(names: dict[str, float]) -> list[list[str]]:
    return [[name] for name in names]


def test_the_difference_is_second_less_first_over_what_both_have() -> None:
    first, second = {"a": 0.0, "b": 1.0, "c": 0.0}, {"a": 1.0, "b": 1.0, "z": 0.0}
    found = paired_difference(first, second, alone(first))
    assert found.value == 0.5 and found.low <= 0.5 <= found.high
    assert math.isnan(paired_difference({"a": 1.0}, {"b": 1.0}, []).value)
    assert math.isnan(paired_difference({}, {}, []).low)


@settings(deadline=None)
@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=1, max_size=12))
def test_swapping_the_arms_turns_the_interval_round(rows: list[tuple[float, float]]) -> None:
    first = {str(at): row[0] for at, row in enumerate(rows)}
    second = {str(at): row[1] for at, row in enumerate(rows)}
    there = paired_difference(first, second, alone(first), rounds=200)
    back = paired_difference(second, first, alone(first), rounds=200)
    assert there.value == pytest.approx(-back.value, abs=1e-12)
    assert (there.low, there.high) == pytest.approx((-back.high, -back.low), abs=1e-9)
    assert there.low - 1e-12 <= there.high


def test_clusters_are_drawn_whole() -> None:
    """Copies of a question are no evidence: with clusters the interval is as wide as without the copies."""
    rng = np.random.default_rng(2)
    base = {f"q{at}": float(rng.random() < 0.6) for at in range(30)}
    copies = {f"{name}/{copy}": value for name, value in base.items() for copy in range(10)}
    zero, none = dict.fromkeys(base, 0.0), dict.fromkeys(copies, 0.0)
    single = paired_difference(zero, base, alone(base))
    whole = paired_difference(none, copies, [[f"{name}/{copy}" for copy in range(10)] for name in base])
    apart = paired_difference(none, copies, alone(copies))
    assert (whole.low, whole.high) == pytest.approx((single.low, single.high))
    assert apart.high - apart.low < 0.6 * (whole.high - whole.low)


def test_questions_without_a_cluster_stand_alone() -> None:
    first, second = {"a": 0.0, "b": 0.0, "c": 0.0}, {"a": 1.0, "b": 0.0, "c": 1.0}
    assert paired_difference(first, second, []) == paired_difference(first, second, [["a"], ["b"], ["c"], ["gone"]])
    with pytest.raises(ValueError, match="'a'"):
        paired_difference(first, second, [["a", "b"], ["a"]])
    with pytest.raises(ValueError, match="'a'"):
        paired_difference(first, second, [["a", "a"]])


def test_one_seed_gives_one_interval() -> None:
    first = {str(at): float(at % 3 == 0) for at in range(50)}
    second = {str(at): float(at % 2 == 0) for at in range(50)}
    found = paired_difference(first, second, alone(first))
    assert found == paired_difference(first, dict(reversed(second.items())), alone(first))
    assert found != paired_difference(first, second, alone(first), seed=1)


def test_intervals_hold_the_truth_about_as_often_as_they_say() -> None:
    """Two arms of accuracy .5 and .65 over clusters of questions; the true difference is .15."""
    rng = np.random.default_rng(3)
    held, rounds, count, size = 0, 300, 40, 3
    for _ in range(rounds):
        ease = rng.normal(0, 0.15, (count, 1))
        second = rng.random((count, size)) < np.clip(0.65 + ease, 0, 1)
        first = rng.random((count, size)) < np.clip(0.5 + ease, 0, 1)
        names = [[f"{row}.{at}" for at in range(size)] for row in range(count)]
        flat = [name for row in names for name in row]
        ours = dict(zip(flat, first.ravel().astype(float).tolist(), strict=True))
        theirs = dict(zip(flat, second.ravel().astype(float).tolist(), strict=True))
        found = paired_difference(ours, theirs, names, rounds=400)
        held += found.low <= 0.15 <= found.high
    assert 0.90 <= held / rounds <= 0.98


def test_what_questions_can_resolve_shrinks_with_their_number() -> None:
    found = [least_detectable(n, 0.3) for n in (50, 100, 400, 1600)]
    assert found == sorted(found, reverse=True)
    assert found[2] == pytest.approx(2 * found[3], rel=0.05)
    assert least_detectable(100, 0.1) < least_detectable(100, 0.4)


def test_the_least_detectable_difference_is_found_four_times_in_five() -> None:
    rng = np.random.default_rng(4)
    n, discordant = 200, 0.3
    difference = least_detectable(n, discordant)
    wins = (discordant + difference) / 2
    seen = 0
    for _ in range(600):
        drawn = rng.random(n)
        better, worse = int((drawn < wins).sum()), int(((drawn >= wins) & (drawn < discordant)).sum())
        seen += (better - worse) ** 2 > 1.959964**2 * (better + worse)
    assert seen / 600 == pytest.approx(0.8, abs=0.05)


def test_what_no_number_of_questions_this_small_can_show_is_undefined() -> None:
    assert math.isnan(least_detectable(100, 0.0))
    assert math.isnan(least_detectable(3, 0.1))
    for n, discordant in ((0, 0.5), (10, 1.5), (10, -0.1)):
        with pytest.raises(ValueError):
            least_detectable(n, discordant)
