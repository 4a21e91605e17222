"""Stopping rules, score weights and choices as numbers: exact values, tables, and what the stated error is worth."""

from __future__ import annotations

import math
import random
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from phronesis.graphs.policies.ranking import first_best, min_max, score_weights
from phronesis.graphs.policies.reward import reduce_steps
from phronesis.graphs.policies.stopping import (
    decide_stop,
    incomplete_beta_half,
    lead_probability,
    next_batch,
    two_best,
)
from phronesis.graphs.policies.voting import majority, weighted_vote

SCORES = st.lists(st.floats(0, 1), min_size=1, max_size=12)


class TestBeta:
    @pytest.mark.parametrize(
        ("a", "b", "value"),
        [
            (1, 1, Fraction(1, 2)),
            (2, 1, Fraction(1, 4)),
            (1, 2, Fraction(3, 4)),
            (5, 1, Fraction(1, 32)),
            (2, 2, Fraction(1, 2)),
            (3, 2, Fraction(5, 16)),
            (6, 3, Fraction(37, 256)),
            (4, 7, Fraction(848, 1024)),
        ],
    )
    def test_a_table_worked_out_by_hand(self, a: int, b: int, value: Fraction) -> None:
        assert incomplete_beta_half(a, b) == float(value)

    @pytest.mark.parametrize(
        ("votes", "probability"),
        [
            ((0, 0), 0.5),
            ((1, 0), 0.75),
            ((3, 0), 0.9375),
            ((4, 0), 0.96875),
            ((4, 1), 0.890625),
            ((6, 1), 0.96484375),
            ((5, 5), 0.5),
            ((8, 2), 0.96728515625),
        ],
    )
    def test_the_leader_against_the_runner_up(self, votes: tuple[int, int], probability: float) -> None:
        assert lead_probability(*votes) == pytest.approx(probability, abs=1e-15)

    @given(st.integers(0, 60), st.integers(0, 60))
    def test_it_is_the_integral_of_the_beta_density(self, leader: int, runner: int) -> None:
        """Simpson's rule over the density from 1/2 to 1, against the sum of binomials."""
        a, b = leader + 1, runner + 1
        log_norm = math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b)

        def density(x: float) -> float:
            left = leader * math.log(x) if leader else 0.0
            right = (runner * math.log1p(-x) if x < 1 else -math.inf) if runner else 0.0
            return math.exp(log_norm + left + right)

        steps = 400
        width = 0.5 / steps
        weights = [1 if i in (0, steps) else 4 if i % 2 else 2 for i in range(steps + 1)]
        integral = math.fsum(w * density(0.5 + i * width) for i, w in enumerate(weights)) * width / 3
        assert lead_probability(leader, runner) == pytest.approx(integral, abs=1e-6)

    @given(st.integers(0, 300), st.integers(0, 300))
    def test_the_two_sides_add_up_and_votes_help(self, leader: int, runner: int) -> None:
        assert lead_probability(leader, runner) + lead_probability(runner, leader) == pytest.approx(1.0)
        assert lead_probability(leader + 1, runner) >= lead_probability(leader, runner)

    @pytest.mark.parametrize(("a", "b"), [(0, 1), (1, 0), (-1, 2)])
    def test_what_is_no_count_is_refused(self, a: int, b: int) -> None:
        with pytest.raises(ValueError, match="1 or more"):
            incomplete_beta_half(a, b)


class TestRules:
    def test_two_best(self) -> None:
        assert two_best([]) == two_best([None, None]) == (0, 0)
        assert two_best(["a", None, "b", "a"]) == (2, 1)
        assert two_best(["a"]) == (1, 0)

    @pytest.mark.parametrize(
        ("answers", "stop"), [("aaaa", True), ("aaa", False), ("aaab", False), ("aaaaaab", True), ("aabb", False)]
    )
    def test_beta(self, answers: str, stop: bool) -> None:
        decision = decide_stop(list(answers), list(answers[-2:]))
        assert decision.stop is stop
        assert decision.figure == lead_probability(decision.leader, decision.runner_up)

    def test_other_answers_than_the_two_best_are_left_aside(self) -> None:
        assert decide_stop(list("aaaaaabcdefgh"), ["h"]).stop
        assert not decide_stop(list("aaaaaabb"), ["b"]).stop

    def test_window_looks_at_the_last_batch_alone_and_unreadable_ones_disagree(self) -> None:
        def stops(answers: list[str | None], newest: list[str | None]) -> bool:
            return decide_stop(answers, newest, rule="window").stop

        assert stops(list("abcdee"), list("ee"))
        assert not stops(list("eeeeea"), list("ea"))
        assert not stops(["e", "e", "e", None], ["e", None])
        assert not stops(["e", "e"], [])

    def test_share_counts_unreadable_ones(self) -> None:
        assert decide_stop(["a", "a", "a", "b"], ["b"], rule="share", share=0.75).stop
        assert not decide_stop(["a", "a", "a", "b", None], [None], rule="share", share=0.75).stop

    @pytest.mark.parametrize("rule", ["beta", "window", "share"])
    def test_nothing_readable_stops_nothing(self, rule: str) -> None:
        for answers in ([], [None, None, None, None, None]):
            assert not decide_stop(answers, answers, rule=rule, confidence=0.5, share=0.01).stop  # type: ignore[arg-type]

    def test_batches(self) -> None:
        def sizes(**knobs: int | bool) -> list[int]:
            found: list[int] = []
            while size := next_batch(sum(found), **knobs):  # type: ignore[arg-type]
                found.append(size)
            return found

        assert sizes(first=4, batch=3, most=12) == [4, 3, 3, 2]
        assert sizes(first=9, batch=3, most=5) == [5]
        assert sizes(first=2, batch=1, most=16, doubling=True) == [2, 2, 4, 8]
        assert sizes(first=3, batch=1, most=10, doubling=True) == [3, 3, 4]


def early(chances: list[float], rng: random.Random, *, first: int, batch: int, most: int) -> tuple[int, bool]:
    """(attempts drawn, whether the winner differs from that of all ``most``) for one question."""
    answers = rng.choices(range(len(chances)), chances, k=most)
    drawn = 0
    while size := next_batch(drawn, first=first, batch=batch, most=most):
        drawn += size
        if decide_stop(answers[:drawn], answers[drawn - size : drawn]).stop:
            break
    return drawn, majority(answers[:drawn]).winner != majority(answers).winner


class TestStatedError:
    """0.95 is a posterior. What it is worth: the winner differs from that of all attempts no more often than 5 %."""

    QUESTIONS = 2000
    BAND = 3 * math.sqrt(0.05 * 0.95 / QUESTIONS)
    """Three standard deviations of the share that is counted."""

    @pytest.mark.parametrize(
        "chances",
        [[0.9, 0.1], [0.7, 0.3], [0.6, 0.4], [0.5, 0.5], [0.5, 0.3, 0.2], [0.4, 0.3, 0.3], [0.2] * 5],
        ids=str,
    )
    @pytest.mark.parametrize(("first", "batch"), [(4, 4), (1, 1)])
    def test_known_chances(self, chances: list[float], first: int, batch: int) -> None:
        rng = random.Random(17)
        runs = [early(chances, rng, first=first, batch=batch, most=40) for _ in range(self.QUESTIONS)]
        assert sum(differs for _, differs in runs) / self.QUESTIONS <= 0.05 + self.BAND

    def test_chances_spread_as_the_prior_says(self) -> None:
        """Evenly spread shares of the leader: of the questions that stop, 95 in 100 have found the likelier answer."""
        rng = random.Random(5)
        stopped = wrong = 0
        for _ in range(self.QUESTIONS):
            share = rng.random()
            likelier = int(share < 0.5)
            answers = rng.choices((0, 1), (share, 1 - share), k=40)
            for drawn in range(4, 41, 4):
                if decide_stop(answers[:drawn], answers[drawn - 4 : drawn]).stop:
                    stopped += 1
                    wrong += majority(answers[:drawn]).winner != likelier
                    break
        assert stopped > self.QUESTIONS / 2
        assert wrong / stopped <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / stopped)

    def test_an_easy_question_costs_a_fraction(self) -> None:
        rng = random.Random(3)
        drawn = [early([0.9, 0.1], rng, first=4, batch=4, most=40)[0] for _ in range(500)]
        assert sum(drawn) / len(drawn) < 8


class TestScores:
    def test_the_first_of_the_best(self) -> None:
        assert first_best([0.2, 0.9, 0.9]) == 1
        assert first_best([None, 0.0, None]) == 1
        assert first_best([]) is first_best([None]) is None

    def test_min_max(self) -> None:
        assert min_max([0.2, 0.6, 1.0]) == pytest.approx([0.0, 0.5, 1.0])
        assert min_max([0.3, 0.3]) == min_max([0.0, 0.0]) == [1.0, 1.0]
        assert min_max([]) == []

    def test_missing_scores_count_as_the_others_do_on_average(self) -> None:
        assert score_weights([0.2, None, 0.6]) == pytest.approx([0.2, 0.4, 0.6])
        assert score_weights([0.2, None, 0.6], rescaled=True) == pytest.approx([0.0, 0.5, 1.0])
        assert score_weights([None, None]) == score_weights([0.0, 0.0]) == [1.0, 1.0]
        assert score_weights([]) == []

    @given(st.lists(st.sampled_from(["a", "b", "c", None]), min_size=1, max_size=9), st.floats(0, 1), st.booleans())
    def test_equal_scores_are_a_majority_vote(self, answers: list[str | None], score: float, rescaled: bool) -> None:
        weights = score_weights([score] * len(answers), rescaled=rescaled)
        assert weighted_vote(answers, weights).winner == majority(answers).winner

    @given(SCORES)
    def test_min_max_keeps_the_order_and_the_interval(self, scores: list[float]) -> None:
        moved = min_max(scores)
        assert all(0 <= value <= 1 for value in moved)
        assert first_best(moved) is not None and moved[first_best(scores) or 0] == 1.0

    @given(SCORES)
    def test_the_mean_of_steps(self, scores: list[float]) -> None:
        assert reduce_steps(scores, "mean") == pytest.approx(sum(scores) / len(scores))
        assert min(scores) - 1e-12 <= reduce_steps(scores, "mean") <= max(scores) + 1e-12
        assert reduce_steps([], "mean") == 0.0
