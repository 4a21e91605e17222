"""The pure parts of budget-aware agents: regimes, unified cost, the tracker's text, plans, verdicts held to their marks."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from phronesis.agents.tracker import ADVICE, Stock, budget_block, limited
from phronesis.graphs.policies.plan import Step, charged, merged, open_step, read_plan, shown_plan
from phronesis.graphs.policies.regimes import REGIMES, exhausted, regime, unified_cost, worst
from phronesis.graphs.policies.verdicts import Mark, ThreeWay, ruled, score

MARKS: list[Mark] = ["satisfied", "contradicted", "unverifiable"]
SAID: list[ThreeWay] = ["SUCCESS", "CONTINUE", "PIVOT"]
STATUSES = ["x", " ", "!", "~"]


class TestRegimes:
    @pytest.mark.parametrize(
        ("left", "limit", "expected"),
        [
            (100, 100, "HIGH"), (70, 100, "HIGH"), (69, 100, "MEDIUM"), (30, 100, "MEDIUM"), (29, 100, "LOW"),
            (10, 100, "LOW"), (9, 100, "CRITICAL"), (0, 100, "CRITICAL"), (7, 10, "HIGH"), (3, 10, "MEDIUM"),
            (1, 10, "LOW"), (1, 11, "CRITICAL"), (2, 3, "MEDIUM"), (1, 3, "MEDIUM"), (1, 1, "HIGH"), (0, 1, "CRITICAL"),
            (0, 0, "CRITICAL"), (7 * 10**17, 10**18, "HIGH"), (7 * 10**17 - 1, 10**18, "MEDIUM"),
        ],
    )  # fmt: skip
    def test_3_the_bounds_are_exact(self, left: int, limit: int, expected: str) -> None:
        assert regime(left, limit) == expected

    @pytest.mark.parametrize(("left", "limit"), [(-1, 5), (6, 5)])
    def test_impossible_stocks_are_refused(self, left: int, limit: int) -> None:
        with pytest.raises(ValueError, match=f"{left} units left of {limit}"):
            regime(left, limit)

    @settings(deadline=None)
    @given(st.integers(1, 500))
    def test_it_only_gets_worse_as_units_go(self, limit: int) -> None:
        row = [REGIMES.index(regime(left, limit)) for left in range(limit, -1, -1)]
        assert row == sorted(row) and row[0] == 0 and row[-1] == 3

    def test_the_worst_tool_decides(self) -> None:
        assert worst([(10, 10), (2, 10), (5, 10)]) == "LOW"
        assert worst([(10, 10), (0, 10)]) == "CRITICAL"
        assert worst([]) is None

    def test_one_tool_at_nothing_is_exhausted(self) -> None:
        assert exhausted([(5, 5), (0, 3)]) and not exhausted([(5, 5), (1, 3)]) and not exhausted([])


class TestUnifiedCost:
    def test_8_token_cost_and_a_thousandth_per_unit(self) -> None:
        assert unified_cost({"search": 7, "browse": 3}) == pytest.approx(0.010)
        found = unified_cost(
            {"search": 2},
            prompt_tokens=1000,
            cached_tokens=400,
            completion_tokens=50,
            prompt_price=1.25,
            cached_price=0.125,
            completion_price=10.0,
        )
        assert found == pytest.approx((600 * 1.25 + 400 * 0.125 + 50 * 10) / 1e6 + 0.002)

    def test_prices_of_single_tools(self) -> None:
        assert unified_cost({"search": 2, "sql": 3}, unit_price=0.5, unit_prices={"sql": 0.0}) == 1.0


class TestTracker:
    STOCKS = (Stock("search", 3, 10), Stock("calculator", 4, None))

    def test_used_and_left_of_every_tool(self) -> None:
        text = budget_block(self.STOCKS, "HIGH")
        assert text.splitlines() == [
            "Budget (HIGH):",
            "search: 3 used, 7 left of 10",
            "calculator: 4 used, unlimited",
            ADVICE["HIGH"],
        ]
        assert limited(self.STOCKS) == [(7, 10)]

    def test_without_limits_there_is_no_order(self) -> None:
        assert budget_block([Stock("t", 1, None)], None) == "Budget:\nt: 1 used, unlimited"

    def test_every_regime_has_its_order(self) -> None:
        assert set(ADVICE) == set(REGIMES) and len(set(ADVICE.values())) == 4


class TestPlan:
    def test_marks_are_read_from_lines_and_from_one_line(self) -> None:
        assert read_plan("1 [x] find the year\n1.1 [ ] open the page\n2. [!] ask; 3) [~] count") == read_plan(
            "Plan: 1 [x] find the year 1.1 [] open the page 2 [!] ask; 3 [~] count"
        )

    @pytest.mark.parametrize("text", ["", "no plan", "see [1] and [2]", "version 1.2 is out", "x1 [x] no"])
    def test_what_is_no_plan(self, text: str) -> None:
        assert read_plan(text) == ()

    def test_9_nodes_are_never_removed_and_statuses_change(self) -> None:
        old = read_plan("1 [ ] find\n2 [ ] check")
        new = merged(old, read_plan("1 [x] find it\n1.1 [ ] page"))
        assert shown_plan(new) == "1 [x] find it\n1.1 [ ] page\n2 [ ] check"
        assert merged(new, ()) == new
        assert merged(new, read_plan("2 [!]"))[-1] == Step("2", "check", "failed")

    @settings(deadline=None)
    @given(
        st.lists(
            st.lists(
                st.tuples(st.sampled_from(["1", "1.1", "2", "10", "2.3.1"]), st.sampled_from(STATUSES)), max_size=5
            ),
            max_size=6,
        )
    )
    def test_9_whatever_is_written(self, turns: list[list[tuple[str, str]]]) -> None:
        plan: tuple[Step, ...] = ()
        for turn in turns:
            before = {step.id for step in plan}
            plan = merged(plan, read_plan("\n".join(f"{id} [{mark}] step {id}" for id, mark in turn)))
            assert before <= {step.id for step in plan}
        keys = [[int(part) for part in step.id.split(".")] for step in plan]
        assert keys == sorted(keys)

    def test_a_flood_of_steps_is_bounded(self) -> None:
        plan = merged((), read_plan("\n".join(f"{n} [ ] step" for n in range(1, 500))))
        assert len(plan) == 40

    def test_costs_go_to_the_open_step(self) -> None:
        plan = read_plan("1 [x] a\n2 [ ] b\n2.1 [ ] c")
        assert open_step(plan) == "2.1"
        once = charged(charged(plan, {"search": 2, "sql": 0}), {"search": 1})
        assert shown_plan(once).splitlines()[-1] == "2.1 [ ] c (search 3)"
        assert charged(read_plan("1 [x] a"), {"search": 2}) == read_plan("1 [x] a")
        assert merged(once, read_plan("2.1 [x] c"))[-1].cost == {"search": 3}


class TestVerdicts:
    @pytest.mark.parametrize(
        ("said", "marks", "decision"),
        [
            ("SUCCESS", ["satisfied", "satisfied"], "SUCCESS"),
            ("SUCCESS", ["satisfied", "contradicted"], "PIVOT"),
            ("SUCCESS", ["satisfied", "unverifiable"], "CONTINUE"),
            ("SUCCESS", [], "CONTINUE"),
            ("CONTINUE", ["satisfied", "contradicted"], "PIVOT"),
            ("CONTINUE", ["satisfied"], "CONTINUE"),
            ("CONTINUE", [], "CONTINUE"),
            ("PIVOT", ["satisfied"], "PIVOT"),
        ],
    )
    def test_a_decision_is_held_to_its_marks(self, said: ThreeWay, marks: list[Mark], decision: str) -> None:
        ruling = ruled(said, marks)
        assert ruling.decision == decision and bool(ruling.overruled) == (said != decision)

    @settings(deadline=None)
    @given(st.sampled_from(SAID), st.lists(st.sampled_from(MARKS), max_size=6))
    def test_nothing_gets_better_and_success_is_clean(self, said: ThreeWay, marks: list[Mark]) -> None:
        ruling = ruled(said, marks)
        assert SAID.index(ruling.decision) >= SAID.index(said)
        assert ruling.decision != "SUCCESS" or set(marks) == {"satisfied"}
        value = score(marks, ruling.decision)
        assert 0 <= value <= 1 and (value == 1) == (ruling.decision == "SUCCESS")
