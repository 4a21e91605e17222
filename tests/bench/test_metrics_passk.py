"""pass@k, maj@k, weighted votes and best-of-k out of one sample bank: exact where they can be, unbiased everywhere."""

from __future__ import annotations

import math
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from phronesis.bench.metrics.passk import best_at_k, maj_at_k, oracle_at_k, pass_at_k, weighted_at_k
from phronesis.bench.metrics.subsets import MOST, subsets
from phronesis.graphs.policies.voting import weighted_vote

ANSWERS = st.lists(st.sampled_from(["1", "2", "3", None]), min_size=1, max_size=8)
RIGHT = {"1": True, "2": False, "3": False}


@settings(deadline=None)
@given(st.integers(1, 9), st.data())
def test_pass_at_k_is_the_share_of_subsets_with_a_right_sample(n: int, data: st.DataObject) -> None:
    c, k = data.draw(st.integers(0, n)), data.draw(st.integers(1, n))
    found = [any(index < c for index in subset) for subset in combinations(range(n), k)]
    assert pass_at_k(n, c, k) == pytest.approx(sum(found) / len(found))
    assert oracle_at_k(n, c, k) == pass_at_k(n, c, k)


@settings(deadline=None)
@given(st.integers(2, 60), st.data())
def test_pass_at_k_stays_in_bounds_and_never_falls(n: int, data: st.DataObject) -> None:
    c, k = data.draw(st.integers(0, n - 1)), data.draw(st.integers(1, n - 1))
    value = pass_at_k(n, c, k)
    assert 0 <= value <= 1
    assert pass_at_k(n, c, k + 1) >= value and pass_at_k(n, c + 1, k) >= value
    assert pass_at_k(n, c, 1) == pytest.approx(c / n)


def test_pass_at_k_is_exact_for_banks_of_any_size() -> None:
    assert pass_at_k(10_000, 1, 5_000) == pytest.approx(0.5)
    assert pass_at_k(4, 0, 2) == 0 and pass_at_k(4, 3, 2) == 1


def test_more_samples_than_there_are_is_undefined() -> None:
    assert math.isnan(pass_at_k(3, 1, 4))
    assert math.isnan(maj_at_k(["1"], {"1": True}, 2))
    assert math.isnan(best_at_k([0.5], [True], 2))
    assert math.isnan(maj_at_k([], {}, 1))


@pytest.mark.parametrize(("n", "c", "k"), [(3, 4, 1), (3, -1, 1), (3, 1, 0), (-1, 0, 1)])
def test_counts_that_cannot_be_are_refused(n: int, c: int, k: int) -> None:
    with pytest.raises(ValueError):
        pass_at_k(n, c, k)


def test_what_cannot_be_voted_on_is_refused() -> None:
    with pytest.raises(ValueError, match="'2'"):
        maj_at_k(["1", "2"], {"1": True}, 1)
    with pytest.raises(ValueError, match="2 weights"):
        weighted_at_k(["1"], [1.0, 1.0], RIGHT, 1)
    for weight in (-1.0, math.nan, math.inf):
        with pytest.raises(ValueError, match="weight"):
            weighted_at_k(["1"], [weight], RIGHT, 1)
    with pytest.raises(ValueError, match="3 grades"):
        best_at_k([1.0, 2.0], [True, False, True], 1)


@settings(deadline=None)
@given(ANSWERS, st.data())
def test_votes_agree_with_the_vote_that_strategies_hold(answers: list[str | None], data: st.DataObject) -> None:
    k = data.draw(st.integers(1, len(answers)))
    size = len(answers)
    weights = data.draw(st.lists(st.sampled_from([0.0, 0.125, 0.25, 0.375, 1.0]), min_size=size, max_size=size))
    for given_weights in ([1.0] * size, weights):
        won = []
        for subset in combinations(range(size), k):
            vote = weighted_vote([answers[index] for index in subset], [given_weights[index] for index in subset])
            won.append(vote.winner is not None and RIGHT[vote.winner])
        assert weighted_at_k(answers, given_weights, RIGHT, k) == pytest.approx(sum(won) / len(won))
    assert maj_at_k(answers, RIGHT, k) == weighted_at_k(answers, [2.0] * size, RIGHT, k)


@settings(deadline=None)
@given(ANSWERS)
def test_one_sample_is_plain_accuracy_and_all_samples_are_what_was_voted(answers: list[str | None]) -> None:
    right = [answer == "1" for answer in answers]
    assert maj_at_k(answers, RIGHT, 1) == pytest.approx(sum(right) / len(right))
    winner = weighted_vote(answers, [1.0] * len(answers)).winner
    assert maj_at_k(answers, RIGHT, len(answers)) == float(winner == "1")


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.one_of(st.none(), st.sampled_from([0.1, 0.5, 0.9])), st.booleans()), min_size=1, max_size=8)
)
def test_best_of_k_is_the_highest_scored_of_each_subset(rows: list[tuple[float | None, bool]]) -> None:
    scores, right = [score for score, _ in rows], [good for _, good in rows]
    for k in range(1, len(rows) + 1):
        won = []
        for subset in combinations(range(len(rows)), k):
            best = max(subset, key=lambda index: (-1.0 if scores[index] is None else scores[index], -index))
            won.append(right[best])
        assert best_at_k(scores, right, k) == pytest.approx(sum(won) / len(won))


@settings(deadline=None)
@given(st.lists(st.booleans(), min_size=1, max_size=10), st.data())
def test_an_oracle_scorer_reaches_pass_at_k_and_no_choice_goes_beyond(right: list[bool], data: st.DataObject) -> None:
    k = data.draw(st.integers(1, len(right)))
    ceiling = pass_at_k(len(right), sum(right), k)
    assert best_at_k([float(item) for item in right], right, k) == pytest.approx(ceiling)
    scores = data.draw(st.lists(st.floats(0, 1), min_size=len(right), max_size=len(right)))
    assert best_at_k(scores, right, k) <= ceiling + 1e-12
    answers = ["1" if item else "2" for item in right]
    assert maj_at_k(answers, RIGHT, k) <= ceiling + 1e-12


def test_a_scorer_that_says_nan_chose_nothing() -> None:
    assert best_at_k([math.nan, 0.1], [False, True], 2) == 1.0


def test_few_subsets_are_all_taken_and_many_are_drawn() -> None:
    assert subsets(5, 2).tolist() == [list(pair) for pair in combinations(range(5), 2)]
    drawn = subsets(40, 8, draws=300, seed=3)
    assert math.comb(40, 8) > MOST and drawn.shape == (300, 8)
    assert all(len(set(row)) == 8 and row == sorted(row) for row in drawn.tolist())
    assert (drawn == subsets(40, 8, draws=300, seed=3)).all()
    assert (drawn != subsets(40, 8, draws=300, seed=4)).any()
    assert np.bincount(drawn.ravel(), minlength=40).min() > 0


def test_draws_agree_with_all_subsets() -> None:
    answers = ["1", "2", "1", "3", "2", "1", "2", "1", "3", "2", None, "1", "1", "2"]
    exact = []
    for subset in combinations(range(len(answers)), 6):
        winner = weighted_vote([answers[index] for index in subset], [1.0] * 6).winner
        exact.append(winner == "1")
    assert math.comb(14, 6) > MOST
    assert maj_at_k(answers, RIGHT, 6, draws=5000) == pytest.approx(sum(exact) / len(exact), abs=0.03)
    assert maj_at_k(answers, RIGHT, 6) == maj_at_k(answers, RIGHT, 6)


def test_estimators_are_unbiased() -> None:
    """Means over many banks of n samples against fresh draws of k."""
    rng = np.random.default_rng(5)
    chances, n, k, banks = [0.45, 0.35, 0.2], 8, 3, 2000
    drawn = rng.choice(3, size=(banks, n), p=chances)
    names = np.array(["1", "2", "3"])
    passes = [pass_at_k(n, int((row == 0).sum()), k) for row in drawn]
    votes = [maj_at_k(names[row].tolist(), RIGHT, k) for row in drawn]
    fresh = rng.choice(3, size=(30_000, k), p=chances)
    voted = np.mean([weighted_vote(names[row].tolist(), [1.0] * k).winner == "1" for row in fresh])
    assert np.mean(passes) == pytest.approx(1 - (1 - chances[0]) ** k, abs=0.01)
    assert np.mean(votes) == pytest.approx(voted, abs=0.015)
