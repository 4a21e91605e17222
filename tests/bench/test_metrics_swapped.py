"""The exact test that swaps the arms of whole clusters: McNemar's where it applies, honest where questions are alike."""

from __future__ import annotations

import random
from fractions import Fraction
from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from phronesis.bench.metrics.paired import mcnemar
from phronesis.bench.metrics.swapped import swapped_p


@given(st.lists(st.tuples(st.booleans(), st.booleans()), max_size=40))
def test_single_draws_of_single_questions_are_mcnemars(pairs: list[tuple[bool, bool]]) -> None:
    first = {f"q{n}": pair[0] for n, pair in enumerate(pairs)}
    second = {f"q{n}": pair[1] for n, pair in enumerate(pairs)}
    sums = [Fraction(int(after) - int(before)) for before, after in pairs]
    assert swapped_p(sums) == pytest.approx(mcnemar(first, second).p)


@settings(deadline=None)
@given(st.lists(st.fractions(-2, 2, max_denominator=6), max_size=8))
def test_it_is_the_share_of_sign_patterns_that_go_as_far(sums: list[Fraction]) -> None:
    patterns = list(product((1, -1), repeat=len(sums)))
    totals = [
        abs(sum((sign * item for sign, item in zip(signs, sums, strict=True)), Fraction(0))) for signs in patterns
    ]
    far = sum(total >= abs(sum(sums, Fraction(0))) for total in totals)
    assert swapped_p(sums) == pytest.approx(far / len(patterns))


def test_one_cluster_is_no_evidence() -> None:
    assert swapped_p([Fraction(40)]) == 1.0 == swapped_p([]) == swapped_p([Fraction(0)] * 5)


def test_false_alarms_stay_below_the_level_where_clusters_are_alike() -> None:
    rng = random.Random(7)
    false = 0
    for _ in range(600):
        sums = []
        for _ in range(8):
            leaning = rng.choice((-1, 1))
            sums.append(Fraction(sum(leaning if rng.random() < 0.8 else -leaning for _ in range(10))))
        false += swapped_p(sums) < 0.05
    assert false / 600 < 0.07
