"""Weighted vote: sums of scores, rescaling, equal scores, failures of the scorer, budgets, order of arrival, power cuts."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from typing import Any

import pytest
from scripted_roles import role_of, votes
from strategy_runs import Said, boxed, by_seed, cut_everywhere, recipe_of, solve, tried, written

from phronesis.core.result import Result
from phronesis.testing import FakeReply, FakeRequest, FakeServer, Fault

FREE = "self_certainty"
REFUSED = Fault(status=400, message="scripted refusal")


def sure(*attempts: tuple[object, float]) -> Callable[[FakeRequest, int], FakeReply]:
    """Attempts with their self-certainty."""
    return lambda request, index: FakeReply(
        boxed(attempts[index][0], f"Attempt {index}."), logprob=math.log(attempts[index][1])
    )


def voted(attempts: list[tuple[object, float]], **knobs: Any) -> tuple[str | None, str | None, dict[str, float]]:
    """(answer, chosen attempt, weights) of attempts with these scores."""
    with FakeServer(sure(*attempts)) as server:
        result = solve(recipe_of("weighted_vote", server, n=len(attempts), scorer=FREE, **knobs))
    (vote,) = votes(result)
    assert result.answer == vote["answer"]
    return result.answer, vote["chosen"], vote["weights"]


def test_scores_are_summed_and_the_best_of_the_winners_is_chosen() -> None:
    answer, chosen, weights = voted([(1, 0.9), (2, 0.5), (2, 0.6), (3, 0.8)])
    assert (answer, chosen) == ("2", "c2")
    assert weights == pytest.approx({"1": 0.9, "2": 1.1, "3": 0.8})


def test_a_score_outweighs_numbers_where_it_is_much_higher() -> None:
    assert voted([(1, 0.1), (1, 0.2), (2, 0.9)])[:2] == ("2", "c2")


def test_rescaled_scores_spread_over_the_whole_interval() -> None:
    attempts = [(1, 0.80), (1, 0.81), (2, 0.90)]
    assert voted(attempts)[0] == "1"
    answer, chosen, weights = voted(attempts, scale="min_max")
    assert (answer, chosen) == ("2", "c2") and weights == pytest.approx({"1": 0.1, "2": 1.0})


@pytest.mark.parametrize("scale", ["raw", "min_max"])
@pytest.mark.parametrize("answers", [(1, 2, 2), (3, 1, 2, 2, 1), ("x", 1, 2, "x", 2), (1,), (2, 1), ("x", "y")])
def test_equal_scores_are_self_consistency(scale: str, answers: tuple[object, ...]) -> None:
    with FakeServer(written(*answers)) as server:
        knobs = {"n": len(answers), "scorer": FREE, "scale": scale}
        weighted = solve(recipe_of("weighted_vote", server, **knobs))
        plain = solve(recipe_of("self_consistency", server, k=len(answers)))
    assert weighted.answer == plain.answer
    assert votes(weighted)[0]["chosen"] == votes(plain)[0]["chosen"]


def test_ties_go_to_the_answer_seen_first_and_its_first_best_attempt() -> None:
    assert voted([(2, 0.4), (1, 0.4), (1, 0.2), (2, 0.2)])[:2] == ("2", "c0")
    assert voted([(2, 0.4), (2, 0.5), (2, 0.5)])[:2] == ("2", "c1")


def test_unreadable_attempts_do_not_vote() -> None:
    assert voted([("x", 0.99), ("y", 0.99), (3, 0.1), (4, 0.2)]) == ("4", "c3", pytest.approx({"3": 0.1, "4": 0.2}))


def reading(attempts: dict[str, tuple[object, float]]) -> Callable[[FakeRequest, int], Said]:
    """Attempts by name, and a judge with P(Yes) by the name it reads."""
    names = list(attempts)

    def reply(request: FakeRequest, index: int) -> Said:
        if role_of(request) != "judge":
            return boxed(attempts[names[index]][0], names[index])
        score = next(value[1] for name, value in attempts.items() if name in request.user)
        return FakeReply("Yes", top={" Yes": math.log(score), " No": math.log(1 - score)})

    return reply


def refuse(*names: str) -> Callable[[FakeRequest, int], Fault | None]:
    return lambda request, number: (
        REFUSED if role_of(request) == "judge" and any(name in request.user for name in names) else None
    )


def test_an_attempt_whose_scorer_failed_counts_as_the_others_do_on_average() -> None:
    attempts = {"A.": (1, 0.3), "B.": (2, 0.2), "C.": (2, 0.9)}
    with FakeServer(reading(attempts), faults=refuse("C.")) as server:
        result = solve(recipe_of("weighted_vote", server, n=3, scorer="judge"))
    assert result.answer == "2" and votes(result)[0]["weights"] == pytest.approx({"1": 0.3, "2": 0.45})
    assert votes(result)[0]["chosen"] == "c1" and len(result.failures) == 1 and not result.degraded


def test_a_scorer_that_fails_everywhere_leaves_the_majority_and_says_so() -> None:
    attempts = {"A.": (1, 0.9), "B.": (2, 0.2), "C.": (2, 0.1)}
    with FakeServer(reading(attempts), faults=refuse("A.", "B.", "C.")) as server:
        result = solve(recipe_of("weighted_vote", server, n=3, scorer="judge"))
    assert (result.answer, votes(result)[0]["rule"], len(result.degraded)) == ("2", "majority", 1)
    assert votes(result)[0]["weights"] == {"1": 1.0, "2": 2.0}


def test_equal_texts_are_scored_once_and_vote_each() -> None:
    def reply(request: FakeRequest, index: int) -> Said:
        return reading({"A.": (1, 0.6), "B.": (2, 0.9)})(request, index // 2)

    with FakeServer(reply) as server:
        recipe = recipe_of("weighted_vote", server, n=3, scorer="judge")
        result = solve(recipe)
        assert server.calls == tried(result) == recipe.strategy.cost(recipe.knobs).calls_at(u=2) == 5
    assert votes(result)[0]["weights"] == pytest.approx({"1": 1.2, "2": 0.9}) and result.depth == 2


def test_budgets_of_every_size() -> None:
    attempts = {"A.": (1, 0.1), "B.": (1, 0.2), "C.": (2, 0.9), "D.": (3, 0.3)}
    with FakeServer(reading(attempts)) as server:
        for limit in range(10):
            server.calls = 0
            recipe = recipe_of("weighted_vote", server, n=4, scorer="judge", budget__calls=limit)
            result = solve(recipe)
            assert server.calls == tried(result) == min(limit, 8), limit
            assert result.stop_reason == ("budget:calls" if limit < 8 else "finished"), limit
            assert result.answer == (None if limit == 0 else "1" if limit < 7 else "2"), limit
            assert result.comparable() == solve(recipe).comparable(), limit


@pytest.mark.parametrize("limit", ["depth", "seconds", "tokens"])
def test_nothing_allowed(limit: str) -> None:
    with FakeServer(written(1, 1)) as server:
        result = solve(recipe_of("weighted_vote", server, n=2, scorer=FREE, **{f"budget__{limit}": 0}))
        assert server.requests == 0
    assert (result.status, result.answer, result.stop_reason) == ("failed", None, f"budget:{limit}")


def test_all_attempts_failing_is_a_failed_run() -> None:
    with FakeServer(written(1), faults=lambda request, number: REFUSED) as server:
        result = solve(recipe_of("weighted_vote", server, n=3, scorer=FREE))
    assert (result.status, result.answer, result.stop_reason) == ("failed", None, "failed")


def test_arrival_order_changes_nothing() -> None:
    with FakeServer(by_seed(*range(4)), max_n=1) as server:
        recipe = recipe_of("weighted_vote", server, n=8, scorer="generative(votes=1)")
        found: list[Result] = []
        for turn in range(3):
            pauses = random.Random(turn)
            server.latency = lambda request, pauses=pauses: pauses.random() / 50
            found.append(solve(recipe))
    assert len({str(item.comparable()) for item in found}) == 1


def test_one_attempt_is_direct_with_this_sampling() -> None:
    with FakeServer(lambda request, index: boxed(8)) as server:
        narrow = solve(recipe_of("weighted_vote", server, n=1, scorer="judge"))
        plain = solve(recipe_of("direct", server, temperature=0.7, top_p=0.95))
        assert server.seen[0].body == server.seen[1].body
    assert (narrow.candidates, narrow.answer) == (plain.candidates, plain.answer)


@pytest.mark.parametrize("scorer", [FREE, "judge"])
def test_a_power_cut_after_every_line_costs_nothing_twice(scorer: str) -> None:
    attempts = {name: (value, 0.1 + value / 10) for value, name in enumerate(("A.", "B.", "C.", "D."))}
    with FakeServer(reading(attempts)) as server:
        result = cut_everywhere(recipe_of("weighted_vote", server, n=4, scorer=scorer), server)
    assert result.status == "ok"
