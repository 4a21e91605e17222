"""Direct and self-consistency: calls, depth, ties, unreadable replies, budgets, failures, determinism."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from scripted_roles import answers, tried, votes

from phronesis.core.task import Message, Task
from phronesis.graphs.recipe import Recipe
from phronesis.testing import FakeReply, FakeRequest, FakeServer, Fault

Serve = Callable[..., FakeServer]
REFUSED = Fault(status=400, message="scripted refusal")


@pytest.fixture
def serve(monkeypatch: pytest.MonkeyPatch) -> Iterator[Serve]:
    """Starts a server that answers as told and is the configured endpoint."""
    with ExitStack() as stack:

        def start(reply: Any, **options: Any) -> FakeServer:
            server = stack.enter_context(FakeServer(reply, **options))
            monkeypatch.setenv("OPENAI_BASE_URL", server.url)
            return server

        yield start


def boxed(*written: str) -> Callable[[FakeRequest, int], str]:
    """A replier whose i-th sample of a request marks the i-th answer."""
    return lambda request, index: f"Let us see.\nThe answer is \\boxed{{{written[index]}}}."


def direct(**overrides: Any) -> Recipe:
    return Recipe.load("direct", overrides={name.replace("__", "."): value for name, value in overrides.items()})


def self_consistency(k: int, **overrides: Any) -> Recipe:
    keys = {name.replace("__", "."): value for name, value in overrides.items()}
    return Recipe.load("self_consistency", overrides={"knobs.k": k, **keys})


class TestDirect:
    def test_one_greedy_call(self, serve: Serve) -> None:
        server = serve(boxed("42"))
        recipe = direct()
        result = recipe.run("What?")
        assert (result.answer, result.stop_reason, result.status, result.depth) == ("42", "finished", "ok", 1)
        assert server.calls == server.requests == result.usage.calls == 1
        assert server.seen[0].body["temperature"] == 0
        law = recipe.strategy.cost(recipe.knobs)
        assert (law.calls_at(), law.depth_at()) == law.least == law.most == (1, 1)
        assert result.answer_text == "Let us see.\nThe answer is \\boxed{42}."

    def test_the_conversation_reaches_the_server(self, serve: Serve) -> None:
        server = serve(boxed("42"))
        turns = (("system", "Be brief."), ("user", "Hi."), ("assistant", "Hello."), ("user", "How many {{x}}?"))
        task = Task(messages=tuple(Message(role=role, content=text) for role, text in turns), context="Some facts.")
        direct().run(task)
        sent = server.seen[0].messages
        assert [(m["role"], m["content"]) for m in sent[:3]] == list(turns[:3])
        assert sent[3]["content"].startswith("Some facts.\n\nHow many {{x}}?")

    def test_an_unreadable_reply_is_no_answer(self, serve: Serve) -> None:
        serve(lambda request, index: "I cannot tell.")
        result = direct().run("What?")
        assert (result.answer, result.status, result.unparsable, result.stop_reason) == (None, "ok", 1, "finished")

    def test_an_empty_reply_is_unreadable_whatever_was_thought(self, serve: Serve) -> None:
        serve(lambda request, index: FakeReply("", reasoning="It must be \\boxed{3}."))
        result = direct().run("What?")
        assert (result.answer, result.unparsable) == (None, 1)

    def test_a_cut_off_reply_is_read_by_its_mark_only(self, serve: Serve) -> None:
        serve(lambda request, index: "First 3 and 4 make 7, then 7 and 5 make 12, and then")
        result = direct(knobs__max_tokens=9).run("What?")
        assert (result.answer, result.candidates[0].cut_off) == (None, True)

    @pytest.mark.parametrize("fault", [REFUSED, Fault(status=404)])
    def test_a_failed_call_is_a_failed_run(self, serve: Serve, fault: Fault) -> None:
        server = serve(boxed("1"), faults=lambda request, number: fault)
        result = direct().run("What?")
        assert (result.status, result.answer, result.answer_text, result.stop_reason) == ("failed", None, "", "failed")
        assert [failure.error for failure in result.failures] == ["Refused"]
        assert (server.requests, server.calls, result.usage.calls, result.usage.failed_calls) == (1, 0, 0, 1)

    def test_what_passes_is_tried_again(self, serve: Serve) -> None:
        server = serve(boxed("5"), faults=[Fault(status=500, retry_after=0.0)])
        result = direct().run("What?")
        assert (result.answer, result.usage.calls, result.usage.requests, server.requests) == ("5", 1, 2, 2)
        assert not result.failures

    @pytest.mark.parametrize("limit", ["calls", "depth", "seconds", "tokens"])
    def test_nothing_allowed(self, serve: Serve, limit: str) -> None:
        server = serve(boxed("1"))
        result = direct(**{f"budget__{limit}": 0}).run("What?")
        assert (result.status, result.answer, result.stop_reason) == ("failed", None, f"budget:{limit}")
        assert server.requests == 0

    def test_the_same_result_twice(self, serve: Serve) -> None:
        server = serve(lambda request, index: f"\\boxed{{{request.fingerprint}}}")
        first, second = direct().run("What?"), direct().run("What?")
        assert first.comparable() == second.comparable() and first.run_id != second.run_id
        assert server.seen[0].body["seed"] == server.seen[1].body["seed"] != None  # noqa: E711


class TestSelfConsistency:
    @pytest.mark.parametrize("k", [1, 2, 5, 16])
    def test_k_calls_of_depth_1(self, serve: Serve, k: int) -> None:
        server = serve(boxed(*map(str, range(k))))
        recipe = self_consistency(k)
        result = recipe.run("What?")
        law = recipe.strategy.cost(recipe.knobs)
        assert server.calls == result.usage.calls == tried(result) == law.calls_at() == k
        assert result.depth == law.depth_at() == 1 and server.requests == 1
        assert answers(result.candidates) == [str(i) for i in range(k)]
        assert (result.stop_reason, result.answer) == ("finished", "0")

    @pytest.mark.parametrize(
        ("written", "winner", "chosen"),
        [
            ("1 2 2", "2", "c1"),
            ("2 1 1 2", "2", "c0"),
            ("3 1 2", "3", "c0"),
            ("3 1 2 2 1", "1", "c1"),
            ("x 2 x x", "2", "c1"),
            ("x 1 2 2", "2", "c2"),
        ],
    )
    def test_the_most_frequent_and_then_the_first(self, serve: Serve, written: str, winner: str, chosen: str) -> None:
        each = written.split()
        serve(boxed(*each))
        result = self_consistency(len(each)).run("What?")
        assert (result.answer, votes(result)[0]["chosen"]) == (winner, chosen)
        assert result.answer_text == next(item.text for item in result.candidates if item.id == chosen)

    def test_equal_values_vote_together_under_the_first_spelling(self, serve: Serve) -> None:
        serve(boxed("3", "1/2", "3", "0.5", r"\frac{2}{4}", r"\$0.50"))
        result = self_consistency(6).run("What?")
        assert votes(result)[0]["weights"] == {"3": 2.0, "0.5": 4.0}
        assert (result.answer, votes(result)[0]["chosen"]) == ("0.5", "c1")

    def test_nearly_equal_decimals_vote_together(self, serve: Serve) -> None:
        serve(boxed("2", "0.3333333", "1/3", "2", "0.33333333"))
        result = self_consistency(5).run("What?")
        assert (result.answer, votes(result)[0]["weights"]) == ("0.3333333", {"2": 2.0, "0.3333333": 3.0})

    def test_unreadable_replies_are_counted_and_do_not_vote(self, serve: Serve) -> None:
        serve(boxed("x", "y", "7", "x", "x"))
        result = self_consistency(5).run("What?")
        assert (result.answer, result.unparsable, votes(result)[0]["weights"]) == ("7", 4, {"7": 1.0})

    def test_nothing_readable_is_no_answer(self, serve: Serve) -> None:
        serve(boxed(*"xyz"))
        result = self_consistency(3).run("What?")
        assert (result.answer, result.status, result.unparsable, result.answer_text) == (None, "ok", 3, "")

    @pytest.mark.parametrize(("format", "written", "answer"), [
        ("choice", ["B", "(b)", "C.", r"\text{B}"], "B"),
        ("text", ["The Nile", "nile.", "Amazon", " NILE "], "nile"),
    ])  # fmt: skip
    def test_other_formats(self, serve: Serve, format: str, written: list[str], answer: str) -> None:
        serve(boxed(*written))
        result = self_consistency(4).run(Task(messages="Which?", answer_format=format))
        assert (result.answer, votes(result)[0]["weights"][answer]) == (answer, 3.0)

    def test_budgets_of_every_size(self, serve: Serve) -> None:
        written = ["1", "2", "2", "1", "1", "3"]
        server = serve(boxed(*written))
        for budget in range(8):
            server.calls = 0
            recipe = self_consistency(6, budget__calls=budget)
            result = recipe.run("What?")
            assert server.calls == result.usage.calls == min(budget, 6), budget
            assert result.stop_reason == ("budget:calls" if budget < 6 else "finished"), budget
            best = Counter(written[:budget]).most_common(1)[0][0] if budget else None
            assert (result.answer, result.status) == (best, "ok" if budget else "failed"), budget
            assert result.comparable() == recipe.run("What?").comparable(), budget

    @pytest.mark.parametrize("limit", ["depth", "seconds", "tokens"])
    def test_nothing_allowed(self, serve: Serve, limit: str) -> None:
        server = serve(boxed("1", "1"))
        result = self_consistency(2, **{f"budget__{limit}": 0}).run("What?")
        assert (result.status, result.answer, result.stop_reason) == ("failed", None, f"budget:{limit}")
        assert server.requests == 0

    def test_all_failing_is_a_typed_failure(self, serve: Serve) -> None:
        server = serve(boxed("1"), faults=lambda request, number: REFUSED)
        result = self_consistency(3).run("What?")
        assert (result.status, result.answer, result.stop_reason) == ("failed", None, "failed")
        assert [failure.error for failure in result.failures] == ["Refused"] * 3
        assert (server.calls, result.usage.calls, result.usage.failed_calls) == (0, 0, 3)

    def test_survivors_vote_when_some_fail(self, serve: Serve) -> None:
        """One choice per request, so that samples fail singly; a function of the request's seed."""

        def replier(request: FakeRequest, index: int) -> str:
            return f"\\boxed{{{request.body['seed'] % 3}}}"

        def faults(request: FakeRequest, number: int) -> Fault | None:
            return REFUSED if request.body["seed"] % 2 else None

        server = serve(replier, max_n=1, faults=faults)
        result = self_consistency(12).run("What?")
        lost = [item for item in result.candidates if item.status == "failed"]
        assert 0 < len(lost) < 12, "seeds of both kinds"
        assert (server.requests, server.calls, result.usage.calls) == (12, 12 - len(lost), 12 - len(lost))
        assert tried(result) == 12 and len(result.failures) == len(lost)
        assert all(item.answer is None and item.text == "" and item.error is not None for item in lost)
        came = [item.answer for item in result.candidates if item.status == "ok"]
        assert (result.answer, result.status) == (Counter(came).most_common(1)[0][0], "ok")

    def test_arrival_order_changes_nothing(self, serve: Serve) -> None:
        server = serve(lambda request, index: f"\\boxed{{{request.body['seed'] % 4}}}", max_n=1)
        found = []
        for turn in range(4):
            pauses = random.Random(turn)
            server.latency = lambda request, pauses=pauses: pauses.random() / 50
            found.append(self_consistency(12).run("What?").comparable())
        assert found[0] == found[1] == found[2] == found[3]
        assert server.peak > 1

    def test_one_attempt_is_direct_with_this_sampling(self, serve: Serve) -> None:
        server = serve(lambda request, index: "Well, \\boxed{8}.")
        narrow = self_consistency(1).run("What?")
        plain = direct(knobs__temperature=0.7, knobs__top_p=0.95, knobs__max_tokens=512).run("What?")
        assert server.seen[0].body == server.seen[1].body
        assert narrow.candidates == plain.candidates and narrow.answer == plain.answer == "8"

    def test_seeds_of_a_run_are_its_own(self, serve: Serve) -> None:
        server = serve(boxed("1", "1"))
        for seed in (0, 0, 1):
            self_consistency(2, seed=seed).run("What?")
        first, second, third = (request.body["seed"] for request in server.seen)
        assert first == second != third
