"""Retry: the loop, what a retry is shown, when it stops, the vote, re-selection of concepts, failures, budgets, cuts."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from scripted_roles import answers
from strategy_runs import TASK, Said, boxed, cut_everywhere, journal_of, recipe_of, solve, tried

import phronesis
from phronesis.agents.retrier import outcome_of
from phronesis.core.concept import Concept
from phronesis.core.result import Candidate, Result
from phronesis.core.task import Message, Task
from phronesis.memory.recall import DISCLAIMER
from phronesis.testing import FakeRequest, FakeServer, Fault

REFUSED = Fault(status=400, message="scripted refusal")


def right(value: int) -> str:
    return f"Step 1: {value} + 0 = {value}.\nSo \\boxed{{{value}}}"


def wrong(value: int) -> str:
    return f"Step 1: {value} + 1 = {value}.\nSo \\boxed{{{value}}}"


def is_retry(request: FakeRequest) -> bool:
    return "was not accepted" in request.user


def turn(request: FakeRequest) -> int:
    """Which attempt of its thread a retry shows, by the tag in it."""
    return int(re.findall(r"boxed\{(\d+)\}", request.messages[-2]["content"])[-1])


def script(*first: Said, then: dict[int, Said] | None = None) -> Callable[[FakeRequest, int], Said]:
    """First attempts by thread; a retry by the answer it is shown."""
    return lambda request, index: (then or {})[turn(request)] if is_retry(request) else first[index]


def retried(reply: Callable[[FakeRequest, int], Said], **knobs: Any) -> tuple[Result, list[FakeRequest]]:
    """The Result and the requests; the cost law is held to what was asked."""
    with FakeServer(reply) as server:
        recipe = recipe_of("retry", server, **knobs)
        result = solve(recipe)
        law = recipe.strategy.cost(recipe.knobs)
        observed = {
            "T": sum(item.round > 0 for item in result.candidates),
            "P": max((item.round for item in result.candidates), default=0),
        }
        assert law.calls_at(**observed) == tried(result) == server.calls
        assert law.depth_at(**observed) == result.depth
        assert law.least <= (tried(result), result.depth) <= law.most
        return result, list(server.seen)


@pytest.mark.parametrize(
    ("first", "then", "knobs", "answer", "stop", "calls"),
    [
        ((right(1), right(1)), {}, {}, "1", "accepted", 2),
        ((right(1), wrong(2)), {2: right(3)}, {}, "1", "accepted", 3),
        ((wrong(1), wrong(2)), {1: right(3), 2: right(3)}, {}, "3", "accepted", 4),
        ((wrong(1), right(9)), {1: wrong(2), 2: wrong(3)}, {}, "9", "passes", 4),
        ((wrong(1), wrong(2)), {1: wrong(3), 2: wrong(3), 3: wrong(4)}, {}, "4", "passes", 6),
        ((wrong(1), wrong(2)), {1: wrong(3), 2: wrong(3)}, {"max_passes": 2}, "3", "passes", 4),
        ((wrong(1), right(2)), {}, {"max_passes": 1}, "2", "passes", 2),
        ((wrong(1), wrong(2)), {}, {"max_passes": 1}, "1", "passes", 2),
        ((wrong(1), wrong(2)), {}, {"threshold": 0.0}, "1", "accepted", 2),
        ((boxed(5), boxed(6)), {}, {}, "5", "accepted", 2),
    ],
)
def test_the_loop(
    first: tuple[str, ...], then: dict[int, Said], knobs: dict[str, Any], answer: str, stop: str, calls: int
) -> None:
    result, _ = retried(script(*first, then=then), k=2, **knobs)
    assert (result.answer, result.stop_reason, tried(result)) == (answer, stop, calls)


def test_each_retry_is_one_step_of_its_thread_and_sees_the_last_attempt_only() -> None:
    result, seen = retried(script(wrong(1), then={1: wrong(2), 2: right(3)}), k=1)
    assert [(item.id, item.parents, item.round) for item in result.candidates] == [
        ("c0", (), 0), ("c0.r1", ("c0",), 1), ("c0.r2", ("c0.r1",), 2),
    ]  # fmt: skip
    start = seen[0].messages
    for request, before, earlier in ((seen[1], wrong(1), ""), (seen[2], wrong(2), wrong(1))):
        assert request.messages[: len(start)] == start, "the first prompt, whole"
        assert request.messages[len(start)]["content"] == before and len(request.messages) == len(start) + 2
        assert not earlier or earlier not in request.text
        assert 'A check gives it 0.10 of 1; at least 0.50 is needed. Doubtful: "Step 1' in request.user
        assert "Think again" in request.user and "\\boxed{}" in request.user
    assert result.candidates[1].notes.startswith("A check gives it 0.10")


def test_an_attempt_that_cannot_be_read_is_tried_again_without_a_check() -> None:
    def reply(request: FakeRequest, index: int) -> Said:
        return right(4) if is_retry(request) else boxed("who knows")

    result, seen = retried(reply, k=1)
    assert (result.answer, result.stop_reason, answers(result.candidates)) == ("4", "accepted", [None, "4"])
    assert "No final answer could be read" in seen[1].user


def test_threads_vote_by_their_newest_readable_attempt() -> None:
    replies = {1: wrong(5), 2: wrong(5), 3: boxed("unreadable")}
    result, _ = retried(script(wrong(1), wrong(2), wrong(3), then=replies), k=3, max_passes=2)
    assert result.answer == "5"
    voted = next(item for item in result.decisions if item["type"] == "vote")
    assert voted["weights"] == {"5": 2.0, "3": 1.0} and voted["rule"] == "majority"


def test_a_weighted_vote_goes_by_the_scores() -> None:
    first = script(boxed(2), right(1))
    plain, _ = retried(first, k=2, step_reduce="mean")
    weighted, _ = retried(first, k=2, step_reduce="mean", vote="weighted")
    assert (plain.answer, weighted.answer) == ("2", "1"), "the one whose sum was checked scores higher"


def test_words_for_the_outcome() -> None:
    plain = Candidate(id="c0", answer="1", reward=0.25)
    assert outcome_of(plain, 0.5) == "A check gives it 0.25 of 1; at least 0.50 is needed."
    assert outcome_of(plain.model_copy(update={"reward": None}), 0.5) == "It could not be checked."
    steps = plain.model_copy(update={"steps": ("One. ", "Two."), "step_scores": (0.9, 0.2)})
    assert outcome_of(steps, 0.5).endswith('Doubtful: "Two.".')


def test_width_1_and_one_pass_is_direct_with_this_sampling() -> None:
    with FakeServer(script(wrong(8))) as server:
        alone = solve(recipe_of("retry", server, k=1, max_passes=1, scorer="judge"))
        plain = solve(recipe_of("direct", server, temperature=0.7, top_p=0.95))
        assert server.seen[0].body == server.seen[1].body and server.calls == 2
    assert (alone.candidates, alone.answer) == (plain.candidates, plain.answer)


@pytest.mark.parametrize(
    "scorer", ["judge", "step_judge", "generative(votes=1)", "execution(programs=2)", "self_certainty"]
)
def test_any_scorer_checks_within_its_law(scorer: str) -> None:
    with FakeServer() as server:
        recipe = recipe_of("retry", server, k=2, scorer=scorer, threshold=1.0)
        result = solve(recipe)
        law = recipe.strategy.cost(recipe.knobs)
        assert law.least <= (tried(result), result.depth) <= law.most
        assert tried(result) == server.calls
        solver = sum("Work through the problem" in request.text for request in server.seen)
        assert solver and result.status == "ok"


def memory_of(*concepts: Concept) -> None:
    with phronesis.Memory.open("m") as memory:
        memory.add(list(concepts))


REMEMBERED = {"memory__session": "m", "memory__mode": "frozen", "memory__least_similarity": 0.2, "memory__k": 1}


def test_a_retry_recalls_for_its_attempt_and_keeps_the_first_hints() -> None:
    memory_of(
        Concept(situation="what is 7 + 5", suggestion="add slowly"),
        Concept(situation="a check gives it less than is needed", suggestion="count on your fingers"),
    )
    with FakeServer(script(wrong(1), then={1: right(3)})) as server:
        recipe = recipe_of("retry", server, k=1, **REMEMBERED)
        result = solve(recipe)
        first, second = server.seen
        kept = solve(recipe_of("retry", server, k=1, reselect=False, **REMEMBERED))
        assert "count on your fingers" not in "".join(item.text for item in server.seen[2:])
    assert "add slowly" in first.user and "count on your fingers" not in first.user
    assert second.messages[: len(first.messages)] == first.messages
    assert "count on your fingers" in second.user and "add slowly" not in second.user, "shown once, and not again"
    assert result.memory is not None and kept.memory is not None
    assert [item.id for item in result.memory.recalled if item.rendered] == ["c1", "c2"]
    keys = [event["key"] for event in journal_of(result) if event["type"] == "recall"]
    assert keys == ["memory#recall", "c0/r1/memory#recall"]


def test_a_selector_is_asked_again_with_the_attempt_and_paid_by_the_thread() -> None:
    memory_of(
        Concept(situation="sums", suggestion="add slowly"), Concept(situation="more sums", suggestion="use fingers")
    )

    def reply(request: FakeRequest, index: int) -> Said:
        if "Choose at most" in request.user:
            return '{"ids": ["c2"]}' if "A check gives it" in request.user else '{"ids": ["c1"]}'
        return right(3) if is_retry(request) else wrong(index)

    with FakeServer(reply) as server:
        keys = {**REMEMBERED, "memory__least_similarity": -1.0, "memory__select": "ids"}
        result = solve(recipe_of("retry", server, k=2, **keys))
        assert tried(result) == server.calls == 1 + 2 + 2 + 2
    assert result.usage.by_role["selector"].calls == 3
    assert result.depth == 1 + 1 + 1 + 1, "threads are side by side"
    assert result.memory is not None
    assert [item.id for item in result.memory.recalled if item.rendered] == ["c1", "c2"]


def test_without_a_memory_nothing_is_recalled() -> None:
    _, seen = retried(script(wrong(1), then={1: right(2)}), k=1)
    assert all(DISCLAIMER not in request.text for request in seen)


def test_the_conversation_goes_with_every_retry() -> None:
    task = Task(
        messages=(
            Message(role="system", content="Be brief."),
            Message(role="user", content="Hi."),
            Message(role="assistant", content="Hello."),
            Message(role="user", content="How many?"),
        )
    )
    with FakeServer(script(wrong(1), then={1: right(2)})) as server:
        solve(recipe_of("retry", server, k=1), task)
        for request in server.seen:
            assert [item["content"] for item in request.messages[:3]] == ["Be brief.", "Hi.", "Hello."]


def test_a_failed_first_attempt_is_a_dead_thread_and_survivors_go_on() -> None:
    def fault(request: FakeRequest, number: int) -> Fault | None:
        return REFUSED if not is_retry(request) else None

    with FakeServer(script(right(1)), faults=fault) as server:
        result = solve(recipe_of("retry", server, k=2))
    assert (result.status, result.answer, result.stop_reason) == ("failed", None, "failed")


def test_a_lost_retry_leaves_its_thread_as_it_was() -> None:
    seen: list[int] = []

    def fault(request: FakeRequest, number: int) -> Fault | None:
        if is_retry(request):
            seen.append(number)
        return REFUSED if is_retry(request) and len(seen) == 1 else None

    with FakeServer(script(wrong(1), then={1: right(2)}), faults=fault) as server:
        result = solve(recipe_of("retry", server, k=1))
    assert [item.status for item in result.candidates] == ["ok", "failed", "ok"]
    assert (result.answer, result.stop_reason) == ("2", "accepted")
    assert result.candidates[2].parents == ("c0",)


def test_a_scorer_that_fails_accepts_nothing() -> None:
    def fault(request: FakeRequest, number: int) -> Fault | None:
        return REFUSED if "Is the final answer" in request.text else None

    with FakeServer(lambda request, index: right(3), faults=fault) as server:
        result = solve(recipe_of("retry", server, k=1, max_passes=2, scorer="judge"))
        assert any("It could not be checked." in request.user for request in server.seen)
    assert (result.answer, result.stop_reason) == ("3", "passes")
    assert {failure.error for failure in result.failures} and all(item.reward is None for item in result.candidates)


@pytest.mark.parametrize("unit", ["calls", "depth"])
def test_budgets_of_every_size_leave_the_best_so_far(unit: str) -> None:
    chain = {1: wrong(2), 2: wrong(3)}
    for limit in range(6):
        with FakeServer(script(wrong(1), then=chain)) as server:
            result = solve(recipe_of("retry", server, k=1, **{f"budget__{unit}": limit}))
            assert server.calls == tried(result) == result.depth == min(limit, 3), limit
        assert result.stop_reason == (f"budget:{unit}" if limit < 3 else "passes"), limit
        assert result.answer == (None if limit == 0 else str(min(limit, 3))), limit


@pytest.mark.parametrize("limit", ["seconds", "tokens"])
def test_nothing_allowed(limit: str) -> None:
    with FakeServer(script(wrong(1))) as server:
        result = solve(recipe_of("retry", server, **{f"budget__{limit}": 0}))
        assert server.requests == 0
    assert (result.status, result.answer, result.stop_reason) == ("failed", None, f"budget:{limit}")


def by_request(request: FakeRequest, index: int) -> Said:
    """A function of the request alone, so that it answers a resumed run as it did the first."""
    value = (request.fingerprint + index) % 9
    if "Choose at most" in request.user:
        return f'{{"ids": ["c{1 + value % 2}"]}}'
    return right(value) if value > 6 else wrong(value) if value > 1 else boxed("x")


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_a_power_cut_after_every_line_costs_nothing_twice(seed: int) -> None:
    memory_of(
        Concept(situation="sums", suggestion="add slowly"), Concept(situation="more sums", suggestion="use fingers")
    )
    keys = {**REMEMBERED, "memory__least_similarity": -1.0, "memory__select": "ids"}
    with FakeServer(by_request) as server:
        recipe = recipe_of("retry", server, k=2, seed=seed, **keys)
        result = cut_everywhere(recipe, server, TASK)
        assert solve(recipe).comparable() == result.comparable()
