"""Every shipped strategy inside the loop of ``[verify]``: cost, first attempt, names, resume, replay, limits, memory."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest
from strategy_runs import go, journal_of, recipe_of, resume, solve, tried
from test_random_faults import OVERRIDES, fresh_limiters, go_through
from toy_documents import documents

import phronesis
from phronesis.core.errors import RecipeError
from phronesis.core.result import Result
from phronesis.core.task import Message, Task
from phronesis.graphs.nodes.accepting import REJECTED
from phronesis.graphs.recipe import Recipe
from phronesis.graphs.registry import SHIPPED, find
from phronesis.testing import FakeReply, FakeRequest, FakeServer

__all__ = ["fresh_limiters"]

NAMES = sorted(name for name in SHIPPED if not find(name).verifies)
SUM = Task(messages="What is 7 + 5?", id="sum")
HISTORY = (
    Message(role="system", content="You are a careful clerk."),
    Message(role="user", content="A crate holds 12 bottles and I bought 3."),
    Message(role="assistant", content="So you have 36 bottles."),
)
SAID = [{"role": turn.role, "content": turn.content} for turn in HISTORY]
CRATES = Task(messages=(*HISTORY, Message(role="user", content="And how many are left when 5 break?")), id="crates")
SMALL = {
    "k": 3,
    "n": 3,
    "solutions": 3,
    "width": 2,
    "rounds": 1,
    "depth": 1,
    "samples": 2,
    "most": 4,
    "first": 2,
    "batch": 2,
    "programs": 2,
    "max_steps": 2,
    "quality_floor": 2.0,
    "confident": 1.0,
    "wait_for": 3,
}
"""Knobs of any strategy that bear these names; the rest keep their defaults."""
OWN: dict[str, dict[str, Any]] = {"mixed_vote": {"k": 2}, "retry": {"scorer": "judge", "threshold": 1.0}}
VERIFIER = 'generative(votes=1, framing="correct")'
TEXTS = {"p1": "7 + 5 is a sum.", "p2": "A sum is a number.", "p3": "A crate holds bottles."}


class Server:
    """Attempts whose answers differ by request, and the same verdict on all of them."""

    def __init__(self, verdict: str = "No") -> None:
        self.verdict = verdict

    def __call__(self, request: FakeRequest, index: int) -> FakeReply:
        if "Proposed solution" in request.user:
            return FakeReply(f" it all.\nVerdict: {self.verdict}", top={" Yes": -0.5, " No": -1.0})
        if "Write down the one idea" in request.user:
            return FakeReply('{"situation": "two numbers are added", "suggestion": "add them from the right"}')
        value = 20 + (request.fingerprint + index) % 5
        if "Reply with one line of JSON" in request.user:
            return FakeReply(f'{{"type": "final", "text": "{value}"}}')
        return FakeReply(f" {value} + 0 = {value}.\nThe answer is \\boxed{{{value}}}.", top={" Yes": -0.5, " No": -1.0})


@pytest.fixture
def server() -> Iterator[FakeServer]:
    with FakeServer(Server()) as running:
        yield running


def bare(name: str, server: FakeServer, **keys: Any) -> Recipe:
    """The strategy by itself, small, with whatever it needs."""
    strategy = find(name)
    knobs = {key: value for key, value in SMALL.items() if key in strategy.knobs.model_fields}
    knobs |= OWN.get(name, {})
    given: dict[str, Any] = {}
    if strategy.retrieves(strategy.knobs()):
        given["retrieval__kb"] = documents(TEXTS)
    if strategy.uses_tools(strategy.knobs()):
        given["tools__use"] = ["calculator"]
    return recipe_of(name, server, **knobs, **given, **keys)


def wrapped(name: str, server: FakeServer, **keys: Any) -> Recipe:
    return bare(name, server, **{"verify__strategy": VERIFIER, "verify__rounds": 1, **keys})


def verifications(result: Result) -> int:
    """Calls of the loop's own verifier."""
    calls = [event for event in journal_of(result) if event["type"] in ("call", "failure") and "count" in event]
    return sum(event["count"] for event in calls if event["key"].startswith("verify"))


def of_attempt(result: Result, number: int) -> list[Any]:
    prefix = f"v{number}/" if number else ""
    ids = [item.id for item in result.candidates]
    return [
        item
        for item, id in zip(result.candidates, ids, strict=True)
        if (id.startswith(prefix) if prefix else "/" not in id)
    ]


@pytest.mark.parametrize("name", NAMES)
def test_the_first_attempt_is_what_the_strategy_does_by_itself(name: str, server: FakeServer) -> None:
    alone, checked = solve(bare(name, server)), solve(wrapped(name, server))
    assert of_attempt(checked, 0) == list(alone.candidates)
    first = next(item for item in checked.decisions if item.get("rule") == "verdict")
    assert first["answer"] == alone.answer and alone.answer is not None
    ids = [item.id for item in checked.candidates]
    assert len(set(ids)) == len(ids) and of_attempt(checked, 1)
    assert {parent for item in checked.candidates for parent in item.parents} <= set(ids)


@pytest.mark.parametrize("name", NAMES)
def test_an_accepted_first_attempt_costs_one_call_more(name: str, server: FakeServer) -> None:
    server.reply = Server("Yes")
    alone = solve(bare(name, server))
    checked = solve(wrapped(name, server))
    assert checked.stop_reason == "accepted" and checked.answer == alone.answer
    assert (tried(checked), checked.depth) == (tried(alone) + 1, alone.depth + 1)
    assert [item.model_dump() for item in checked.candidates] == [item.model_dump() for item in alone.candidates]


@pytest.mark.parametrize("name", NAMES)
def test_calls_and_depth_are_those_of_the_composed_law(name: str, server: FakeServer) -> None:
    inner, recipe = bare(name, server), wrapped(name, server)
    alone, checked = solve(inner), solve(recipe)
    law = recipe.strategy.cost(recipe.knobs)
    verified = verifications(checked)
    assert checked.stop_reason == "rounds" and verified == 2
    assert law.least[0] <= tried(checked) <= law.most[0]
    assert law.least[1] <= checked.depth <= law.most[1]
    seen = {"A": 2, "V": 2, "X": 0, "Y": 2, "I": tried(checked) - 2, "J": checked.depth - 2}
    named = {key: value for key, value in seen.items() if key in law.observables}
    assert law.calls_at(**named) == tried(checked) and law.depth_at(**named) == checked.depth
    (least, low), (most, high) = inner.strategy.cost(inner.knobs).least, inner.strategy.cost(inner.knobs).most
    assert least <= tried(checked) - 2 - tried(alone) <= most, "the second attempt is within the strategy's own law"
    assert low <= checked.depth - 2 - alone.depth <= high


@pytest.mark.parametrize("name", NAMES)
def test_a_cut_run_goes_on_and_pays_nothing_twice(name: str, server: FakeServer) -> None:
    whole = solve(wrapped(name, server))
    path, total = Path(whole.journal), server.calls
    lines, events = path.read_bytes().splitlines(keepends=True), journal_of(whole)
    start = next(number for number, event in enumerate(events) if event["type"] == "task_started") + 1
    for count in sorted({start, *range(start, len(lines), max(1, len(lines) // 5)), len(lines)}):
        path.write_bytes(b"".join(lines[:count]) + b'{"type": "call", "torn')
        paid = sum(event.get("count", 1) for event in events[:count] if event["type"] == "call")
        before = server.calls
        again = resume(whole.run_id)
        assert again.comparable() == whole.comparable(), f"after {count} lines"
        assert server.calls - before == total - paid, f"after {count} lines"


@pytest.mark.parametrize("name", NAMES)
def test_it_replays_as_it_was(name: str, server: FakeServer) -> None:
    first = solve(wrapped(name, server))
    server.stop()
    (again,) = go(phronesis.replay(first.run_id))
    assert again.comparable() == first.comparable()
    assert not any(failure.error == "NotRecorded" for failure in again.failures)


@pytest.mark.parametrize("name", NAMES)
def test_no_limit_of_calls_is_ever_passed(name: str, server: FakeServer) -> None:
    most = tried(solve(wrapped(name, server)))
    for cap in sorted({1, 2, most // 2, most - 1}):
        result = solve(wrapped(name, server, budget__calls=cap))
        assert tried(result) <= cap, cap
        assert result.stop_reason.startswith("budget:") or result.status == "failed" or tried(result) < cap, cap


@pytest.mark.parametrize("name", NAMES)
def test_a_further_attempt_begins_with_the_conversation_too(name: str, server: FakeServer) -> None:
    result = solve(wrapped(name, server), CRATES)
    made = [event for event in journal_of(result) if event["type"] == "call" and "messages" in event["request"]]
    assert any(event["key"].startswith("v1") for event in made)
    for event in made:
        messages = event["request"]["messages"]
        assert messages[0]["content"].startswith(SAID[0]["content"]), event["key"]
        assert messages[1 : len(SAID)] == SAID[1:], f"{event['key']} lost or changed a turn"
    said = str([event["request"] for event in made if event["key"].startswith("v1")])
    assert "And how many are left" in said


@pytest.mark.parametrize("mode", ["read", "write"])
@pytest.mark.parametrize("name", NAMES)
def test_a_memory_is_read_and_written_to(name: str, mode: str, server: FakeServer) -> None:
    server.reply = Server("Yes")
    with phronesis.Memory.open("m") as memory:
        memory.add([phronesis.Concept(situation="two numbers are added", suggestion="add them from the right")])
    result = solve(wrapped(name, server, memory__mode=mode, memory__session="m"), SUM)
    assert result.status == "ok" and result.stop_reason == "accepted"
    assert result.memory is not None and result.memory.recalled
    server.reply = Server("No")
    rejected = solve(wrapped(name, server, memory__mode=mode, memory__session="m"), SUM)
    gates = [item for item in rejected.decisions if item.get("rule") == "acceptance"]
    assert [(gate["accepted"], gate["reason"]) for gate in gates] == [(False, REJECTED.reason)] * len(gates)
    assert gates or mode == "read"
    assert all(item.outcome == "refused" for item in rejected.memory.written)  # type: ignore[union-attr]  # it is on


@pytest.mark.parametrize(("name", "seed"), [(name, seed) for name in NAMES for seed in range(len(OVERRIDES[name]))])
def test_random_faults_end_in_a_result_that_replays_for_nothing(
    name: str, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    go_through(name, seed, monkeypatch, verify__strategy="generative(votes=1)", verify__rounds=1)


@pytest.mark.parametrize("name", sorted(set(SHIPPED) - set(NAMES)))
def test_what_verifies_itself_is_not_verified_again(name: str, server: FakeServer) -> None:
    with pytest.raises(RecipeError, match="verifies its attempts itself"):
        wrapped(name, server)


class TestWhoVotesForALesson:
    """Attempts of one round are independent; those of a round that was rejected are no witnesses."""

    def test_the_attempts_of_the_answers_own_round(self) -> None:
        drawn: list[object] = []

        def reply(request: FakeRequest, index: int) -> str:
            if "Proposed solution" in request.user:
                return f" it.\nVerdict: {'Yes' if '12' in request.user.split('Proposed')[1] else 'No'}"
            if "Write down the one idea" in request.user:
                return '{"situation": "two numbers are added", "suggestion": "add them from the right"}'
            drawn.append(request)
            value = 12 if len(drawn) > 3 else 11
            return f" 7 + 5 = {value}\n\\boxed{{{value}}}"

        with FakeServer(reply) as server:
            recipe = wrapped("self_consistency", server, memory__mode="write", memory__session="m")
            result = solve(recipe, SUM)
        gate = next(item for item in result.decisions if item.get("rule") == "acceptance")
        assert result.answer == "12" and gate["accepted"] and gate["reason"].startswith("3 of 3 attempts agree")

    def test_one_attempt_a_round_is_one_vote(self, server: FakeServer) -> None:
        server.reply = lambda request, index: (
            " it.\nVerdict: Yes" if "Proposed" in request.user else " 7 + 5 = 12\n\\boxed{12}"
        )
        result = solve(wrapped("direct", server, memory__mode="write", memory__session="m"), SUM)
        gate = next(item for item in result.decisions if item.get("rule") == "acceptance")
        assert not gate["accepted"] and "1 readable attempts" in gate["reason"]


@pytest.mark.parametrize("name", ["drag", "iterdrag"])
def test_demonstrations_are_pinned_for_each_attempt(name: str, server: FakeServer, tmp_path: Path) -> None:
    row = {"question": "What is 1 + 1?", "passages": ["1 + 1 is 2."], "answer": "2"}
    row["trace"] = [{"query": "1 + 1", "answer": "2 [1]."}]
    file = tmp_path / "demos.jsonl"
    file.write_bytes(orjson.dumps(row) + b"\n")
    result = solve(wrapped(name, server, m=1, demos=str(file)))
    assert result.stop_reason == "rounds" and of_attempt(result, 1)


def test_a_memory_is_asked_again_in_each_attempt(server: FakeServer) -> None:
    with phronesis.Memory.open("m") as memory:
        memory.add([phronesis.Concept(situation="two numbers are added", suggestion=f"rule {n}") for n in range(6)])
    keys = {"memory__mode": "read", "memory__session": "m", "memory__k": 2, "reselect": True}
    result = solve(wrapped("retry", server, **keys))
    kinds = [event["key"] for event in journal_of(result) if event["type"] == "recall"]
    assert result.stop_reason == "rounds" and any(key.startswith("v1/") for key in kinds)
    assert len(set(kinds)) == len(kinds)
