"""Curves over compute: ARISE, saturation, anytime accuracy."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from phronesis.bench.metrics.anytime import AnytimeCurve, anytime, held, regret, union_grid
from phronesis.bench.metrics.arise import (
    AdaptiveSampling,
    adaptive_sampling,
    arise,
    arise_mean,
    plain_slope,
    shares,
    transitions,
    variation,
)
from phronesis.bench.metrics.paired import paired_difference
from phronesis.bench.metrics.passk import pass_at_k
from phronesis.bench.metrics.saturation import (
    BetaMixture,
    fit_mixture,
    fit_saturation,
    gain,
    misfit,
    mixture,
    saturation_point,
)

LEVELS = st.lists(st.tuples(st.floats(0, 1), st.floats(1, 10_000)), max_size=6)
EVENTS = st.lists(st.lists(st.tuples(st.integers(0, 50), st.booleans()), max_size=5), min_size=1, max_size=6)


@pytest.mark.parametrize(
    ("accuracies", "tokens", "value"),
    [
        ([0, 1], [100, 200], 0.5),
        ([1, 0], [100, 200], -2),
        ([0, 1, 0], [100, 200, 400], -1.5),
        ([0, 0, 1], [100, 200, 400], 0.5),
        ([1, 1, 1], [100, 200, 400], 0),
        ([0.25, 0.5], [100, 200], 0.125),
        ([1], [100], 0),
        ([], [], 0),
        ([0, 1], [0, 200], 0),
        ([0, 1], [200, 100], 2),
    ],
)
def test_arise_is_what_the_formula_gives(accuracies: list[float], tokens: list[float], value: float) -> None:
    assert arise(accuracies, tokens) == value


def test_arise_needs_tokens_for_each_accuracy() -> None:
    with pytest.raises(ValueError, match="2 accuracies have 1"):
        arise([0, 1], [100])
    with pytest.raises(ValueError):
        adaptive_sampling([0, 1], [100])


@settings(deadline=None)
@given(LEVELS, st.floats(0.01, 100))
def test_counting_other_tokens_does_not_change_arise(levels: list[tuple[float, float]], factor: float) -> None:
    accuracies, tokens = [level[0] for level in levels], [level[1] for level in levels]
    assert arise(accuracies, [factor * count for count in tokens]) == pytest.approx(arise(accuracies, tokens))


@settings(deadline=None)
@given(LEVELS)
def test_growing_tokens_make_gains_small_and_losses_large(levels: list[tuple[float, float]]) -> None:
    accuracies = [level[0] for level in levels]
    tokens = sorted(level[1] for level in levels)
    net = accuracies[-1] - accuracies[0] if accuracies else 0
    assert arise(accuracies, tokens) <= net + 1e-9


def test_the_mean_of_arise_comes_with_its_interval() -> None:
    rows = [([0.0, 1.0], [100.0, 200.0]), ([1.0, 0.0], [100.0, 200.0])] * 20
    found = arise_mean(rows)
    assert found.value == -0.75 and -2 <= found.low < -0.75 < found.high <= 0.5
    assert math.isnan(arise_mean([]).value)


def test_steps_between_levels_are_counted() -> None:
    found = transitions([([0, 1, 0], [100, 200, 400]), ([1, 1, 0], [100, 120, 130]), ([0, 0], [1, 2])])
    assert (found.gained, found.lost, found.kept_right, found.kept_wrong, found.severe) == (1, 2, 1, 1, 1)
    assert plain_slope([0, 1], [100, 200]) == 0.01
    assert plain_slope([0, 1], [200, 200]) == plain_slope([], []) == 0


def test_variation_is_that_of_the_source() -> None:
    assert variation([0, 0, 1]) == pytest.approx(1.4142, abs=1e-4)
    assert variation([1, 1, 0]) == pytest.approx(0.7071, abs=1e-4)
    assert variation([3, 3]) == 0 and math.isnan(variation([]))


def test_sampling_goes_on_while_runs_differ() -> None:
    assert adaptive_sampling([], []) == 3 and adaptive_sampling([1], [100]) == 2
    assert adaptive_sampling([1, 1, 0], [100, 100, 100]) == 1
    spread = [100 * (1 + 0.08 * sign * math.sqrt(1.5)) for sign in (-1, 0, 1)]
    assert variation(spread) == pytest.approx(0.08, abs=1e-3)
    assert adaptive_sampling([1, 1, 1], spread) == 0
    assert adaptive_sampling([0, 1] * 5, [100] * 10) == 0


def test_adaptive_sampling_asks_and_is_told() -> None:
    sampling = AdaptiveSampling()
    assert all(math.isnan(value) for value in sampling.level)
    asked = []
    while count := sampling.ask():
        asked.append(count)
        for _ in range(count):
            sampling.tell(len(sampling.tokens) % 3 == 0, 100)
    assert asked == [3, *[1] * 7] and sampling.level == (0.4, 100)
    with pytest.raises(ValueError):
        AdaptiveSampling(least=4, most=3)


@settings(deadline=None)
@given(st.lists(st.floats(0, 3), min_size=1, max_size=8), st.integers(0, 60))
def test_a_total_is_shared_out_and_never_exceeded(variations: list[float], extra: int) -> None:
    total = 3 * len(variations) + extra
    found = shares(variations, total)
    assert sum(found) <= total and all(3 <= count <= 10 for count in found)
    assert all(a >= b for a, va in zip(found, variations, strict=True) for b, vb in zip(found, variations, strict=True)
               if va >= vb)  # fmt: skip
    with pytest.raises(ValueError):
        shares(variations, 3 * len(variations) - 1)


@pytest.mark.parametrize(("p", "top", "least", "n"), [(0.3, 1, 0.01, 10), (0.3, 0.8, 0.01, 9), (0.1, 0.6, 0.005, 24)])
def test_saturation_points_of_the_model(p: float, top: float, least: float, n: int) -> None:
    assert saturation_point(p, top, least) == n


@settings(deadline=None)
@given(st.floats(0.001, 1), st.floats(0.01, 1), st.floats(1e-6, 1))
def test_at_saturation_one_more_adds_less_and_one_less_did_not(p: float, top: float, least: float) -> None:
    n = saturation_point(p, top, least)
    assert gain(n, p, top) < least
    assert n == 0 or gain(n - 1, p, top) >= least
    assert saturation_point(p, top, 2 * least) <= n and saturation_point(p, top / 2, least) <= n


def test_saturation_without_success_is_at_once_and_nonsense_is_refused() -> None:
    assert saturation_point(0, 1, 0.01) == 0 and saturation_point(0.5, 0, 0.01) == 0
    assert saturation_point(1, 0.5, 0.01) == 1
    for p, top, least in ((0.5, 1, 0), (1.5, 1, 0.1), (0.5, -1, 0.1), (math.nan, 1, 0.1)):
        with pytest.raises(ValueError):
            saturation_point(p, top, least)


@settings(deadline=None, max_examples=25)
@given(st.floats(0.02, 0.9), st.floats(0.05, 0.98))
def test_a_fit_recovers_the_curve_behind_its_points(p: float, top: float) -> None:
    found = fit_saturation([(n, top * (1 - (1 - p) ** n)) for n in (1, 2, 4, 8, 16, 32)])
    assert found.top == pytest.approx(top, abs=1e-3) and found.p == pytest.approx(p, abs=1e-3)
    assert found.error < 1e-4 and found.at(3) == pytest.approx(top * (1 - (1 - p) ** 3), abs=1e-3)


def test_too_few_points_fit_nothing() -> None:
    for points in ([], [(1, 0.5)], [(4, 0.5), (4, 0.6)], [(0, 0.0), (4, 0.5)]):
        assert math.isnan(fit_saturation(points).top) and math.isnan(fit_mixture(points).a)
    with pytest.raises(ValueError):
        fit_saturation([(1, 0.5), (2, 1.5)])
    with pytest.raises(ValueError):
        fit_mixture([(1, 0.5), (-2, 0.5)])
    flat = fit_saturation([(1, 0.0), (2, 0.0)])
    assert flat.top == 0 and flat.error == 0


def test_unlike_questions_make_a_flatter_curve_which_the_mixture_fits_better() -> None:
    rng = np.random.default_rng(7)
    truth = BetaMixture(0.6, 1.4, 0.0)
    rates = rng.beta(0.6, 1.4, 4000)
    points = [(n, truth.at(n)) for n in (1, 2, 4, 8, 16, 32)]
    assert all(mixture(rates.tolist(), n) == pytest.approx(value, abs=0.02) for n, value in points)
    one, many = fit_saturation(points), fit_mixture(points)
    assert many.error < one.error / 10
    assert (many.a, many.b) == pytest.approx((0.6, 1.4), rel=0.02)
    assert misfit(one.at, points) == pytest.approx(one.error) and math.isnan(misfit(one.at, []))


def test_the_plug_in_mixture_is_the_mean_rate_at_one_and_biased_down_beyond() -> None:
    counts = [(8, 0), (8, 1), (8, 4), (8, 8)]
    rates = [c / n for n, c in counts]
    assert mixture(rates, 1) == pytest.approx(sum(rates) / 4) and mixture(rates, 0) == 0
    exact = sum(pass_at_k(n, c, 6) for n, c in counts) / 4
    assert mixture(rates, 6) < exact
    assert math.isnan(mixture([], 3))
    with pytest.raises(ValueError):
        mixture([1.2], 3)


def test_the_answer_of_the_last_event_holds() -> None:
    events = [[(10, False), (20, True), (40, False)], [(5, True)], []]
    curve = anytime(events, [40, 5, 20, 10, 10, 39])
    assert curve.budgets == (5, 10, 20, 39, 40)
    assert curve.accuracies == pytest.approx((1 / 3, 1 / 3, 2 / 3, 2 / 3, 1 / 3))
    assert curve.time_to_accuracy(0.6) == 20 and curve.time_to_accuracy(0.9) is None
    assert curve.value() == pytest.approx(sum(curve.accuracies) / 5)
    assert curve.value([0, 0, 2, 2, 0]) == pytest.approx(2 / 3)
    assert held(events, [20]).tolist() == [[1.0], [1.0], [0.0]]


def test_the_area_is_that_of_the_step_curve_over_log_budgets() -> None:
    assert AnytimeCurve((1, 10, 100), (0.2, 0.6, 0.9)).log_auc() == pytest.approx(0.4)
    assert math.isnan(AnytimeCurve((4,), (0.5,)).log_auc())
    with pytest.raises(ValueError, match="0"):
        AnytimeCurve((0, 4), (0.5, 0.5)).log_auc()


def test_without_questions_or_budgets_a_curve_is_undefined() -> None:
    assert math.isnan(anytime([], [1, 2]).value()) and math.isnan(anytime([[(1, True)]], []).value())
    assert math.isnan(regret([], []))
    for prior in ([1], [0, 0], [-1, 2]):
        with pytest.raises(ValueError):
            anytime([[(1, True)]], [1, 2]).value(prior)
    for events, budgets in (([[(-1, True)]], [1]), ([[(1, True)]], [-1]), ([[(math.nan, True)]], [1])):
        with pytest.raises(ValueError):
            anytime(events, budgets)


@settings(deadline=None)
@given(EVENTS, st.lists(st.integers(0, 60), min_size=1, max_size=6), st.integers(1, 20), st.booleans())
def test_a_later_event_changes_nothing_before_it(
    events: list[list[tuple[int, bool]]], budgets: list[int], later: int, right: bool
) -> None:
    before = anytime(events, budgets)
    assert before == anytime([list(mine) for mine in events], list(reversed(budgets)))
    last = max((spent for spent, _ in events[0]), default=0) + later
    after = anytime([[*events[0], (last, right)], *events[1:]], budgets)
    for at, left, now in zip(before.budgets, before.accuracies, after.accuracies, strict=True):
        assert at >= last or left == now
    assert min(before.accuracies) - 1e-12 <= before.value() <= max(before.accuracies) + 1e-12


@settings(deadline=None)
@given(EVENTS)
def test_an_oracles_incumbent_never_gets_worse(events: list[list[tuple[int, bool]]]) -> None:
    kept = [[(spent, any(right for at, right in mine if at <= spent)) for spent, _ in mine] for mine in events]
    accuracies = anytime(kept, list(range(0, 60, 3))).accuracies
    assert list(accuracies) == sorted(accuracies)


@settings(deadline=None)
@given(EVENTS)
def test_regret_is_what_a_better_stop_would_have_won(events: list[list[tuple[int, bool]]]) -> None:
    stops = [25.0] * len(events)
    grid = list(range(0, 51))
    best = float(held(events, grid).max(axis=1).mean())
    assert regret(events, stops) == pytest.approx(best - anytime(events, [25]).accuracies[0])
    assert regret(events, stops) >= 0


def test_two_strategies_are_compared_on_the_union_of_their_budgets() -> None:
    first = [[(10, False), (30, True)]] * 12
    second = [[(15, True)]] * 12
    grid = union_grid(first, second)
    assert grid == [10, 15, 30]
    names = [f"q{at}" for at in range(12)]
    ours, theirs = (dict(zip(names, held(events, grid).mean(axis=1), strict=True)) for events in (first, second))
    found = paired_difference(ours, theirs, [[name] for name in names])
    assert found.value == pytest.approx(1 / 3) and found.low > 0
