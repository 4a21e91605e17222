"""Early-stop vote: when it stops, what it costs, that batches decide and not arrival, budgets, failures, power cuts."""

from __future__ import annotations

import random
from collections import Counter
from typing import Any

import pytest
from scripted_roles import answers, votes
from strategy_runs import boxed, by_seed, cut_everywhere, go, recipe_of, solve, tried

import phronesis
from phronesis.core.errors import RecipeError
from phronesis.core.result import Result
from phronesis.graphs.recipe import Recipe
from phronesis.testing import FakeRequest, FakeServer, Fault

REFUSED = Fault(status=400, message="scripted refusal")


class InTurn:
    """Gives answers out in the order of the requests: batches follow one another, so the i-th attempt gets the i-th."""

    def __init__(self, given: str) -> None:
        self.given = given
        self.at = 0

    def __call__(self, request: FakeRequest, index: int) -> str:
        self.at += 1
        return boxed(self.given[(self.at - 1) % len(self.given)], f"Attempt {self.at}.")


def stopping(result: Result) -> list[dict[str, Any]]:
    return [item for item in result.decisions if item["key"].startswith("stopping")]


@pytest.mark.parametrize(
    ("given", "knobs", "attempts", "batches", "stop", "answer"),
    [
        ("1111", {}, 4, 1, "sure", "1"),
        ("11121111", {}, 8, 2, "sure", "1"),
        ("1212121212", {"most": 10}, 10, 3, "most", "1"),
        ("12x2222222", {"first": 2, "batch": 3, "most": 20}, 8, 3, "sure", "2"),
        ("1111", {"first": 1, "batch": 1}, 4, 4, "sure", "1"),
        ("xxxx", {"most": 8}, 8, 2, "most", None),
        ("1111", {"first": 9, "most": 4}, 4, 1, "sure", "1"),
        ("1111", {"confidence": 0.99, "most": 40}, 8, 2, "sure", "1"),
        ("123441444444444", {"rule": "window", "first": 3, "batch": 3}, 9, 3, "sure", "4"),
        ("111211112", {"rule": "window", "first": 3, "batch": 3}, 3, 1, "sure", "1"),
        ("11x111", {"rule": "window", "first": 3, "batch": 3}, 6, 2, "sure", "1"),
        ("12111111", {"rule": "share", "first": 2}, 4, 2, "sure", "1"),
        ("12345111", {"rule": "share", "first": 2, "most": 8, "share": 0.9}, 8, 3, "most", "1"),
    ],
)
def test_when_it_stops(
    given: str, knobs: dict[str, Any], attempts: int, batches: int, stop: str, answer: str | None
) -> None:
    with FakeServer(InTurn(given)) as server:
        recipe = recipe_of("early_stop_vote", server, **knobs)
        result = solve(recipe)
        assert server.calls == attempts and server.requests == batches
    assert (tried(result), result.depth, result.stop_reason, result.answer) == (attempts, batches, stop, answer)
    law = recipe.strategy.cost(recipe.knobs)
    observed = {name: value for name, value in {"A": attempts, "B": batches}.items() if name in law.observables}
    assert (law.calls_at(**observed), law.depth_at(**observed)) == (attempts, batches)
    assert law.least[0] <= attempts <= law.most[0] and law.least[1] <= batches <= law.most[1]
    assert len(votes(result)) == len(stopping(result)) == batches
    assert [item.id for item in result.candidates] == [f"c{index}" for index in range(attempts)]


def test_the_decision_shows_what_it_saw() -> None:
    with FakeServer(InTurn("11121111")) as server:
        result = solve(recipe_of("early_stop_vote", server))
    first, second = stopping(result)
    assert (first["attempts"], first["leader"], first["runner_up"], first["stop"]) == (4, 3, 1, False)
    assert first["figure"] == 0.8125
    assert (second["attempts"], second["leader"], second["runner_up"], second["stop"]) == (8, 7, 1, True)


def test_most_at_once_is_self_consistency() -> None:
    with FakeServer(by_seed(*range(4)), max_n=1) as server:
        early = solve(recipe_of("early_stop_vote", server, first=7, most=7))
        plain = solve(recipe_of("self_consistency", server, k=7))
        bodies = [sorted(str(request.body) for request in server.seen[start : start + 7]) for start in (0, 7)]
    assert bodies[0] == bodies[1]
    assert (early.candidates, early.answer) == (plain.candidates, plain.answer)


def test_batches_decide_and_not_the_order_of_arrival() -> None:
    with FakeServer(by_seed(1, 1, 2), max_n=1) as server:
        recipe = recipe_of("early_stop_vote", server, first=3, batch=3, most=15)
        found = []
        for turn in range(4):
            pauses = random.Random(turn)
            server.latency = lambda request, pauses=pauses: pauses.random() / 50
            found.append(solve(recipe).comparable())
    assert all(item == found[0] for item in found)


def test_no_attempt_is_drawn_under_the_seed_of_another() -> None:
    with FakeServer(InTurn("12"), max_n=1) as server:
        solve(recipe_of("early_stop_vote", server, most=12))
        seeds = Counter(request.body["seed"] for request in server.seen)
        first = {str({**request.body, "seed": 0}) for request in server.seen}
    assert len(seeds) == 12 and len(first) == 1


def test_budgets_of_every_size() -> None:
    for limit in range(12):
        with FakeServer(InTurn("1212121212")) as server:
            result = solve(recipe_of("early_stop_vote", server, most=10, budget__calls=limit))
            assert server.calls == tried(result) == min(limit, 10), limit
        assert result.stop_reason == ("budget:calls" if limit < 10 else "most"), limit
        assert result.answer == ("1" if limit else None), limit


@pytest.mark.parametrize(
    ("limit", "value", "calls"), [("depth", 2, 8), ("depth", 0, 0), ("seconds", 0, 0), ("tokens", 0, 0)]
)
def test_other_limits(limit: str, value: int, calls: int) -> None:
    with FakeServer(InTurn("12")) as server:
        result = solve(recipe_of("early_stop_vote", server, most=20, **{f"budget__{limit}": value}))
        assert server.calls == calls
    assert (result.stop_reason, result.answer) == (f"budget:{limit}", "1" if calls else None)


def test_survivors_vote_and_lost_attempts_count_as_drawn() -> None:
    def faults(request: FakeRequest, number: int) -> Fault | None:
        return REFUSED if number == 1 else None

    with FakeServer(InTurn("1"), faults=faults) as server:
        result = solve(recipe_of("early_stop_vote", server, first=2, batch=2, most=12))
    assert answers(result.candidates) == ["1", "1", None, None, "1", "1"]
    assert (result.answer, result.stop_reason, tried(result), result.usage.failed_calls) == ("1", "sure", 6, 2)


def test_all_failing_is_a_failed_run() -> None:
    with FakeServer(InTurn("1"), faults=lambda request, number: REFUSED) as server:
        result = solve(recipe_of("early_stop_vote", server, most=8))
    assert (result.status, result.answer, result.stop_reason, tried(result)) == ("failed", None, "failed", 8)


def test_a_power_cut_after_every_line_costs_nothing_twice() -> None:
    with FakeServer(by_seed(1, 2, 1), max_n=1) as server:
        result = cut_everywhere(recipe_of("early_stop_vote", server, first=2, batch=2, most=6), server)
    assert result.depth == 3


@pytest.mark.parametrize("rule", ["beta", "window", "share"])
def test_recorded_samples_are_drawn_again_in_other_portions(rule: str) -> None:
    with FakeServer(InTurn("12111111")) as server:
        recorded = solve(recipe_of("self_consistency", server, k=8))
        changed = {"knobs.first": 2, "knobs.batch": 3, "knobs.most": 8, "knobs.rule": rule}
        (again,) = go(phronesis.replay(recorded.run_id, strategy="early_stop_vote", overrides=changed))
        assert server.calls == 8
    drawn = len(again.candidates)
    assert [item.text for item in again.candidates] == [item.text for item in recorded.candidates[:drawn]]
    assert not again.failures and again.usage.calls == drawn
    assert drawn == {"beta": 8, "window": 5, "share": 4}[rule]


@pytest.mark.parametrize(
    ("knobs", "message"),
    [
        ({"rule": "window", "batch": 1}, "a window of one attempt always agrees"),
        ({"rule": "bet"}, "knobs.rule"),
        ({"confidence": 1.0}, "knobs.confidence"),
        ({"confidences": 0.9}, "did you mean 'confidence'"),
        ({"most": 0}, "knobs.most"),
    ],
)
def test_what_a_recipe_may_not_say(knobs: dict[str, Any], message: str) -> None:
    data = {"schema": "phronesis/recipe/1", "name": "wrong", "strategy": "early_stop_vote", "knobs": knobs}
    with pytest.raises(RecipeError) as caught:
        Recipe.from_data(data)
    assert message in str(caught.value)
