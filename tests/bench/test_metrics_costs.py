"""What answers cost: price files, cost of pass, prefill equivalents, eFLOPs, accounts of requests."""

from __future__ import annotations

import math
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from phronesis.bench.metrics.cost_of_pass import (
    bootstrap_cost_of_pass,
    cost_of_pass,
    cost_of_pass_posterior,
    essentialness,
    frontier,
    pooled_cost_of_pass,
    task_frontier,
)
from phronesis.bench.metrics.dynamic import Exchange, account, energy, latency
from phronesis.bench.metrics.kinetics import eflops
from phronesis.bench.metrics.prices import Prices
from phronesis.bench.metrics.pte import GAMMAS, HOI, Turn, gamma, pte
from phronesis.core.errors import ConfigurationError

PRICES = """
schema = "phronesis/prices/1"
currency = "EUR"

[models."small"]
prompt = 1.0
cached = 0.25
completion = 4.0

[models."plain"]
prompt = 2.0
completion = 2.0

[models."card"]
gpu_second = 0.001
"""
RUNS = st.lists(st.tuples(st.floats(0, 100), st.booleans()), min_size=1, max_size=8)


def prices(tmp_path: Path, text: str = PRICES) -> Prices:
    path = tmp_path / "prices.toml"
    path.write_text(text, encoding="utf-8")
    return Prices.load(path)


def test_tokens_are_paid_by_the_million_and_cached_ones_less(tmp_path: Path) -> None:
    found = prices(tmp_path)
    assert found.currency == "EUR"
    assert found.cost("small", 1_000_000, 400_000, 500_000) == pytest.approx(0.6 + 0.1 + 2.0)
    assert found.cost("plain", 1_000_000, 400_000, 0) == pytest.approx(2.0)
    assert found.cost("card", 10, 0, 10, seconds=30) == pytest.approx(0.03)
    assert found.cost("small", 0, 0, 0) == 0


def test_a_model_without_a_price_is_named_beside_those_that_have_one(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError) as caught:
        prices(tmp_path).cost("smal", 1, 0, 1)
    assert "'smal'" in caught.value.message and "card, plain, small" in caught.value.message
    assert "did you mean 'small'" in str(caught.value.mend)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (PRICES.replace("4.0", "-4.0"), "small.completion"),
        (PRICES.replace("4.0", "nan"), "small.completion"),
        (PRICES.replace("4.0", "inf"), "small.completion"),
        (PRICES.replace("4.0", '"four"'), "small.completion"),
        (PRICES.replace("completion = 4.0", ""), "needs prompt and completion"),
        (PRICES.replace("gpu_second = 0.001", "gpu_second = 0.001\nprompt = 1.0"), "not both"),
        (PRICES.replace("cached", "cacheed"), "cacheed"),
        (PRICES.replace("prices/1", "prices/2"), "schema"),
        (PRICES.replace('schema = "phronesis/prices/1"', ""), "schema"),
        ('schema = "phronesis/prices/1"\n[models]\n', "models"),
        ("[models", "is not TOML"),
        ("", "schema"),
    ],
)
def test_a_price_file_that_is_wrong_is_refused_by_its_key(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        prices(tmp_path, text)
    assert said in caught.value.message and "prices.toml" in caught.value.message and caught.value.mend


def test_a_price_file_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"none\.toml"):
        Prices.load(tmp_path / "none.toml")
    (tmp_path / "latin.toml").write_bytes(b"# \xff\n")
    with pytest.raises(ConfigurationError, match="UTF-8"):
        Prices.load(tmp_path / "latin.toml")


@pytest.mark.parametrize("usage", [(1, 2, 0), (-1, -1, 0), (1, 0, -1), (math.nan, 0, 0)])
def test_usage_that_cannot_be_has_no_cost(tmp_path: Path, usage: tuple[float, float, float]) -> None:
    with pytest.raises(ValueError, match="usage"):
        prices(tmp_path).cost("small", *usage)
    with pytest.raises(ValueError, match="seconds"):
        prices(tmp_path).cost("card", 1, 0, 1)


def test_cost_of_pass_is_what_the_definition_says() -> None:
    assert cost_of_pass([1, 1, 2, 2], [True, False, True, False]) == 3
    assert cost_of_pass([1, 2], [False, False]) == math.inf
    assert math.isnan(cost_of_pass([], []))
    assert cost_of_pass_posterior([1, 1, 2, 2], [1, 0, 1, 0]) == pytest.approx(1.5 / (3 / 6))
    assert cost_of_pass_posterior([1, 2], [0, 0]) == pytest.approx(1.5 * 4)
    assert math.isnan(cost_of_pass_posterior([], []))
    with pytest.raises(ValueError):
        cost_of_pass([1], [])
    with pytest.raises(ValueError):
        cost_of_pass([-1], [True])


@settings(deadline=None)
@given(RUNS, st.floats(0.1, 10))
def test_prices_scale_the_cost_of_pass(runs: list[tuple[float, bool]], factor: float) -> None:
    costs, passes = [cost for cost, _ in runs], [passed for _, passed in runs]
    for figure in (cost_of_pass, cost_of_pass_posterior):
        assert figure([factor * cost for cost in costs], passes) == pytest.approx(factor * figure(costs, passes))


def test_retrying_until_it_passes_costs_the_cost_of_pass() -> None:
    rng = np.random.default_rng(6)
    spent = []
    for _ in range(6000):
        total = 0.0
        while True:
            total += float(rng.choice([1.0, 3.0]))
            if rng.random() < 0.4:
                break
        spent.append(total)
    assert np.mean(spent) == pytest.approx(2.0 / 0.4, rel=0.06)


def test_the_frontier_is_the_cheapest_way_to_each_answer() -> None:
    assert frontier({"a": math.inf}, expert=20) == 20
    assert frontier({"a": 3.0, "b": 2.0}, expert=20) == 2
    assert frontier({}) == math.inf and frontier({"a": math.nan, "b": 4.0}) == 4
    problems = {"easy": {"small": 1.0, "large": 8.0}, "hard": {"small": math.inf, "large": 10.0}}
    assert task_frontier(problems) == 5.5
    assert task_frontier({**problems, "open": {"small": math.inf, "large": math.inf}}) == math.inf
    assert task_frontier({**problems, "open": {"small": math.inf}}, expert=19) == pytest.approx(10)
    assert math.isnan(task_frontier({}))
    assert essentialness(problems, ["large"]) == math.inf
    assert essentialness(problems, ["large"], expert=20) == pytest.approx(10.5 / 5.5)
    assert essentialness(problems, []) == 1
    assert math.isnan(essentialness({"open": {"small": math.inf}}, ["small"]))


@settings(deadline=None)
@given(st.dictionaries(st.sampled_from("abc"), st.floats(0, 50), max_size=3), st.floats(0, 50), st.floats(0, 50))
def test_a_further_system_never_raises_the_frontier(values: dict[str, float], more: float, expert: float) -> None:
    assert frontier({**values, "more": more}, expert) <= frontier(values, expert) <= expert
    twice = {**values, **{f"{name} again": value for name, value in values.items()}}
    assert frontier(twice, expert) == frontier(values, expert)


def test_the_interval_of_a_cost_of_pass_may_end_at_infinity() -> None:
    sure = [[(1.0, True)] * 8, [(2.0, True)] * 8]
    found = bootstrap_cost_of_pass(sure)
    assert (found.value, found.low, found.high) == (1.5, 1.5, 1.5)
    rare = bootstrap_cost_of_pass([[(1.0, True), *[(1.0, False)] * 3]])
    assert rare.value == 4 and rare.high == math.inf and math.isfinite(rare.low)
    never = bootstrap_cost_of_pass([[(1.0, False)] * 4])
    assert (never.value, never.low) == (math.inf, math.inf)
    capped = bootstrap_cost_of_pass([[(1.0, False)] * 4], expert=20)
    assert (capped.value, capped.high) == (20, 20)
    assert math.isfinite(bootstrap_cost_of_pass([[(1.0, False)] * 4], posterior=True).high)
    assert math.isnan(bootstrap_cost_of_pass([]).value) and math.isnan(bootstrap_cost_of_pass([[]]).value)


def test_the_pooled_cost_needs_one_run_a_question_only() -> None:
    found = pooled_cost_of_pass([[(1.0, True)], [(2.0, False)], [(3.0, True)]] * 20)
    assert found.value == pytest.approx(3.0) and found.low < 3 < found.high < math.inf
    assert pooled_cost_of_pass([[(1.0, False)]]).value == math.inf
    assert pooled_cost_of_pass([[(1.0, True)], [(1.0, False)]]).high == math.inf
    assert math.isnan(pooled_cost_of_pass([]).value) and math.isnan(pooled_cost_of_pass([[]]).value)
    assert pooled_cost_of_pass([[(1.0, True)]] * 3, seed=1) == pooled_cost_of_pass([[(1.0, True)]] * 3, seed=1)


def test_pte_is_what_the_paper_counts() -> None:
    turns = [Turn(1000, 200), Turn(1500, 100)]
    assert pte(turns, 0.00625) == pytest.approx(4687.5)
    assert pte(turns, 0) == 2500
    assert pte([Turn(800, 0)], 0.01) == 800 and pte([], 0.01) == 0
    assert pte([Turn(1000, 200, cached=900)], 0.00625, warm=True) == pytest.approx(100 + 1250)
    assert pte([Turn(1000, 200)], 0.00625, growing=True) == pytest.approx(1000 + 0.00625 * 1100 * 200)
    for turn in (Turn(10, -1), Turn(10, 1, cached=11), Turn(10, 1, cached=-1)):
        with pytest.raises(ValueError, match="turn"):
            pte([turn], 0.01)
    with pytest.raises(ValueError, match="gamma"):
        pte([], -0.1)


@settings(deadline=None)
@given(st.integers(0, 5000), st.integers(0, 3000), st.integers(0, 3000), st.floats(0, 0.05), st.integers(0, 5000))
def test_splitting_a_reply_never_makes_it_cheaper_and_a_cache_never_dearer(
    prefill: int, first: int, second: int, rate: float, cached: int
) -> None:
    whole = pte([Turn(prefill, first + second)], rate)
    assert pte([Turn(prefill, first), Turn(prefill + first, second)], rate) >= whole * (1 - 1e-12)
    turn = Turn(prefill, first, min(cached, prefill))
    assert pte([turn], rate, warm=True) <= pte([turn], rate)


def test_gamma_reproduces_the_papers_table() -> None:
    h100 = HOI["h100"]
    assert gamma(32, 4096, h100, 8e9, 8 / 32) == pytest.approx(0.00620, abs=5e-6)
    assert gamma(48, 2048, h100, 3.3e9, 4 / 32) == pytest.approx(GAMMAS["qwen3-30b-a3b"], abs=5e-6)
    assert gamma(64, 5120, h100, 31.2e9, 8 / 64) == pytest.approx(GAMMAS["qwen3-32b"], abs=2e-5)
    assert gamma(36, 4096, h100, 8.2e9, 8 / 32) == pytest.approx(0.0068, abs=5e-5)
    with pytest.raises(ValueError, match="active"):
        gamma(32, 4096, h100, 0)


def test_eflops_are_those_of_the_papers_script() -> None:
    model = (8.19e9, 32, 8, 128 * 36)
    one, eight = eflops(*model, 200, 8000), eflops(*model, 200, 8000, 8)
    assert one == pytest.approx((150.858, 2786.918), abs=1e-3)
    assert eight == pytest.approx((1206.865, 21366.374), abs=1e-3)
    assert eight.total == pytest.approx(sum(eight))
    assert eflops(*model, 200, 0) == (0, 0)
    with pytest.raises(ValueError):
        eflops(*model, -1, 10)


@settings(deadline=None)
@given(st.integers(0, 4000), st.integers(1, 4000), st.integers(1, 16))
def test_eflops_grow_as_attention_does(context: int, generated: int, trials: int) -> None:
    model = (1e9, 16, 4, 2048)
    found, longer = eflops(*model, context, generated, trials), eflops(*model, context, 2 * generated, trials)
    assert longer.memory >= 2 * found.memory * (1 - 1e-12)
    assert found.compute == pytest.approx(trials * eflops(*model, context, generated).compute)
    assert found.memory <= trials * eflops(*model, context, generated).memory * (1 + 1e-12)


def request() -> list[Exchange]:
    return [
        Exchange(kind="model", start=0, end=4, prompt_tokens=100, cached_tokens=40, completion_tokens=20,
                 origins={"instruction": 60, "question": 30}, parts={"prefill": 1, "decode": 2.5}),
        Exchange(kind="tool", start=4, end=9, parents=(0,)),
        Exchange(kind="model", start=4, end=7, parents=(0,), prompt_tokens=50, completion_tokens=10),
        Exchange(kind="model", start=10, end=12, parents=(1, 2), prompt_tokens=130, cached_tokens=100,
                 completion_tokens=5, origins={"tool": 10}),
    ]  # fmt: skip


def test_parts_of_a_request_add_up() -> None:
    found = account(request())
    assert (found.model_calls, found.tool_calls) == (3, 1)
    assert found.cached_tokens + found.uncached_tokens == found.prompt_tokens == 280
    assert sum(found.origins.values()) == found.prompt_tokens + found.completion_tokens
    assert sum(found.parts.values()) == pytest.approx(found.summed) == 14
    assert found.parts["tool"] == 5 and found.parts["other"] == pytest.approx(5.5)
    assert (found.critical, found.busy, found.wall) == (11, 11, 12)
    assert (found.model_idle, found.tool_idle) == (3, 2)
    assert found.idle_share == pytest.approx(2 / 12) and found.cache_hit_rate == 0.5


def test_a_request_without_exchanges_has_no_shares() -> None:
    found = account([])
    assert found.wall == found.critical == found.summed == 0
    assert found.idle_share is None and found.cache_hit_rate is None


@settings(deadline=None)
@given(st.lists(st.tuples(st.floats(0, 5), st.floats(0, 9), st.booleans(), st.integers(0, 9)), max_size=8))
def test_the_critical_path_is_no_longer_than_the_wall_clock_nor_that_than_the_sum(
    rows: list[tuple[float, float, bool, int]],
) -> None:
    made: list[Exchange] = []
    for wait, seconds, tool, parent in rows:
        parents = (parent % len(made),) if made and parent < 8 else ()
        begin = max((made[at].end for at in parents), default=0.0) + wait
        made.append(Exchange(kind="tool" if tool else "model", start=begin, end=begin + seconds, parents=parents))
    found = account(made)
    near = 1e-9
    assert found.critical <= found.busy + near and found.busy <= found.wall + near and found.busy <= found.summed + near
    assert found.idle_share is None or -near <= found.idle_share <= 1 + near
    assert sum(found.parts.values()) == pytest.approx(found.summed)


@pytest.mark.parametrize(
    ("broken", "said"),
    [
        (Exchange(kind="model", start=5, end=4), "before its start"),
        (Exchange(kind="model", start=9, end=9, parents=(4,)), "no earlier exchange"),
        (Exchange(kind="model", start=3, end=9, parents=(0,)), "has ended"),
        (Exchange(kind="model", start=12, end=13, cached_tokens=1), "token counts"),
        (Exchange(kind="model", start=12, end=13, prompt_tokens=1, origins={"tool": 2}), "origins"),
        (Exchange(kind="model", start=12, end=13, parts={"decode": 2}), "more seconds"),
    ],
)
def test_an_exchange_that_cannot_be_is_named(broken: Exchange, said: str) -> None:
    with pytest.raises(ValueError, match=said) as caught:
        account([*request(), broken])
    assert "exchange 4" in str(caught.value)


def test_latency_and_energy_over_requests() -> None:
    found = latency([float(at) for at in range(1, 101)])
    assert found.mean == 50.5 and found.p95 == 95 and found.variance == pytest.approx(833.25)
    assert all(math.isnan(value) for value in latency([]))
    assert latency([2.0]) == (2.0, 0.0, 2.0)
    assert energy(300, 12) == 1.0
    with pytest.raises(ValueError):
        energy(-1, 1)
    assert all(after >= before for before, after in pairwise([energy(10, seconds) for seconds in (0, 1, 2)]))
