"""Figures of a bench's attempts against hand calculations: curves, calibration, revisions, anytime, costs, sweeps."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import pytest

from phronesis.bench.analysis import curves, independent, mean_over_questions, sample_sizes
from phronesis.bench.analysis_anytime import budgets, timelines
from phronesis.bench.analysis_calibration import calibrations
from phronesis.bench.analysis_cost import (
    gamma_of,
    latency,
    pass_cost,
    prefill_equivalents,
    role_costs,
    sweep_arise,
    sweeps,
)
from phronesis.bench.analysis_revision import chains, revised
from phronesis.bench.metrics.prices import Prices
from phronesis.bench.running.item import AttemptGrade, CallCost, Item, ItemStatus
from phronesis.bench.running.plan import Arm
from phronesis.bench.running.summary import accuracy
from phronesis.core.errors import ConfigurationError


def attempt(
    id: str,
    answer: str | None,
    *,
    gold: str = "5",
    tokens: int = 10,
    round: int = 0,
    parents: Sequence[str] = (),
    reward: float | None = None,
    logprob: float | None = None,
) -> AttemptGrade:
    return AttemptGrade(
        id=id,
        answer=answer,
        correct=answer == gold,
        status="ok" if answer is not None else "unparsable",
        tokens=tokens,
        round=round,
        parents=tuple(parents),
        reward=reward,
        mean_logprob=logprob,
    )


def drawn(*answers: str | None, rewards: Sequence[float | None] = ()) -> tuple[AttemptGrade, ...]:
    figures = rewards or [None] * len(answers)
    pairs = zip(answers, figures, strict=True)
    return tuple(attempt(f"c{index}", answer, reward=reward) for index, (answer, reward) in enumerate(pairs))


def item(
    task: str,
    attempts: tuple[AttemptGrade, ...] = (),
    *,
    answer: str | None = "5",
    arm: str = "a",
    repeat: int = 0,
    status: ItemStatus = "ok",
    calls: Sequence[CallCost] = (),
    stop: str = "finished",
    cluster: str = "",
    seconds: float = 0.0,
) -> Item:
    spent = sum(one.tokens for one in attempts)
    usual = (CallCost(role="solver", level=1, calls=max(1, len(attempts)), completion_tokens=spent, longest=spent),)
    return Item(
        arm=arm,
        set="s",
        repeat=repeat,
        task=task,
        status=status,
        correct=status == "ok" and answer == "5",
        parsed=answer is not None,
        answer=answer,
        gold="5",
        attempts=attempts,
        calls=tuple(calls) or usual,
        stop=stop,
        cluster=cluster,
        seconds=seconds,
    )


class TestCurves:
    def test_values_are_those_counted_by_hand(self) -> None:
        """Question one: two of three right; of its three pairs, (5,5), (5,1), (5,1): all hold a right one; the vote of a pair
        goes to its first when they differ, so 5 wins all three. Question two: none right."""
        items = [
            item("one", drawn("5", "5", "1", rewards=[0.2, 0.9, 0.5])),
            item("two", drawn("1", "2", "2", rewards=[0.1, 0.2, 0.3])),
        ]
        passed, best, voted = curves(items)
        assert (passed.measure, best.measure, voted.measure) == ("pass@k", "best@k", "maj@k")
        assert passed.ks == (1, 2, 3)
        assert [one.value for one in passed.values] == pytest.approx([1 / 3, 1 / 2, 1 / 2])
        assert [one.value for one in voted.values] == pytest.approx([1 / 3, 1 / 2, 1 / 2])
        # pairs by reward: (.2, .9) right, (.2, .5) wrong, (.9, .5) right
        assert [one.value for one in best.values] == pytest.approx([1 / 3, 1 / 3, 1 / 2])

    def test_without_rewards_there_is_no_best_and_without_answers_no_vote(self) -> None:
        assert [one.measure for one in curves([item("q", drawn("5", "1"))])] == ["pass@k", "maj@k"]
        assert [one.measure for one in curves([item("q", drawn(None, None))])] == ["pass@k"]

    def test_equal_answers_with_unequal_grades_have_no_vote(self) -> None:
        code = (attempt("c0", "x", gold="x"), attempt("c1", "x", gold="y"))
        assert [one.measure for one in curves([item("q", code)])] == ["pass@k"]

    def test_repeats_of_a_question_count_once(self) -> None:
        twice = [item("one", drawn("5", "5")), item("one", drawn("1", "1"), repeat=1), item("two", drawn("5", "5"))]
        assert curves(twice)[0].values[0].value == pytest.approx(0.75)

    @pytest.mark.parametrize(
        "attempts",
        [
            drawn("5"),
            (*drawn("5", "1"), attempt("c0.r1", "5", round=1, parents=["c0"])),
            (attempt("c0", "5"), attempt("c1", "5").model_copy(update={"kind": "program"})),
        ],
    )
    def test_attempts_that_know_of_each_other_have_none(self, attempts: tuple[AttemptGrade, ...]) -> None:
        assert not independent([item("q", attempts)]) and curves([item("q", attempts)]) == []

    def test_numbers_of_draws_that_differ_mean_early_stopping(self) -> None:
        assert not independent([item("one", drawn("5", "5")), item("two", drawn("5", "1", "5"))])

    def test_ungraded_items_and_no_items_at_all_are_left_out(self) -> None:
        kept = [item("one", drawn("5", "5")), item("two", drawn("1", "1"), status="ungraded")]
        assert curves(kept)[0].values[0].value == 1.0
        assert curves([]) == []

    def test_sizes_are_every_one_to_eight_then_doublings(self) -> None:
        assert sample_sizes(5) == (1, 2, 3, 4, 5)
        assert sample_sizes(40) == (1, 2, 3, 4, 5, 6, 7, 8, 16, 32, 40)

    def test_a_saturating_curve_tells_its_ceiling(self) -> None:
        always = [item(f"q{n}", drawn("5", "5", "5", "5")) for n in range(3)]
        never = [item(f"w{n}", drawn("1", "1", "1", "1")) for n in range(3)]
        fit = curves([*always, *never])[0].saturation
        assert fit is not None and fit.top == pytest.approx(0.5, abs=1e-3)
        assert curves([item("q", drawn("5", "1"))])[0].saturation is None


class TestIntervals:
    def test_they_are_those_of_the_plain_bootstrap(self) -> None:
        items = [item(f"q{n}", answer="5" if n % 3 else "1", cluster=str(n // 2)) for n in range(24)]
        (found,) = mean_over_questions(items, [[float(one.correct)] for one in items])
        wanted = accuracy(items)
        assert (found.value, found.low, found.high) == pytest.approx((wanted.value, wanted.low, wanted.high))

    def test_nothing_has_none(self) -> None:
        assert mean_over_questions([], []) == []


class TestCalibration:
    def test_vote_shares(self) -> None:
        """Shares 3/4 (right) and 2/4 (wrong), in two bins: ECE = (1/4 + 1/2) / 2; Brier = (1/16 + 1/4) / 2; balance =
        (1 - 3/4 + 0 - 1/2) / 2, for at 1/2 the decision is that it is right."""
        items = [item("one", drawn("5", "5", "5", "1")), item("two", drawn("1", "1", "2", "5"), answer="1")]
        (found,) = calibrations(items)
        assert (found.source, found.count) == ("vote share", 2)
        assert found.ece == pytest.approx(0.375) and found.brier == pytest.approx(0.15625)
        assert found.balance == pytest.approx(-0.125)
        assert found.confidence == pytest.approx(0.625) and found.accuracy == 0.5

    def test_unreadable_attempts_have_no_vote(self) -> None:
        (found,) = calibrations([item("q", drawn("5", None, None, "5"))])
        assert found.confidence == 1.0

    def test_token_probability_is_over_attempts(self) -> None:
        pair = (attempt("c0", "5", logprob=math.log(0.9)), attempt("c1", "1", logprob=math.log(0.6)))
        found = {one.source: one for one in calibrations([item("q", pair)])}["token probability"]
        assert found.count == 2 and found.brier == pytest.approx((0.01 + 0.36) / 2)

    def test_rewards_that_are_no_chances_are_left_out(self) -> None:
        found = calibrations([item("q", drawn("5", "1", rewards=[3.0, -1.0]))])
        assert [one.source for one in found] == ["vote share"]


class TestRevisions:
    refined = (
        attempt("c0", "1"),
        attempt("c1", "5"),
        attempt("c2", "2"),
        attempt("c0.r1", "5", round=1, parents=["c0"]),
        attempt("c1.r1", "3", round=1, parents=["c1"]),
        attempt("c0.r2", "5", round=2, parents=["c0.r1"]),
    )

    def test_chains_lead_from_round_zero_to_what_nothing_was_made_from(self) -> None:
        assert chains(self.refined) == [[("5", True), ("3", False)], [("1", False), ("5", True), ("5", True)]]

    def test_rates_are_those_counted_by_hand(self) -> None:
        """Three steps: 5 -> 3 breaks, 1 -> 5 mends, 5 -> 5 changes nothing."""
        items = [item("q", self.refined, stop="budget:calls"), item("r", drawn("5"))]
        found = revised(items)
        assert found is not None and found.chains == 2
        assert (found.before, found.after, found.over_budget) == (0.5, 0.5, 0.5)
        more = revised([*items, item("z", status="ungraded"), item("y", status="ungraded")])
        assert more is not None and more.over_budget == 0.25, "of all tasks"
        report = found.report
        assert (report.fixes, report.breaks, report.net_gain) == (1, 1, 0)
        assert report.change_rate == pytest.approx(2 / 3)
        assert (report.fix_rate, report.break_rate) == (1.0, 1.0)

    def test_an_arm_that_never_refined_has_none(self) -> None:
        assert revised([item("q", drawn("5", "1"))]) is None

    def test_a_circle_of_parents_ends(self) -> None:
        ring = (attempt("a", "5", round=1, parents=["b"]), attempt("b", "1", round=1, parents=["a"]))
        assert chains(ring) == []


class TestAnytime:
    def test_a_vote_grows_with_the_attempts(self) -> None:
        """After 10 tokens: 1 (wrong); after 20: a tie, the first holds; after 30: 5 (right)."""
        found = timelines([item("q", drawn("1", "5", "5"))])
        assert found.rule == "vote"
        assert found.total == (((10.0, False), (20.0, False), (30.0, True)),)

    def test_the_rule_is_the_one_that_gives_the_arms_answers(self) -> None:
        best = [
            item("q", drawn("1", "1", "5", rewards=[0.1, 0.2, 0.9])),
            item("r", drawn("5", "5", "1", rewards=[0.9, 0.5, 0.1])),
        ]
        assert timelines(best).rule == "best"
        last = [item("q", (attempt("c0", "1"), attempt("c0.r1", "5", round=1, parents=["c0"])))]
        assert timelines(last).rule == "last"

    def test_branches_side_by_side_end_by_their_length(self) -> None:
        attempts = (attempt("c0", "1", tokens=40), attempt("c1", "5", tokens=20), attempt("c2", "5", tokens=30))
        calls = [CallCost(role="solver", level=1, calls=3, completion_tokens=90, longest=40)]
        found = timelines([item("q", attempts, calls=calls)])
        assert found.sequential == (((20.0, True), (30.0, True), (40.0, True)),)

    def test_tokens_of_other_roles_are_spread_and_the_end_is_the_arms_own(self) -> None:
        calls = [CallCost(role=role, level=level, calls=2, completion_tokens=20, longest=10)
                 for level, role in enumerate(("solver", "judge"), start=1)]  # fmt: skip
        found = timelines([item("q", drawn("1", "5"), calls=calls)])
        assert found.total == (((20.0, False), (40.0, True)),)

    def test_failed_tasks_stay_wrong(self) -> None:
        found = timelines([item("q", status="failed", answer=None)])
        assert found.total == (((0.0, False),),)

    def test_budgets_reach_from_the_least_to_the_most(self) -> None:
        grid = budgets({"a": [[(10.0, True)], [(1000.0, False)]]})
        assert grid[-1] == 1000.0 and grid == sorted(grid) and len(grid) == 32
        assert budgets({"a": [[(0.0, False)]]}) == []


PRICES = """
schema = "phronesis/prices/1"
currency = "EUR"
[models.small]
prompt = 1.0
completion = 2.0
"""


@pytest.fixture
def prices(tmp_path: Path) -> Prices:
    (tmp_path / "prices.toml").write_text(PRICES)
    return Prices.load(tmp_path / "prices.toml")


class TestCosts:
    call = CallCost(
        role="solver", level=1, calls=2, prompt_tokens=100, cached_tokens=40, completion_tokens=50, longest=30
    )
    judge = CallCost(role="judge", level=2, calls=1, prompt_tokens=200, completion_tokens=10, longest=10)

    def test_by_role_per_task(self) -> None:
        found = role_costs([item("q", calls=[self.call, self.judge]), item("r", calls=[self.call])])
        assert [(one.role, one.calls, one.tokens) for one in found] == [("judge", 0.5, 5.0), ("solver", 2.0, 50.0)]

    def test_a_pass_costs_the_mean_by_the_share_that_is_right(self, prices: Prices) -> None:
        items = [item("q", calls=[self.call]), item("r", calls=[self.call], answer="1")]
        assert pass_cost(items, None, {}).value == pytest.approx(100.0)
        cost = (100 * 1.0 + 50 * 2.0) / 1e6
        assert pass_cost(items, prices, {"solver": "small"}).value == pytest.approx(2 * cost)

    def test_without_a_right_answer_it_is_infinite_and_without_a_grade_nothing(self) -> None:
        assert pass_cost([item("q", calls=[self.call], answer="1")], None, {}).value == math.inf
        assert math.isnan(pass_cost([item("q", status="ungraded")], None, {}).value)

    def test_a_model_without_a_price_is_named_with_the_mend(self, prices: Prices) -> None:
        with pytest.raises(ConfigurationError, match=r"(?s)'large'.*small.*mend: .*large"):
            pass_cost([item("q", calls=[self.call])], prices, {"solver": "large"})

    def test_a_role_whose_model_nobody_knows_is_named(self, prices: Prices) -> None:
        with pytest.raises(ConfigurationError, match=r"(?s)'solver'.*'a'.*--prices"):
            pass_cost([item("q", calls=[self.call])], prices, {"x": "small", "y": "large"})

    def test_prefill_equivalents(self) -> None:
        """100 + 0.01 * 100 * 50 + 200 + 0.01 * 200 * 10; warm: 40 less."""
        assert prefill_equivalents([item("q", calls=[self.call, self.judge])], 0.01) == pytest.approx((370.0, 330.0))

    def test_gamma_of_a_known_model_else_the_reference(self) -> None:
        assert gamma_of({"solver": "Qwen2.5-7B"}) == (0.00329, "qwen2.5-7b")
        assert gamma_of({"solver": "mine"})[1] == gamma_of({})[1] == "reference"

    def test_latency_leaves_failed_tasks_out(self) -> None:
        items = [item(f"q{n}", seconds=float(n)) for n in range(1, 6)] + [item("x", status="failed", seconds=99.0)]
        found = latency(items)
        assert (found.mean, found.median) == (3.0, 3.0) and found.p95 == pytest.approx(4.8)
        assert math.isnan(latency([]).mean)


class TestSweeps:
    @staticmethod
    def arm(name: str, strategy: str = "self_consistency", **knobs: float) -> Arm:
        return Arm(name=name, recipe={"name": name, "strategy": strategy, "knobs": {"temperature": 0.7, **knobs}})

    def test_arms_that_differ_in_one_number(self) -> None:
        arms = [self.arm("k4", k=4), self.arm("k1", k=1), self.arm("other", "best_of_n", k=2), self.arm("k8", k=8)]
        (found,) = sweeps(arms)
        assert found.key == "knobs.k" and found.levels == ((1.0, "k1"), (4.0, "k4"), (8.0, "k8"))

    def test_arms_that_differ_in_two_are_none(self) -> None:
        assert (
            sweeps([self.arm("a", k=1), Arm(name="b", recipe={"strategy": "self_consistency", "knobs": {"k": 2}})])
            == []
        )

    def test_arise_weighs_a_gain_by_the_tokens(self) -> None:
        """Right only at twice the tokens: 1 * 100 / 200."""
        (sweep,) = sweeps([self.arm("k1", k=1), self.arm("k2", k=2)])
        cost = CallCost(role="solver", level=1, calls=1, completion_tokens=100, longest=100)
        items = [item("q", arm="k1", answer="1", calls=[cost]), item("q", arm="k2", calls=[cost, cost])]
        assert sweep_arise(sweep, items).value == pytest.approx(0.5)
        assert math.isnan(sweep_arise(sweep, items[:1]).value)

    def test_arise_draws_clusters_and_needs_growing_compute(self) -> None:
        (sweep,) = sweeps([self.arm("k1", k=1), self.arm("k2", k=2)])
        cost = CallCost(role="solver", level=1, calls=1, completion_tokens=100, longest=100)

        def levels(first: int, second: int, cluster: str) -> list[Item]:
            return [
                item(
                    f"q{n}",
                    arm=arm,
                    answer="5" if right else "1",
                    calls=[cost] * times,
                    cluster=cluster and str(n // 8),
                )
                for n in range(16)
                for arm, times, right in (("k1", first, False), ("k2", second, n < 8))
            ]

        alone, whole = (sweep_arise(sweep, levels(1, 2, cluster)) for cluster in ("", "yes"))
        assert alone.value == whole.value == pytest.approx(0.25)
        assert (whole.low, whole.high) == pytest.approx((0, 0.5)) and alone.high - alone.low < 0.3
        assert math.isnan(sweep_arise(sweep, levels(2, 2, "")).value) and math.isnan(
            sweep_arise(sweep, levels(2, 1, "")).value
        )
