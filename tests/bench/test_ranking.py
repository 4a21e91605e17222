"""Ranking figures: AUROC against tables made by hand, its symmetries, and intervals that cover what they promise to."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from phronesis.bench.ranking import Graded, Interval, auroc, auroc_within, bootstrap, mean_interval, paired, pairs_won

scores = st.floats(0, 1, width=32)
graded_ = st.lists(st.tuples(scores, st.booleans()), max_size=30)


def by_hand(graded: Sequence[Graded]) -> float:
    """Every pair looked at one by one."""
    good, bad = ([score for score, right in graded if right is kind] for kind in (True, False))
    won = sum(1.0 if high > low else 0.5 if high == low else 0.0 for high in good for low in bad)
    return won / (len(good) * len(bad)) if good and bad else math.nan


def mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values)


class TestAuroc:
    @pytest.mark.parametrize(
        ("graded", "area"),
        [
            ([(0.9, True), (0.1, False)], 1.0), ([(0.1, True), (0.9, False)], 0.0), ([(0.5, True), (0.5, False)], 0.5),
            ([(0.9, True), (0.4, True), (0.6, False), (0.1, False)], 0.75),
            ([(0.8, True), (0.8, False), (0.3, True), (0.2, False)], 0.625),
            ([(1.0, True)] * 3 + [(1.0, False)] * 2, 0.5), ([(0.7, True), (0.6, False), (0.8, False)], 0.5),
        ],
    )  # fmt: skip
    def test_tables_made_by_hand(self, graded: list[Graded], area: float) -> None:
        assert auroc(graded) == area

    @pytest.mark.parametrize("graded", [[], [(0.5, True)], [(0.5, False)] * 3])
    def test_one_kind_alone_has_none(self, graded: list[Graded]) -> None:
        assert math.isnan(auroc(graded)) and pairs_won(graded) == (0.0, 0)

    @given(graded_)
    def test_it_is_the_share_of_pairs_won(self, graded: list[Graded]) -> None:
        assert auroc(graded) == pytest.approx(by_hand(graded), nan_ok=True)

    @given(graded_)
    def test_a_monotone_map_changes_nothing(self, graded: list[Graded]) -> None:
        ranks = {score: place for place, score in enumerate(sorted({score for score, _ in graded}))}
        mapped = [(3.0 * ranks[score] ** 3 - 100, right) for score, right in graded]
        assert auroc(mapped) == pytest.approx(auroc(graded), nan_ok=True)

    @given(graded_)
    def test_the_other_way_round_is_the_complement(self, graded: list[Graded]) -> None:
        turned = [(-score, right) for score, right in graded]
        relabelled = [(score, not right) for score, right in graded]
        assert auroc(turned) == pytest.approx(1 - auroc(graded), nan_ok=True)
        assert auroc(relabelled) == pytest.approx(1 - auroc(graded), nan_ok=True)

    @given(graded_, st.randoms(use_true_random=False))
    def test_order_does_not_matter(self, graded: list[Graded], random) -> None:  # type: ignore[no-untyped-def]  # a Random
        mixed = list(graded)
        random.shuffle(mixed)
        assert auroc(mixed) == pytest.approx(auroc(graded), nan_ok=True)


class TestWithin:
    def test_a_scorer_that_only_knows_the_question_is_at_chance_within(self) -> None:
        """Easy questions score high and are mostly right: pooled it looks good, within a question it knows nothing."""
        easy, hard = [(0.9, True)] * 3 + [(0.9, False)], [(0.1, True)] + [(0.1, False)] * 3
        assert auroc(easy + hard) == 0.75
        assert auroc_within([easy, hard]) == 0.5

    def test_each_mixed_question_counts_once(self) -> None:
        large = [(0.9, True)] * 10 + [(0.1, False)] * 10
        small = [(0.1, True), (0.9, False)]
        assert auroc_within([large, small]) == 0.5
        assert auroc_within([large, small, [(0.3, True)], []]) == 0.5

    def test_no_mixed_question_no_figure(self) -> None:
        assert math.isnan(auroc_within([])) and math.isnan(auroc_within([[(0.5, True)], [(0.5, False)]]))

    @given(st.lists(graded_, max_size=5))
    def test_it_is_the_mean_of_the_questions(self, questions: list[list[Graded]]) -> None:
        areas = [area for graded in questions if not math.isnan(area := by_hand(graded))]
        assert auroc_within(questions) == pytest.approx(mean(areas) if areas else math.nan, nan_ok=True)


class TestBootstrap:
    def test_the_same_seed_the_same_interval(self) -> None:
        values = [0.1, 0.5, 0.9, 0.4]
        assert bootstrap(values, mean, seed=3, rounds=50) == bootstrap(values, mean, seed=3, rounds=50)
        assert bootstrap(values, mean, seed=3, rounds=50) != bootstrap(values, mean, seed=4, rounds=50)

    @given(st.lists(scores, min_size=1, max_size=20))
    def test_the_interval_lies_among_the_values(self, values: list[float]) -> None:
        found = bootstrap(values, mean, rounds=30)
        assert found.value == pytest.approx(mean(values))
        assert min(values) - 1e-9 <= found.low <= found.high <= max(values) + 1e-9

    def test_values_that_do_not_vary_have_no_width(self) -> None:
        assert mean_interval([0.25] * 7) == Interval(0.25, 0.25, 0.25)

    def test_nothing_to_estimate_from_is_not_a_number(self) -> None:
        for found in (mean_interval([]), bootstrap([], auroc_within), paired([], [])):
            assert math.isnan(found.value) and math.isnan(found.low) and math.isnan(found.high)
        assert str(mean_interval([])) == "-"

    def test_draws_that_lack_a_kind_are_left_out(self) -> None:
        """One mixed question among many: most draws lack it, and the interval is over the others."""
        questions = [[(0.9, True), (0.1, False)], *([[(0.5, True)]] * 30)]
        assert bootstrap(questions, auroc_within, rounds=200) == Interval(1.0, 1.0, 1.0)

    def test_a_wider_level_is_a_wider_interval(self) -> None:
        values = list(np.random.default_rng(0).random(30))
        narrow, wide = (bootstrap(values, mean, level=level) for level in (0.5, 0.99))
        assert wide.low < narrow.low < narrow.high < wide.high

    def test_it_covers_the_truth_about_as_often_as_it_says(self) -> None:
        """200 samples of 40 questions, mean 0.3: a 90 % interval holds it in 90 % of them, give or take 4 errors."""
        rng = np.random.default_rng(11)
        held = 0
        for trial in range(200):
            found = bootstrap((rng.random(40) < 0.3).tolist(), mean, seed=trial, rounds=150, level=0.9)
            held += found.low <= 0.3 <= found.high
        assert abs(held / 200 - 0.9) < 4 * math.sqrt(0.9 * 0.1 / 200)

    def test_questions_are_the_units(self) -> None:
        """Eight attempts that all agree say no more than one: the interval is that of the questions."""
        rng = np.random.default_rng(5)
        rows = [[(float(score), bool(score + noise > 0.5))] for score, noise in rng.normal(0.5, 0.4, (30, 2))]
        once = bootstrap(rows, lambda parts: auroc([pair for part in parts for pair in part]), rounds=100)
        eight = bootstrap(
            [row * 8 for row in rows], lambda parts: auroc([p for part in parts for p in part]), rounds=100
        )
        assert (eight.low, eight.high) == pytest.approx((once.low, once.high))


class TestPaired:
    def test_the_mean_difference_of_the_same_questions(self) -> None:
        found = paired([0, 1, 0, 1], [1, 1, 0, 1])
        assert found.value == 0.25 and 0 <= found.low <= 0.25 <= found.high
        assert paired([0.5, 1.0], [0.5, 1.0]) == Interval(0.0, 0.0, 0.0)

    def test_pairing_is_narrower_than_two_intervals(self) -> None:
        rng = np.random.default_rng(2)
        base = rng.random(60).tolist()
        shifted = [value + 0.1 for value in base]
        found = paired(base, shifted)
        assert found.low == pytest.approx(0.1) and found.high == pytest.approx(0.1)

    def test_lengths_must_agree(self) -> None:
        with pytest.raises(ValueError):
            paired([1.0], [1.0, 2.0])
