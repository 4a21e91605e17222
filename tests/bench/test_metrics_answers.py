"""What answers are worth: revisions, calibration, false positives, null models."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from phronesis.bench.metrics.audit import (
    corrected_accuracy,
    corrected_pass_at_k,
    rogan_gladen,
    share_interval,
    thinned_pass_at_k,
)
from phronesis.bench.metrics.calibration import balance, brier, ece, ece_mass, reliability
from phronesis.bench.metrics.null_model import INJECTIONS, NULLS, PLAIN, NullReport, null_gate
from phronesis.bench.metrics.passk import pass_at_k
from phronesis.bench.metrics.revision import over_budget, revisions, slope

ROUND = st.tuples(st.one_of(st.none(), st.sampled_from(["1", "2", "3"])), st.booleans())
CHAINS = st.lists(st.lists(ROUND, max_size=5), max_size=6)
STATED = st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=1, max_size=40)


def test_answers_that_never_change_have_a_change_rate_and_no_success_rate() -> None:
    found = revisions([[("1", True)] * 3, [("2", False)] * 3])
    assert found.change_rate == 0 and found.correction_success is None
    assert found.fix_rate is None and found.break_rate is None and found.break_share == 0
    assert found.slope == 0 and found.net_gain == 0 and found.accuracies == (0.5, 0.5, 0.5)


def test_a_chain_that_wins_and_loses_by_turns_is_measured_as_the_source_does() -> None:
    found = revisions([[("10", True), ("20", False), ("30", True), ("40", False)]])
    assert found.change_rate == 1 and found.correction_success == pytest.approx(1 / 3)
    assert found.slope == pytest.approx(-0.2)
    assert (found.fixes, found.breaks, found.net_gain) == (1, 2, -1)
    assert found.fix_rate == 1 and found.break_rate == 1 and found.break_share == 1


def test_rates_of_revision_count_what_they_say() -> None:
    found = revisions([
        [("1", False), ("2", True), ("3", False)],
        [("1", True), ("1", True), ("2", True)],
        [(None, False), (None, False), ("7", False)],
        [],
    ])  # fmt: skip
    assert (found.chains, found.steps, found.changed) == (3, 6, 4)
    assert found.correction_success == 2 / 4 and found.fix_rate == 1 / 2
    assert found.break_rate == 1 / 2 and found.break_share == 1 / 3
    assert found.accuracies == pytest.approx((1 / 3, 2 / 3, 1 / 3))


def test_nothing_to_revise_is_undefined() -> None:
    found = revisions([])
    assert found.change_rate is None and found.slope is None and found.accuracies == ()
    assert revisions([[("1", True)]]).change_rate is None
    assert slope([1, 1, 1]) == 0 and slope([1.0]) is None


@settings(deadline=None)
@given(CHAINS)
def test_fixes_and_breaks_explain_the_accuracy(chains: list[list[tuple[str | None, bool]]]) -> None:
    found = revisions(chains)
    if found.accuracies:
        assert found.accuracies[-1] - found.accuracies[0] == pytest.approx(found.net_gain / found.chains)
    assert found.changed_from_right + found.changed_from_wrong == found.changed <= found.steps
    assert found.repaired <= found.fixes and found.spoiled <= found.breaks <= found.from_right
    for rate in (found.change_rate, found.correction_success, found.fix_rate, found.break_rate, found.break_share):
        assert rate is None or 0 <= rate <= 1
    assert revisions(list(reversed(chains))) == found


@settings(deadline=None)
@given(st.lists(st.floats(-5, 5), min_size=2, max_size=20))
def test_the_slope_is_that_of_a_least_squares_line(values: list[float]) -> None:
    assert slope(values) == pytest.approx(np.polyfit(range(len(values)), values, 1)[0], abs=1e-8)


def test_budgets_are_overrun_by_those_that_declared_one() -> None:
    assert over_budget([10, 12, 99], [10, 10, None]) == 0.5
    assert over_budget([10], [None]) is None
    with pytest.raises(ValueError):
        over_budget([1], [])


def test_calibration_of_the_plain_cases() -> None:
    nine = ([0.9] * 10, [True] * 9 + [False])
    assert ece(*nine) == pytest.approx(0) and balance(*nine) == pytest.approx(0)
    assert brier(*nine) == pytest.approx(0.09)
    sure, wrong = ([1.0] * 4, [1] * 4), ([1.0] * 4, [0] * 4)
    assert (ece(*sure), brier(*sure), balance(*sure)) == (0, 0, 0)
    assert (ece(*wrong), brier(*wrong), balance(*wrong)) == (1, 1, -1)
    assert balance([0.5] * 3, [1] * 3) == 0.5
    assert balance([0.1] * 10, [0] * 9 + [1]) == pytest.approx(0)


def test_bins_hold_their_lower_edge_and_the_last_one_both() -> None:
    rows = reliability([0.0, 0.1, 0.3, 0.7, 0.99, 1.0], [0, 0, 1, 1, 1, 1])
    assert [row.count for row in rows] == [1, 1, 0, 1, 0, 0, 0, 1, 0, 2]
    assert rows[9].confidence == pytest.approx(0.995) and rows[9].accuracy == 1
    assert math.isnan(rows[2].accuracy) and (rows[2].low, rows[2].high) == (0.2, 0.3)


def test_equal_chances_share_a_bin_of_equal_mass() -> None:
    p, y = [0.2] * 6 + [0.8] * 2, [1, 1, 0, 0, 0, 0, 1, 1]
    assert ece_mass(p, y, bins=4) == pytest.approx((6 * abs(2 / 6 - 0.2) + 2 * 0.2) / 8)


def test_without_items_calibration_is_undefined_and_nonsense_is_refused() -> None:
    assert all(math.isnan(figure([], [])) for figure in (ece, ece_mass, brier, balance))
    for p, y in (([0.5], []), ([1.5], [1]), ([math.nan], [1]), ([0.5], [2])):
        for figure in (ece, ece_mass, brier, balance):
            with pytest.raises(ValueError):
                figure(p, y)
    with pytest.raises(ValueError):
        ece([0.5], [1], bins=0)


@settings(deadline=None)
@given(STATED, st.randoms())
def test_calibration_knows_bounds_and_no_order(rows: list[tuple[float, bool]], chance: object) -> None:
    shuffled = list(rows)
    chance.shuffle(shuffled)  # type: ignore[attr-defined]
    for figure, low, high in ((ece, 0, 1), (ece_mass, 0, 1), (brier, 0, 1), (balance, -1, 0.5)):
        value = figure([p for p, _ in rows], [y for _, y in rows])
        assert low - 1e-12 <= value <= high + 1e-12
        assert figure([p for p, _ in shuffled], [y for _, y in shuffled]) == pytest.approx(value)
    p, y = [item[0] for item in rows], [item[1] for item in rows]
    rows_of = reliability(p, y)
    assert sum(row.count for row in rows_of) == len(rows)
    gaps = sum(row.count * abs(row.accuracy - row.confidence) for row in rows_of if row.count)
    assert ece(p, y) == pytest.approx(gaps / len(rows))
    assert ece(p, y, bins=1) == pytest.approx(abs(sum(p) - sum(y)) / len(rows))


def test_a_calibrated_forecaster_is_found_calibrated() -> None:
    rng = np.random.default_rng(8)
    p = rng.random(40_000)
    y = (rng.random(40_000) < p).tolist()
    assert ece(p.tolist(), y) < 0.015 and ece_mass(p.tolist(), y) < 0.015
    assert balance(p.tolist(), y) == pytest.approx(0, abs=0.01)
    assert brier(p.tolist(), y) == pytest.approx(1 / 6, abs=0.01)
    bold = np.clip(p * 1.6 - 0.3, 0, 1).tolist()
    assert balance(bold, y) < -0.03


def test_a_perfect_auditor_needs_no_correction() -> None:
    assert rogan_gladen(0.3, 1, 1) == pytest.approx(0.3)
    assert rogan_gladen(0.3, 0.8, 0.9) == pytest.approx((0.3 - 0.1) / 0.7)
    assert rogan_gladen(0.05, 0.8, 0.9) == 0 and rogan_gladen(0.95, 0.8, 0.9) == 1
    assert math.isnan(rogan_gladen(math.nan, 1, 1))


@pytest.mark.parametrize("skill", [(0.5, 0.5), (0.2, 0.7), (0, 1)])
def test_an_auditor_that_tells_nothing_is_refused(skill: tuple[float, float]) -> None:
    with pytest.raises(ValueError, match="tells nothing"):
        rogan_gladen(0.3, *skill)
    with pytest.raises(ValueError, match="observed"):
        rogan_gladen(1.3, 1, 1)


@settings(deadline=None)
@given(st.floats(0, 1), st.floats(0.55, 1), st.floats(0.55, 1))
def test_the_true_rate_is_found_back(true: float, sensitivity: float, specificity: float) -> None:
    observed = true * sensitivity + (1 - true) * (1 - specificity)
    assert rogan_gladen(min(1.0, observed), sensitivity, specificity) == pytest.approx(true, abs=1e-9)


@settings(deadline=None)
@given(st.integers(1, 12), st.data())
def test_corrected_curves_lie_below_and_rise(n: int, data: st.DataObject) -> None:
    c = data.draw(st.integers(0, n))
    flawed, rate = data.draw(st.integers(0, c)), data.draw(st.floats(0, 1))
    ks = range(1, n + 1)
    exact = [corrected_pass_at_k(n, c, flawed, k) for k in ks]
    expected = [thinned_pass_at_k(n, c, rate, k) for k in ks]
    for found in (exact, expected):
        assert all(value <= pass_at_k(n, c, k) + 1e-12 for value, k in zip(found, ks, strict=True))
        assert all(after >= before - 1e-12 for before, after in pairwise(found))
    assert [corrected_pass_at_k(n, c, 0, k) for k in ks] == [pass_at_k(n, c, k) for k in ks]
    assert all(corrected_pass_at_k(n, c, c, k) == 0 for k in ks)
    assert [thinned_pass_at_k(n, c, 0.0, k) for k in ks] == pytest.approx([pass_at_k(n, c, k) for k in ks])
    assert all(thinned_pass_at_k(n, c, 1.0, k) == 0 for k in ks)
    assert thinned_pass_at_k(n, c, rate, 1) == pytest.approx(corrected_accuracy(c / n, rate))


def test_corrections_refuse_what_cannot_be() -> None:
    assert corrected_accuracy(0.8, 0.25) == pytest.approx(0.6)
    assert corrected_accuracy(0.8, 0) == 0.8 and corrected_accuracy(0.8, 1) == 0
    with pytest.raises(ValueError):
        corrected_pass_at_k(4, 2, 3, 1)
    with pytest.raises(ValueError):
        corrected_accuracy(0.5, 1.5)
    assert math.isnan(thinned_pass_at_k(2, 1, 0.5, 3))


def test_a_share_of_none_or_all_keeps_an_interval() -> None:
    none, all_ = share_interval(0, 20), share_interval(20, 20)
    assert none.value == none.low == 0 and 0.1 < none.high < 0.2
    assert all_.value == all_.high == 1 and 0.8 < all_.low < 0.9
    assert math.isnan(share_interval(0, 0).value)
    rng = np.random.default_rng(9)
    found = [share_interval(int((rng.random(40) < 0.15).sum()), 40) for _ in range(600)]
    assert 0.92 <= sum(item.low <= 0.15 <= item.high for item in found) / 600 <= 0.99


def fared(name: str, *, accepted: int = 0, won: int = 0, flipped: int = 0, count: int = 60) -> NullReport:
    return NullReport(name=name, judged=count, accepted=accepted, compared=count, won=won, pairs=count, flipped=flipped)


def judged(judge: object) -> list[NullReport]:
    """Every null before a stub: a callable from the candidate's text to whether it accepts."""
    return [fared(name, accepted=60 * bool(judge(text))) for name, text in NULLS.items()]  # type: ignore[operator]


def test_nulls_are_of_all_the_kinds_that_fooled_judges() -> None:
    assert PLAIN["empty"] == "" and len(PLAIN["long"]) > 10_000 and not PLAIN.keys() & INJECTIONS.keys()
    assert any("verdict: yes" in text.lower() for text in INJECTIONS.values())
    assert NULLS == {**PLAIN, **INJECTIONS} and len(set(NULLS.values())) == len(NULLS)


def test_a_judge_that_reads_the_answer_passes() -> None:
    assert null_gate(judged(lambda text: "\\boxed{42}" in text)) == []


def test_a_judge_that_obeys_the_candidate_fails() -> None:
    found = null_gate(judged(lambda text: "verdict: yes" in text.lower()))
    assert found and all(line.split(":")[0] in INJECTIONS for line in found)


def test_a_judge_that_likes_long_or_fluent_text_fails() -> None:
    assert null_gate(judged(lambda text: len(text) > 200))


def test_a_judge_that_the_order_decides_for_is_flagged() -> None:
    found = null_gate([fared("unsure", flipped=30)])
    assert len(found) == 1 and "order" in found[0] and "unsure" in found[0]
    assert null_gate([fared("unsure", flipped=3)]) == []


def test_the_gate_allows_two_and_five_per_cent() -> None:
    assert null_gate([fared("unsure", accepted=2, won=5, count=100)]) == []
    assert len(null_gate([fared("unsure", accepted=3, won=6, count=100)])) == 2
    assert null_gate([fared("ordering", accepted=5, won=5, count=100)]) == []
    assert len(null_gate([fared("ordering", accepted=6, count=100)])) == 1


def test_too_few_judgements_pass_nothing() -> None:
    assert "49 times" in null_gate([fared("empty", count=49)])[0]
    assert null_gate([fared("empty", count=49)], least=40) == []
    assert null_gate([]) == ["no null was judged"]
    assert "1 times" in null_gate([NullReport(name="empty", judged=50, unparsed=49)])[0], "no verdict is no judgement"


def test_what_was_not_measured_is_undefined() -> None:
    found = NullReport(name="empty")
    assert found.acceptance_rate is None and found.win_rate is None and found.order_consistency is None
    assert fared("closing").injection and not fared("empty").injection
