"""Self-refine: the loop, what each turn is shown, when it stops, revisions that cannot be read, failures, budgets, cuts."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
from scripted_roles import answers
from strategy_runs import TASK, Said, boxed, cut_everywhere, recipe_of, solve, tried

from phronesis.agents.self_refine import history_of
from phronesis.core.result import Result
from phronesis.core.task import Message, Task
from phronesis.testing import FakeReply, FakeRequest, FakeServer, Fault

REFUSED = Fault(status=400, message="scripted refusal")
NO, YES = "The sum is wrong.\nVerdict: No", "All is well.\nVerdict: Yes"


def role_of(request: FakeRequest) -> str:
    if "Give feedback on this solution" in request.user:
        return "reviewer"
    return "refiner" if "attempts at it so far" in request.user else "solver"


@dataclass
class Turns:
    """Attempts and feedback by round; the last one of each is repeated."""

    attempts: Sequence[Said]
    feedback: Sequence[Said] = (NO,)
    asked: dict[str, list[FakeRequest]] = field(default_factory=dict)

    def __call__(self, request: FakeRequest, index: int) -> Said:
        role = role_of(request)
        number = len(self.asked.setdefault(role, []))
        self.asked[role].append(request)
        if role == "reviewer":
            return self.feedback[min(number, len(self.feedback) - 1)]
        made = 0 if role == "solver" else number + 1
        return self.attempts[min(made, len(self.attempts) - 1)]

    def count(self, role: str) -> int:
        return len(self.asked.get(role, []))


def refined(turns: Turns, **knobs: Any) -> Result:
    """The Result; the cost law is held to what was asked."""
    with FakeServer(turns) as server:
        recipe = recipe_of("self_refine", server, **knobs)
        result = solve(recipe)
        observed = {"F": turns.count("reviewer"), "R": turns.count("refiner")}
        law = recipe.strategy.cost(recipe.knobs)
        assert law.calls_at(**observed) == tried(result) == server.calls
        assert law.depth_at(**observed) == result.depth
        assert all(law.observables[name].low <= value <= law.observables[name].high for name, value in observed.items())
    return result


THREE = [boxed(1, "First."), boxed(2, "Second."), boxed(3, "Third.")]


@pytest.mark.parametrize(
    ("attempts", "feedback", "knobs", "answer", "chosen", "stop", "calls"),
    [
        (THREE, [YES], {}, "1", "c0", "satisfied", 2),
        (THREE, [NO, YES], {}, "2", "c0.r1", "satisfied", 4),
        (THREE, [NO], {"rounds": 2}, "3", "c0.r2", "rounds", 5),
        (THREE, [NO], {}, "3", "c0.r4", "rounds", 9),
        (THREE, [NO], {"rounds": 0}, "1", "c0", "rounds", 1),
        (THREE, ["No verdict at all.", "**verdict**: **YES**"], {}, "2", "c0.r1", "satisfied", 4),
        (THREE, ["Verdict: Yes\nBut wait.\nVerdict: No", YES], {}, "2", "c0.r1", "satisfied", 4),
        ([boxed(1), boxed(1, "Again.")], [NO], {"until_unchanged": True}, "1", "c0.r1", "unchanged", 3),
        ([boxed("1/2"), boxed("0.5")], [NO], {"until_unchanged": True}, "0.5", "c0.r1", "unchanged", 3),
        ([boxed(1), boxed(1, "Again.")], [NO], {"rounds": 2}, "1", "c0.r2", "rounds", 5),
        ([boxed(1), boxed("x"), boxed(3)], [NO], {"rounds": 1}, "1", "c0", "rounds", 3),
        ([boxed(1), boxed("x"), boxed(3)], [NO], {"rounds": 2}, "3", "c0.r2", "rounds", 5),
        ([boxed(1), ""], [NO], {"rounds": 3}, "1", "c0", "rounds", 7),
        ([boxed("x"), boxed("y"), boxed(3)], [NO], {"rounds": 2}, "3", "c0.r2", "rounds", 5),
        ([boxed("x"), boxed("y")], [YES], {"rounds": 2}, None, "c0.r2", "rounds", 5),
    ],
)
def test_the_loop(
    attempts: list[Said],
    feedback: list[Said],
    knobs: dict[str, Any],
    answer: str | None,
    chosen: str,
    stop: str,
    calls: int,
) -> None:
    result = refined(Turns(attempts, feedback), **knobs)
    assert (result.answer, result.stop_reason, tried(result)) == (answer, stop, calls)
    assert result.answer_text == next(item.text for item in result.candidates if item.id == chosen)


def shown_attempts(request: FakeRequest) -> list[str]:
    return re.findall(r"^(Attempt \d+|Feedback on attempt \d+):\n(.*)$", request.user, re.MULTILINE)


def test_feedback_sees_the_newest_attempt_and_the_refiner_everything_in_order() -> None:
    turns = Turns(THREE, ["One.\nVerdict: No", "Two.\nVerdict: No"])
    refined(turns, rounds=2)
    first, second = turns.asked["reviewer"]
    assert "First." in first.user and "Second." in second.user and "First." not in second.user
    one, two = turns.asked["refiner"]
    assert shown_attempts(one) == [("Attempt 1", "First."), ("Feedback on attempt 1", "One.")]
    assert shown_attempts(two) == [
        *shown_attempts(one),
        ("Attempt 2", "Second."),
        ("Feedback on attempt 2", "Two."),
    ]
    start = one.user.index("Write the solution again")
    assert two.user.startswith(one.user[:start].rstrip()), "a prefix cache holds all but the newest round"


def test_a_revision_that_cannot_be_read_is_not_gone_on_from() -> None:
    turns = Turns([boxed(1, "First."), boxed("x", "Babble."), boxed(3, "Third.")], ["One.", "Two."])
    result = refined(turns, rounds=2)
    assert "First." in turns.asked["reviewer"][1].user and "Babble" not in turns.asked["refiner"][1].user
    assert shown_attempts(turns.asked["refiner"][1]) == [
        ("Attempt 1", "First."),
        ("Feedback on attempt 1", "One."),
        ("Feedback on attempt 1", "Two."),
    ]
    assert [item.parents for item in result.candidates] == [(), ("c0",), ("c0",)]
    assert result.unparsable == 1 and [item.round for item in result.candidates] == [0, 1, 2]
    assert [item.notes for item in result.candidates] == ["", "One.", "Two."]


def test_history_of_nothing_and_of_an_empty_attempt() -> None:
    assert history_of([]) == ""
    assert "(the reply was empty)" in history_of([(" ", "Say something.")])


def test_the_conversation_goes_with_every_turn() -> None:
    turns = Turns(THREE)
    task = Task(
        messages=(
            Message(role="system", content="Be brief."),
            Message(role="user", content="Hi."),
            Message(role="assistant", content="Hello."),
            Message(role="user", content="How many?"),
        ),
        context="Some facts.",
    )
    with FakeServer(turns) as server:
        solve(recipe_of("self_refine", server, rounds=1), task)
        for request in server.seen:
            assert [item["content"] for item in request.messages[:3]] == ["Be brief.", "Hi.", "Hello."]
            assert "Some facts.\n\nHow many?" in request.user and len(request.messages) == 4


def test_sampling_of_the_turns() -> None:
    turns = Turns(THREE)
    refined(turns, rounds=1, max_tokens=99, feedback_tokens=44, temperature=0.3)
    sent = {role: (request.body["max_tokens"], request.body["temperature"]) for role, (request,) in turns.asked.items()}
    assert sent == {"solver": (99, 0.3), "reviewer": (44, 0.3), "refiner": (99, 0.3)}


def test_rounds_0_is_direct_with_this_sampling() -> None:
    with FakeServer(Turns([boxed(8)])) as server:
        alone = solve(recipe_of("self_refine", server, rounds=0))
        plain = solve(recipe_of("direct", server, temperature=0.7, top_p=0.95))
        assert server.seen[0].body == server.seen[1].body
    assert (alone.candidates, alone.answer) == (plain.candidates, plain.answer)


def failing(*wrong: tuple[str, int]) -> Callable[[FakeRequest, int], Fault | None]:
    """Refuses the n-th request of a role, from 0."""
    seen: dict[str, int] = {}

    def fault(request: FakeRequest, number: int) -> Fault | None:
        role = role_of(request)
        at = seen[role] = seen.get(role, -1) + 1
        return REFUSED if (role, at) in wrong else None

    return fault


def with_faults(turns: Turns, *wrong: tuple[str, int], **knobs: Any) -> Result:
    with FakeServer(turns, faults=failing(*wrong)) as server:
        return solve(recipe_of("self_refine", server, **knobs))


def test_a_failed_attempt_is_a_failed_run() -> None:
    result = with_faults(Turns(THREE), ("solver", 0))
    assert (result.status, result.answer, result.stop_reason, tried(result)) == ("failed", None, "failed", 1)


def test_lost_feedback_costs_a_round_and_nothing_else() -> None:
    result = with_faults(Turns(THREE), ("reviewer", 0), rounds=2)
    assert (result.answer, result.stop_reason, tried(result)) == ("2", "rounds", 4)
    assert [failure.where for failure in result.failures] == ["r1 reviewer"]


def test_a_lost_revision_leaves_the_attempt_as_it_was() -> None:
    result = with_faults(Turns(THREE), ("refiner", 0), rounds=2)
    assert answers(result.candidates) == ["1", None, "2"]
    assert [item.parents for item in result.candidates] == [(), ("c0",), ("c0",)]
    assert (result.answer, tried(result), result.usage.failed_calls) == ("2", 5, 1)


def test_empty_feedback_is_lost_feedback() -> None:
    result = refined(Turns(THREE, ["", YES]), rounds=3)
    assert (result.answer, result.stop_reason, tried(result)) == ("1", "satisfied", 3)
    assert [failure.error for failure in result.failures] == ["MalformedReply"]


@pytest.mark.parametrize("unit", ["calls", "depth"])
def test_budgets_of_every_size_leave_the_best_so_far(unit: str) -> None:
    for limit in range(11):
        with FakeServer(Turns(THREE)) as server:
            result = solve(recipe_of("self_refine", server, **{f"budget__{unit}": limit}))
            assert server.calls == tried(result) == result.depth == min(limit, 9), limit
        assert result.stop_reason == (f"budget:{unit}" if limit < 9 else "rounds"), limit
        assert result.answer == {0: None, 1: "1", 2: "1", 3: "2", 4: "2"}.get(limit, "3"), limit


@pytest.mark.parametrize("limit", ["seconds", "tokens"])
def test_nothing_allowed(limit: str) -> None:
    with FakeServer(Turns(THREE)) as server:
        result = solve(recipe_of("self_refine", server, **{f"budget__{limit}": 0}))
        assert server.requests == 0
    assert (result.status, result.answer, result.stop_reason) == ("failed", None, f"budget:{limit}")


def by_request(request: FakeRequest, index: int) -> Said:
    """A function of the request alone, so that it answers a resumed run as it did the first."""
    value = request.fingerprint % 9
    if role_of(request) == "reviewer":
        return FakeReply(f"Doubtful ({value}).\nVerdict: {'Yes' if value == 0 else 'No'}")
    return boxed(value if value else "x", f"Attempt {value}.")


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_a_power_cut_after_every_line_costs_nothing_twice(seed: int) -> None:
    with FakeServer(by_request) as server:
        recipe = recipe_of("self_refine", server, rounds=3, seed=seed)
        result = cut_everywhere(recipe, server, TASK)
        assert solve(recipe).comparable() == result.comparable()
