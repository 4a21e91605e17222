"""Best of n: who is chosen, what is scored and paid, what happens when the scorer or the budget fails, resume and replay."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from typing import Any

import pytest
from scripted_roles import role_of
from strategy_runs import Said, boxed, by_seed, cut_everywhere, go, recipe_of, solve, tried, written

import phronesis
from phronesis.core.errors import RecipeError
from phronesis.core.result import Result
from phronesis.graphs.recipe import Recipe
from phronesis.testing import FakeReply, FakeRequest, FakeServer, Fault

FREE = "self_certainty"
REFUSED = Fault(status=400, message="scripted refusal")


def sure(*attempts: tuple[object, float]) -> Callable[[FakeRequest, int], FakeReply]:
    """Attempts with their self-certainty."""
    return lambda request, index: FakeReply(
        boxed(attempts[index][0], f"Attempt {index}."), logprob=math.log(attempts[index][1])
    )


def judged(attempts: list[str], scores: dict[str, float]) -> Callable[[FakeRequest, int], Said]:
    """Attempts by index, and a judge whose P(Yes) depends on the attempt it reads."""

    def reply(request: FakeRequest, index: int) -> Said:
        if role_of(request) != "judge":
            return attempts[index]
        score = next(value for text, value in scores.items() if text in request.user)
        return FakeReply("Yes", top={" Yes": math.log(score), " No": math.log(1 - score)})

    return reply


def distinct(result: Result) -> int:
    """u of the cost law."""
    texts = {item.text for item in result.candidates if item.answer is not None}
    return len(texts) if len(texts) > 1 else 0


def choice(result: Result) -> dict[str, Any]:
    return next(item for item in result.decisions if item["key"] == "choice")


@pytest.mark.parametrize(
    ("attempts", "answer", "chosen"),
    [
        ([(1, 0.5), (2, 0.9), (1, 0.6)], "2", "c1"),
        ([(1, 0.5), (2, 0.9), (3, 0.9)], "2", "c1"),
        ([(1, 0.9), (2, 0.9)], "1", "c0"),
        ([("x", 0.99), (2, 0.1), ("y", 0.98)], "2", "c1"),
        ([("x", 0.9), ("y", 0.99)], None, "c0"),
    ],
)
def test_the_highest_score_then_the_first(attempts: Any, answer: str | None, chosen: str) -> None:
    with FakeServer(sure(*attempts)) as server:
        result = solve(recipe_of("best_of_n", server, n=len(attempts), scorer=FREE))
    assert (result.answer, choice(result)["chosen"], result.stop_reason) == (answer, chosen, "finished")
    assert result.answer_text == next(item.text for item in result.candidates if item.id == chosen)


def test_an_unreadable_attempt_scores_0_and_is_not_shown_to_the_scorer() -> None:
    attempts = [boxed("x", "A."), boxed(2, "B."), boxed(3, "C.")]
    with FakeServer(judged(attempts, {"B.": 0.3, "C.": 0.2})) as server:
        result = solve(recipe_of("best_of_n", server, n=3, scorer="judge"))
        assert sum(role_of(request) == "judge" for request in server.seen) == 2
    assert [item.reward for item in result.candidates] == pytest.approx([0.0, 0.3, 0.2])
    assert (result.answer, result.unparsable, result.degraded) == ("2", 1, ())


def test_equal_texts_are_scored_once_and_share_the_score() -> None:
    attempts = [boxed(1, "A."), boxed(2, "B."), boxed(1, "A."), boxed(2, "B."), boxed(2, "B.")]
    with FakeServer(judged(attempts, {"A.": 0.8, "B.": 0.4})) as server:
        recipe = recipe_of("best_of_n", server, n=5, scorer="judge")
        result = solve(recipe)
        assert server.calls == result.usage.calls == 5 + 2
    assert [item.reward for item in result.candidates] == pytest.approx([0.8, 0.4, 0.8, 0.4, 0.4])
    law = recipe.strategy.cost(recipe.knobs)
    assert (law.calls_at(u=2), law.depth_at(u=2)) == (7, result.depth) == (7, 2)


@pytest.mark.parametrize("attempt", [boxed(4), boxed("x")])
def test_where_there_is_nothing_to_choose_nothing_is_scored(attempt: str) -> None:
    with FakeServer(judged([attempt] * 4, {})) as server:
        result = solve(recipe_of("best_of_n", server, n=4, scorer="judge"))
        assert server.calls == 4 and result.depth == 1
    assert choice(result)["chosen"] == "c0" and all(item.reward is None for item in result.candidates)


@pytest.mark.parametrize("n", [1, 2, 5])
@pytest.mark.parametrize("scorer", [FREE, "judge", "generative(votes=2)", "arithmetic", "step_judge", "pairwise"])
def test_the_cost_law_holds(n: int, scorer: str) -> None:
    """Three texts in turn; each scorer's own law says what its share is."""

    def reply(request: FakeRequest, index: int) -> Said:
        if "max_tokens" in request.body and request.body["max_tokens"] == 77:
            value = index % 3
            return f"Step 1: 1 + {value} = {1 + value}.\nStep 2: So it is \\boxed{{{value}}}"
        return FakeReply("Verdict: Yes", top={" Yes": -0.3, " No": -1.3, " A": -0.5, " B": -0.9})

    with FakeServer(reply) as server:
        recipe = recipe_of("best_of_n", server, n=n, scorer=scorer, max_tokens=77)
        result = solve(recipe)
    law, u = recipe.strategy.cost(recipe.knobs), distinct(result)
    observed = {"u": u, "S": 2 * u, "G": u * (u - 1), "D": 2 if u else 0}
    known = {name: value for name, value in observed.items() if name in law.observables}
    assert all(law.observables[name].low <= value <= law.observables[name].high for name, value in known.items())
    assert law.calls_at(**known) == tried(result) == server.calls
    assert law.depth_at(**known) == result.depth
    assert law.least[0] <= tried(result) <= law.most[0] and law.least[1] <= result.depth <= law.most[1]
    assert not result.degraded and not result.failures


@pytest.mark.parametrize(
    ("reduce", "answer"), [("min", "1"), ("prod", "2"), ("last", "2"), ("mean", "2"), ("geo_mean", "2")]
)
def test_step_scores_are_reduced_as_told(reduce: str, answer: str) -> None:
    """Chain 1 has the steps .6 .6 .6, chain 2 has .5 1 1 (all but)."""
    attempts = [
        "\n".join([f"Step {i}: A{i}." for i in (1, 2)] + ["Step 3: \\boxed{1}"]),
        "\n".join([f"Step {i}: B{i}." for i in (1, 2)] + ["Step 3: \\boxed{2}"]),
    ]

    def reply(request: FakeRequest, index: int) -> Said:
        if "checked step by step" not in request.user:
            return attempts[index]
        score = 0.6 if "A1" in request.user else 0.5 if "B2" not in request.user else 0.999
        return FakeReply("Yes", top={" Yes": math.log(score), " No": math.log(1 - score)})

    with FakeServer(reply) as server:
        result = solve(recipe_of("best_of_n", server, n=2, scorer="step_judge", step_reduce=reduce))
    assert result.answer == answer


def test_a_scorer_that_fails_everywhere_leaves_the_majority_and_says_so() -> None:
    def faults(request: FakeRequest, number: int) -> Fault | None:
        return REFUSED if role_of(request) == "judge" else None

    with FakeServer(written(1, 2, 2), faults=faults) as server:
        result = solve(recipe_of("best_of_n", server, n=3, scorer="judge"))
    assert (result.answer, choice(result)["rule"], choice(result)["chosen"]) == ("2", "majority", "c1")
    assert len(result.degraded) == 1 and "'judge' scored no attempt" in result.degraded[0]
    assert [failure.error for failure in result.failures] == ["Refused"] * 3
    assert (result.status, result.usage.failed_calls) == ("ok", 3)


def test_an_attempt_whose_scorer_failed_is_not_chosen() -> None:
    def faults(request: FakeRequest, number: int) -> Fault | None:
        return REFUSED if role_of(request) == "judge" and "B." in request.user else None

    attempts = [boxed(1, "A."), boxed(2, "B."), boxed(3, "C.")]
    with FakeServer(judged(attempts, {"A.": 0.1, "B.": 0.9, "C.": 0.2}), faults=faults) as server:
        result = solve(recipe_of("best_of_n", server, n=3, scorer="judge"))
    assert (result.answer, result.degraded, len(result.failures)) == ("3", (), 1)


def test_budgets_of_every_size() -> None:
    attempts = [boxed(value, f"{name}.") for name, value in zip("ABCD", (1, 1, 2, 3), strict=True)]
    scores = {"A.": 0.2, "B.": 0.3, "C.": 0.4, "D.": 0.5}
    with FakeServer(judged(attempts, scores)) as server:
        for limit in range(10):
            server.calls = 0
            recipe = recipe_of("best_of_n", server, n=4, scorer="judge", budget__calls=limit)
            result = solve(recipe)
            assert server.calls == tried(result) == min(limit, 8), limit
            assert result.stop_reason == ("budget:calls" if limit < 8 else "finished"), limit
            wanted = {0: None, 1: "1", 2: "1", 3: "1", 4: "1", 5: "1", 6: "1", 7: "2"}.get(limit, "3")
            assert result.answer == wanted, limit
            assert result.comparable() == solve(recipe).comparable(), limit


@pytest.mark.parametrize("limit", ["depth", "seconds", "tokens"])
def test_nothing_allowed(limit: str) -> None:
    with FakeServer(written(1, 1)) as server:
        result = solve(recipe_of("best_of_n", server, n=2, scorer=FREE, **{f"budget__{limit}": 0}))
        assert server.requests == 0
    assert (result.status, result.answer, result.stop_reason) == ("failed", None, f"budget:{limit}")


def test_a_depth_of_1_leaves_no_room_for_a_judge() -> None:
    with FakeServer(written(1, 2, 2)) as server:
        result = solve(recipe_of("best_of_n", server, n=3, scorer="judge", budget__depth=1))
    assert (result.answer, result.depth, result.stop_reason) == ("2", 1, "budget:depth")
    assert result.degraded


def test_all_attempts_failing_is_a_failed_run() -> None:
    with FakeServer(written(1), faults=lambda request, number: REFUSED) as server:
        result = solve(recipe_of("best_of_n", server, n=3, scorer="judge"))
        assert server.requests == 1
    assert (result.status, result.answer, result.stop_reason, result.answer_text) == ("failed", None, "failed", "")


def test_arrival_order_changes_nothing() -> None:
    with FakeServer(by_seed(*range(5)), max_n=1) as server:
        recipe = recipe_of("best_of_n", server, n=6, scorer="generative(votes=1)")
        found = []
        for turn in range(3):
            pauses = random.Random(turn)
            server.latency = lambda request, pauses=pauses: pauses.random() / 50
            found.append(solve(recipe).comparable())
    assert found[0] == found[1] == found[2]


@pytest.mark.parametrize("reply", [boxed(8), boxed("x"), ""])
def test_one_attempt_is_direct_with_this_sampling(reply: str) -> None:
    with FakeServer(lambda request, index: reply) as server:
        narrow = solve(recipe_of("best_of_n", server, n=1, scorer="judge"))
        plain = solve(recipe_of("direct", server, temperature=0.7, top_p=0.95))
        assert server.seen[0].body == server.seen[1].body
    assert (narrow.candidates, narrow.answer, narrow.answer_text) == (plain.candidates, plain.answer, plain.answer_text)


@pytest.mark.parametrize("scorer", [FREE, "judge", "pairwise(answers=3)"])
def test_a_power_cut_after_every_line_costs_nothing_twice(scorer: str) -> None:
    def reply(request: FakeRequest, index: int) -> Said:
        chance = 0.1 + (request.fingerprint % 80) / 100
        top = {" Yes": math.log(chance), " No": math.log(1 - chance), " A": -0.5, " B": -0.9}
        return FakeReply(boxed(index % 3, f"Attempt {index % 3}."), top=top)

    with FakeServer(reply) as server:
        result = cut_everywhere(recipe_of("best_of_n", server, n=5, scorer=scorer), server)
    assert result.status == "ok"


@pytest.mark.parametrize("strategy", ["best_of_n", "weighted_vote"])
def test_the_samples_of_self_consistency_are_reused(strategy: str) -> None:
    with FakeServer(written(1, 2, 2, 3)) as server:
        recorded = solve(recipe_of("self_consistency", server, k=4, weights="probability"))
        calls = server.calls
        changed = {"knobs.n": 4, "knobs.scorer": FREE}
        (again,) = go(phronesis.replay(recorded.run_id, strategy=strategy, overrides=changed))
        assert server.calls == calls
    assert [item.text for item in again.candidates] == [item.text for item in recorded.candidates]
    assert not again.failures and again.usage.calls == 4


@pytest.mark.parametrize("strategy", ["best_of_n", "weighted_vote"])
@pytest.mark.parametrize(
    ("knobs", "message"),
    [
        ({"scorer": "juge"}, "did you mean 'judge'"),
        ({"scorer": "generative(vote=2)"}, "did you mean 'votes'"),
        ({"scorer": "generative(votes=none)"}, "votes"),
        ({"scorers": "judge"}, "did you mean 'scorer'"),
        ({"step_reduce": "median"}, "step_reduce"),
        ({"n": 0}, "knobs.n"),
    ],
)
def test_what_a_recipe_may_not_say(strategy: str, knobs: dict[str, Any], message: str) -> None:
    data = {"schema": "phronesis/recipe/1", "name": "wrong", "strategy": strategy, "knobs": knobs}
    with pytest.raises(RecipeError) as caught:
        Recipe.from_data(data)
    assert message in str(caught.value)


def test_what_is_asked_of_the_servers() -> None:
    def needs(**knobs: Any) -> dict[str, Any]:
        recipe = Recipe.load("best_of_n", overrides={f"knobs.{name}": value for name, value in knobs.items()})
        return dict(recipe.strategy.needs(recipe.knobs))

    assert needs(scorer=FREE) == {"solver": ("logprobs",)}
    assert needs(scorer="judge") == {"solver": (), "judge": ("logprobs", "prefill")}
    assert needs(scorer="judge", n=1) == {"solver": ()}
