"""Votes, gate, pool, reward statistics, acceptance and cost formulas, with numbers."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from phronesis.graphs.cost import CostLaw, Observable, evaluate
from phronesis.graphs.policies.acceptance import accept
from phronesis.graphs.policies.gate import GateDecision, answer_weights, confidence, decide, entropy
from phronesis.graphs.policies.pool import top_k
from phronesis.graphs.policies.reward import RewardStatistics, StepReduce, reduce_steps, statistics_of
from phronesis.graphs.policies.voting import majority, weighted_vote

REDUCERS: tuple[StepReduce, ...] = ("prod", "min", "geo_mean", "last")
CALIBRATED = RewardStatistics(count=100, mean=1.0, std=0.5)
answers_ = st.sampled_from(["a", "b", "c", "d", None])
weights_ = st.just(0.0) | st.floats(1e-6, 2)
voters_ = st.lists(st.tuples(answers_, weights_), max_size=12)
scores_ = st.lists(st.just(0.0) | st.floats(1e-3, 1), min_size=1, max_size=20)


def split(voters: Sequence[tuple[str | None, float]]) -> tuple[list[str | None], list[float]]:
    return [answer for answer, _ in voters], [weight for _, weight in voters]


def gate(
    answers: Sequence[str | None],
    rewards: Sequence[float],
    *,
    outcomes: Sequence[float] | None = None,
    steps: Sequence[float] | None = None,
    agreed: str | None = "",
    statistics: RewardStatistics = CALIBRATED,
    **options: float,
) -> GateDecision:
    ones = [1.0] * len(answers)
    judged = majority(answers).winner if agreed == "" else agreed
    return decide(
        answers,
        rewards,
        ones if outcomes is None else outcomes,
        ones if steps is None else steps,
        majority=judged,
        statistics=statistics,
        **options,  # type: ignore[arg-type]
    )


class TestVotes:
    def test_two_good_chains_beat_three_poor_ones(self) -> None:
        vote = weighted_vote(["x", "y", "x", "y", "x"], [0.5, 1.9, 0.5, 1.9, 0.5])
        assert (vote.winner, vote.leader) == ("y", 1)
        assert vote.weights == {"x": 1.5, "y": 3.8}
        assert vote.share == pytest.approx(3.8 / 5.3)

    def test_none_never_votes_and_is_not_in_the_weights(self) -> None:
        vote = weighted_vote([None, "x", None], [9.0, 0.1, 9.0])
        assert (vote.winner, vote.leader, vote.weights) == ("x", 1, {"x": 0.1})

    @pytest.mark.parametrize("answers", [[], [None], [None, None]])
    def test_no_winner_when_nobody_votes(self, answers: list[str | None]) -> None:
        vote = majority(answers)
        assert (vote.winner, vote.leader, vote.weights, vote.share) == (None, None, {}, 0.0)

    def test_a_tie_goes_to_the_answer_seen_first(self) -> None:
        assert majority(["b", "a", "a", "b"]).winner == "b"
        assert weighted_vote(["b", "a", "a"], [1.0, 0.5, 0.5]).winner == "b"
        assert weighted_vote(["a", "a", "b"], [0.5, 0.5, 1.0]).winner == "a"

    def test_after_ranking_a_tie_goes_to_the_highest_reward(self) -> None:
        """Specification, invariant 8: the vote stands behind top_k."""
        answers, rewards = ["low", "low", "high"], [0.75, 0.75, 1.5]
        order = top_k(range(3), rewards, 3)
        vote = weighted_vote([answers[i] for i in order], [rewards[i] for i in order])
        assert (vote.winner, vote.leader) == ("high", 0)

    def test_all_zero_weights_leave_the_first_voter(self) -> None:
        vote = weighted_vote(["b", "a"], [0.0, 0.0])
        assert (vote.winner, vote.share) == ("b", 0.0)

    def test_sums_do_not_depend_on_the_order_of_addition(self) -> None:
        """0.1 ten times adds up to 1.0 only when it is summed exactly."""
        vote = weighted_vote(["one", *["tenth"] * 10], [1.0, *[0.1] * 10])
        assert vote.winner == "one", f"an exact tie goes to the first seen: {vote.weights}"
        assert weighted_vote([*["tenth"] * 10, "one"], [*[0.1] * 10, 1.0]).winner == "tenth"

    @pytest.mark.parametrize("weight", [-0.1, math.nan, -math.inf])
    @pytest.mark.parametrize("answer", ["a", None])
    def test_refuses_a_weight_that_is_no_weight(self, weight: float, answer: str | None) -> None:
        with pytest.raises(ValueError, match="weight"):
            weighted_vote([answer], [weight])

    def test_refuses_lengths_that_differ(self) -> None:
        with pytest.raises(ValueError):
            weighted_vote(["a", "b"], [1.0])

    @given(voters_)
    def test_leader_is_the_first_voter_for_the_winner(self, voters: list[tuple[str | None, float]]) -> None:
        answers, weights = split(voters)
        vote = weighted_vote(answers, weights)
        if vote.winner is None:
            assert all(answer is None for answer in answers)
        else:
            assert vote.leader == answers.index(vote.winner)
            assert vote.weights[vote.winner] == max(vote.weights.values())
        assert list(vote.weights) == list(dict.fromkeys(answer for answer in answers if answer is not None))

    @given(voters_)
    def test_shares_are_shares(self, voters: list[tuple[str | None, float]]) -> None:
        vote = weighted_vote(*split(voters))
        total = math.fsum(vote.weights.values())
        assert all(weight >= 0 for weight in vote.weights.values())
        assert 0 <= vote.share <= 1
        if total > 0:
            assert math.fsum(weight / total for weight in vote.weights.values()) == pytest.approx(1)
            assert vote.share >= 1 / len(vote.weights) * (1 - 1e-12)

    @given(voters_.flatmap(lambda voters: st.tuples(st.just(voters), st.permutations(voters))))
    def test_order_of_voters_changes_neither_sums_nor_a_clear_winner(
        self, pair: tuple[list[tuple[str | None, float]], list[tuple[str | None, float]]]
    ) -> None:
        here, there = (weighted_vote(*split(voters)) for voters in pair)
        assert here.weights == there.weights
        best = max(here.weights.values(), default=0.0)
        if list(here.weights.values()).count(best) == 1:
            assert here.winner == there.winner

    @given(st.lists(answers_, max_size=12))
    def test_majority_counts(self, answers: list[str | None]) -> None:
        vote = majority(answers)
        assert vote.weights == {item: answers.count(item) for item in answers if item is not None}


class TestConfidence:
    @given(st.floats(0, 700))
    def test_identity(self, spread: float) -> None:
        """Invariant 10: 2 (1 - sigmoid(H)) == 2 / (1 + e^H)."""
        sigmoid = 1 / (1 + math.exp(-spread))
        assert confidence(spread) == pytest.approx(2 * (1 - sigmoid), abs=1e-12)
        assert 0 < confidence(spread) <= 1

    @pytest.mark.parametrize(("distinct", "expected"), [(1, 1.0), (2, 2 / 3), (3, 0.5), (4, 0.4), (10, 2 / 11)])
    def test_equally_weighted_answers(self, distinct: int, expected: float) -> None:
        assert confidence(entropy([0.7] * distinct)) == pytest.approx(expected)

    @given(st.floats(0.01, 2), st.integers(1, 8))
    def test_three_equal_answers_are_never_below_the_mark(self, weight: float, each: int) -> None:
        found = answer_weights(["a", "b", "c"] * each, [weight] * 3 * each)
        assert not confidence(entropy(list(found.values()))) < 0.5

    @given(st.lists(weights_, min_size=1, max_size=12))
    def test_entropy_is_between_0_and_ln_n(self, weights: list[float]) -> None:
        spread = entropy(weights)
        if sum(weights) == 0:
            assert math.isnan(spread)
        else:
            assert 0 <= spread <= math.log(len(weights)) + 1e-9

    @given(st.lists(st.floats(0.001, 10), min_size=1, max_size=8), st.floats(0.1, 10))
    def test_entropy_depends_on_shares_alone(self, weights: list[float], factor: float) -> None:
        assert entropy([factor * weight for weight in weights]) == pytest.approx(entropy(weights), abs=1e-9)

    def test_no_weight_at_all_is_not_a_number(self) -> None:
        assert math.isnan(entropy([])) and math.isnan(entropy([0.0, 0.0]))

    @pytest.mark.parametrize("tiny", [5e-324, 1e-310])
    def test_a_share_too_small_for_a_float_is_no_share(self, tiny: float) -> None:
        """Products over hundreds of steps come this low."""
        assert entropy([2.0, tiny]) == pytest.approx(0.0, abs=1e-300)

    def test_an_unreadable_answer_is_one_of_the_answers(self) -> None:
        assert answer_weights(["a", None, "a", None], [1, 2, 3, 4]) == {"a": 4, None: 6}


class TestGate:
    low = [0.5] * 10
    """z = -1 under CALIBRATED."""

    @pytest.mark.parametrize(("distinct", "hard"), [(1, False), (2, False), (3, False), (4, True), (10, True)])
    def test_low_quality_is_hard_only_beyond_three_answers(self, distinct: int, hard: bool) -> None:
        """Invariant 2."""
        answers = [f"a{i}" for i in range(distinct)]
        found = gate(answers, self.low[:distinct])
        assert found.hard is hard, found
        assert found.quality == pytest.approx(-1.0) and not found.quality_passes

    def test_high_quality_with_ten_answers_is_easy(self) -> None:
        """Invariant 3: both conditions have to fail."""
        found = gate([f"a{i}" for i in range(10)], [1.5] * 10)
        assert not found.hard and found.quality_passes and not found.confidence_passes, found

    def test_both_conditions_failing_is_hard(self) -> None:
        found = gate([f"a{i}" for i in range(10)], self.low)
        assert found.hard and not found.quality_passes and not found.confidence_passes, found
        assert "3 effective" in found.reason

    def test_quality_reads_only_chains_that_agree_with_the_majority(self) -> None:
        answers = ["a", "a", "b", "c", "d"]
        assert gate(answers, [0.5, 0.5, 2.0, 2.0, 2.0]).quality == pytest.approx(-1.0)
        assert gate(answers, [1.5, 1.0, 0.0, 0.0, 0.0]).quality == pytest.approx(0.5)

    def test_a_mean_z_of_exactly_0_passes(self) -> None:
        found = gate(list("abcd"), [1.0, 0.0, 0.0, 0.0])
        assert found.quality == 0 and found.quality_passes and not found.hard

    @pytest.mark.parametrize("side", ["outcomes", "steps"])
    def test_one_spread_side_fails_the_confidence(self, side: str) -> None:
        """conf_orm < 0.5 OR conf_prm < 0.5; the other side is sure of one answer."""
        sure = {"outcomes": [1.0, 0.0, 0.0, 0.0], "steps": [1.0, 0.0, 0.0, 0.0], side: [1.0] * 4}
        found = gate(list("abcd"), self.low[:4], outcomes=sure["outcomes"], steps=sure["steps"])
        assert found.hard and not found.confidence_passes, found

    def test_unreadable_answers_widen_the_spread(self) -> None:
        assert not gate(["a", "b", "c"], self.low[:3]).hard
        assert gate(["a", "b", "c", None], self.low[:4]).hard

    def test_no_chain_of_the_majority_passes_the_quality(self) -> None:
        """The paper's NaN case."""
        found = gate(list("bcde"), self.low[:4], agreed="a")
        assert found.quality is None and found.quality_passes and not found.hard

    def test_all_zero_weights_count_as_confident(self) -> None:
        zeros = [0.0] * 4
        found = gate(list("abcd"), zeros, outcomes=zeros, steps=zeros)
        assert found.outcome_confidence is None and found.step_confidence is None
        assert found.confidence_passes and not found.hard

    @pytest.mark.parametrize("answers", [[], [None], [None] * 5])
    def test_nothing_readable_is_hard(self, answers: list[None]) -> None:
        found = gate(answers, [1.9] * len(answers), agreed=None)
        assert found.hard and found.quality is None, found

    def test_cold_start_compares_the_mean_reward_with_the_floor(self) -> None:
        few = RewardStatistics(count=7, mean=5.0, std=0.1)
        below = gate(list("abcd"), [0.99] * 4, statistics=few, floor=1.0, least=8)
        above = gate(list("abcd"), [1.0] * 4, statistics=few, floor=1.0, least=8)
        assert not below.normalised and below.hard and below.quality == pytest.approx(0.99)
        assert not above.normalised and not above.hard and above.quality == pytest.approx(1.0)
        enough = gate(list("abcd"), [1.0] * 4, statistics=RewardStatistics(8, 5.0, 0.1), floor=1.0, least=8)
        assert enough.normalised and enough.hard and enough.quality == pytest.approx(-40)

    @given(st.lists(st.tuples(answers_, weights_, weights_, weights_), min_size=1, max_size=8).flatmap(
        lambda chains: st.tuples(st.just(chains), st.permutations(chains))
    ))  # fmt: skip
    def test_order_of_chains_does_not_matter(
        self, pair: tuple[list[tuple[str | None, float, float, float]], ...]
    ) -> None:
        here, there = (gate(*map(list, list(zip(*chains, strict=True))[:2]),
                            outcomes=[c[2] for c in chains], steps=[c[3] for c in chains], agreed="a")
                       for chains in pair)  # fmt: skip
        assert here.quality == (None if there.quality is None else pytest.approx(there.quality))
        for name in ("outcome_confidence", "step_confidence"):
            assert getattr(here, name) == pytest.approx(getattr(there, name), nan_ok=True)

    @given(st.lists(st.tuples(answers_, weights_), min_size=1, max_size=8), st.booleans())
    def test_hard_iff_both_fail_or_nothing_is_readable(
        self, chains: list[tuple[str | None, float]], warm: bool
    ) -> None:
        answers, rewards = split(chains)
        found = gate(answers, rewards, statistics=CALIBRATED if warm else RewardStatistics())
        readable = any(answer is not None for answer in answers)
        assert found.hard == (not readable or not (found.quality_passes or found.confidence_passes))


class TestPool:
    def test_best_first_and_stable(self) -> None:
        assert top_k("abcde", [1, 2, 1, 2, 0], 4) == ("b", "d", "a", "c")

    @pytest.mark.parametrize(("k", "size"), [(-1, 0), (0, 0), (2, 2), (9, 3)])
    def test_at_most_k(self, k: int, size: int) -> None:
        assert len(top_k("abc", [1, 2, 3], k)) == size

    @given(st.lists(weights_, max_size=12), st.integers(0, 12))
    def test_what_is_left_out_is_not_better(self, rewards: list[float], k: int) -> None:
        kept = top_k(range(len(rewards)), rewards, k)
        left = set(range(len(rewards))) - set(kept)
        assert len(kept) == len(set(kept)) == min(k, len(rewards))
        assert list(kept) == sorted(kept, key=lambda i: (-rewards[i], i))
        for out in left:
            for item in kept:
                assert (rewards[item], -item) > (rewards[out], -out)


class TestStepsToOneFigure:
    @pytest.mark.parametrize(
        ("how", "figure"), [("prod", 0.1), ("min", 0.2), ("last", 0.5), ("geo_mean", 0.1 ** (1 / 3))]
    )
    def test_by_hand(self, how: StepReduce, figure: float) -> None:
        assert reduce_steps([0.2, 1.0, 0.5], how) == pytest.approx(figure)

    def test_the_product_is_the_default(self) -> None:
        assert reduce_steps([0.5, 0.5]) == 0.25

    @pytest.mark.parametrize("how", REDUCERS)
    def test_no_steps_is_0(self, how: StepReduce) -> None:
        assert reduce_steps([], how) == 0.0

    @pytest.mark.parametrize("how", REDUCERS)
    @given(scores=scores_)
    def test_stays_in_the_unit_interval(self, how: StepReduce, scores: list[float]) -> None:
        assert 0 <= reduce_steps(scores, how) <= 1

    @given(scores_)
    def test_prod_is_at_most_min_and_min_at_most_geo_mean(self, scores: list[float]) -> None:
        product, least, mean = (reduce_steps(scores, how) for how in ("prod", "min", "geo_mean"))
        assert product <= least * (1 + 1e-9)
        assert least <= mean * (1 + 1e-9) and mean <= max(scores) * (1 + 1e-9), (least, mean)

    def test_geo_mean_does_not_fall_to_0_over_many_steps(self) -> None:
        """It is offered because the product does."""
        assert reduce_steps([0.1] * 400, "geo_mean") == pytest.approx(0.1)

    @given(scores_.flatmap(lambda scores: st.tuples(st.just(scores), st.permutations(scores))))
    def test_only_last_depends_on_the_order(self, pair: tuple[list[float], list[float]]) -> None:
        for how in ("prod", "min", "geo_mean"):
            assert reduce_steps(pair[0], how) == pytest.approx(reduce_steps(pair[1], how))
        assert reduce_steps(pair[1], "last") == pair[1][-1]


class TestStatistics:
    def test_population_deviation(self) -> None:
        assert statistics_of([1.0, 3.0]) == RewardStatistics(2, 2.0, 1.0)
        assert statistics_of([]) == RewardStatistics(0, 0.0, 0.0)
        assert statistics_of([1.7]) == RewardStatistics(1, 1.7, 0.0)

    def test_z(self) -> None:
        assert RewardStatistics(9, 1.0, 0.5).z(2.0) == 2.0
        flat = RewardStatistics(9, 1.0, 0.0)
        assert (flat.z(1.0), flat.z(1.1), flat.z(0.9)) == (0.0, math.inf, -math.inf)

    @given(st.floats(0, 2), st.integers(1, 60))
    def test_equal_rewards_have_no_spread(self, reward: float, count: int) -> None:
        """Else the gate finds z = -1 or +1 in a rounding error of the mean."""
        found = statistics_of([reward] * count)
        assert found.z(reward) == 0.0, found

    @given(st.lists(weights_, min_size=2, max_size=30).flatmap(lambda xs: st.tuples(st.just(xs), st.permutations(xs))))
    def test_order_does_not_matter(self, pair: tuple[list[float], list[float]]) -> None:
        assert statistics_of(pair[0]) == statistics_of(pair[1])

    @given(st.lists(st.integers(0, 200).map(lambda value: value / 100), min_size=2, max_size=30))
    def test_z_scores_of_the_sample_average_0(self, rewards: list[float]) -> None:
        found = statistics_of(rewards)
        if len(set(rewards)) > 1:
            assert found.std > 0
            assert math.fsum(found.z(reward) for reward in rewards) / len(rewards) == pytest.approx(0, abs=1e-6)


class TestAcceptance:
    def test_accepts_agreement_that_a_checker_confirms(self) -> None:
        found = accept(votes=5, agreeing=3, score=0.5)
        assert found.accepted and "3 of 5" in found.reason

    @pytest.mark.parametrize(
        ("votes", "agreeing", "score", "word"),
        [
            (0, 0, 1.0, "readable"),
            (1, 1, 1.0, "readable"),
            (5, 2, 1.0, "agree"),
            (5, 5, None, "checked"),
            (5, 5, 0.49, "checker"),
        ],
    )
    def test_refuses_and_says_why(self, votes: int, agreeing: int, score: float | None, word: str) -> None:
        found = accept(votes=votes, agreeing=agreeing, score=score)
        assert not found.accepted and word in found.reason

    @given(st.integers(0, 20), st.integers(0, 20), st.none() | st.floats(0, 1))
    def test_never_on_agreement_or_score_alone(self, votes: int, agreeing: int, score: float | None) -> None:
        agreeing = min(agreeing, votes)
        found = accept(votes=votes, agreeing=agreeing, score=score)
        assert found.accepted == (votes >= 2 and agreeing / votes >= 0.6 and score is not None and score >= 0.5)
        assert found.reason


class TestCostFormulas:
    @given(st.integers(0, 50), st.integers(0, 5), st.integers(0, 1))
    def test_arithmetic(self, k: int, r: int, j: int) -> None:
        values = {"k": k, "R": r, "J": j}
        assert evaluate("k + 2*k*R + J*(k + k*R)", values) == k + 2 * k * r + j * (k + k * r)
        assert evaluate("min(k, R + 1) - max(J, 2)", values) == min(k, r + 1) - max(j, 2)

    @pytest.mark.parametrize(
        "formula",
        [
            "unknown + 1", "k / 2", "k // 2", "k ** 2", "k % 2", "k << 1", "k @ k", "1.5 * k", "'k'", "True", "None",
            "-k", "not k", "k < 2", "k and 1", "k if k else 1", "[k]", "(k, k)", "k.real", "k[0]", "lambda: k",
            "abs(k)", "__import__('os')", "min", "min()", "max(*(k, 1))", "min(k, 1, key=k)", "max(k, default=1)",
            "k.bit_length()", "[i for i in (k,)]", "f'{k}'", "(k := 3)",
        ],
    )  # fmt: skip
    def test_refuses_anything_else(self, formula: str) -> None:
        with pytest.raises(ValueError):
            evaluate(formula, {"k": 3})

    @pytest.mark.parametrize("formula", ["", "k +", "k k", "k; k", "k = 1", "import os", "(k"])
    def test_refuses_what_is_no_expression(self, formula: str) -> None:
        with pytest.raises(ValueError):
            evaluate(formula, {"k": 3})

    def test_bounds_of_a_law(self) -> None:
        law = CostLaw(
            calls="k + 2*P", depth="1 + 2*R", constants={"k": 4},
            observables={"P": Observable("", 0, 8), "R": Observable("", 0, 2)},
        )  # fmt: skip
        assert (law.least, law.most) == ((4, 1), (20, 5))
        assert (law.calls_at(P=3, R=1), law.depth_at(P=3, R=1)) == (10, 3)
        with pytest.raises(ValueError, match="'P'"):
            law.calls_at(R=1)
