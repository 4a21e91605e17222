"""Verification around a strategy: calls as the composed law says, every way the loop can stop, what is kept, what is told."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from strategy_runs import cut_everywhere, recipe_of, solve

from phronesis.core.errors import AwaitingAnswer
from phronesis.testing import FakeReply, FakeRequest, FakeServer, Fault

Answers = Callable[[FakeRequest, int], str | FakeReply]


def scripted(answers: list[str], verdicts: list[str]) -> Answers:
    """Attempts and verdicts in the order they are asked for; the last of each goes on for good."""
    said = {"answers": list(answers), "verdicts": list(verdicts)}

    def take(name: str) -> str:
        left = said[name]
        return left.pop(0) if len(left) > 1 else left[0]

    def reply(request: FakeRequest, index: int) -> str:
        judged = "Proposed solution" in request.user
        return f"Verdict: {take('verdicts')}" if judged else f"Answer: {take('answers')}"

    return reply


def verified(server: FakeServer, **keys: object):  # type: ignore[no-untyped-def]  # a recipe
    values = {"verify__strategy": 'generative(votes=1, framing="correct")', "verify__rounds": 2, **keys}
    return recipe_of("direct", server, **values)


def test_an_accepted_first_attempt_ends_it() -> None:
    with FakeServer(scripted(["12"], ["Yes"])) as server:
        result = solve(verified(server))
        assert (result.answer, result.stop_reason, server.calls, result.depth) == ("12", "accepted", 2, 2)
        assert result.strategy == "direct+generative"


def test_a_rejected_attempt_is_made_again_and_told_why() -> None:
    with FakeServer(scripted(["11", "12"], ["No", "Yes"])) as server:
        result = solve(verified(server))
        assert (result.answer, result.stop_reason, server.calls) == ("12", "accepted", 4)
        assert [item.id for item in result.candidates] == ["c0", "v1/c0"]


@pytest.mark.parametrize(("rounds", "calls"), [(0, 2), (1, 4), (3, 8)])
def test_rounds_bound_the_attempts(rounds: int, calls: int) -> None:
    with FakeServer(scripted(["11", "13", "14", "15"], ["No"])) as server:
        recipe = verified(server, verify__rounds=rounds)
        result = solve(recipe)
        assert (result.stop_reason, server.calls) == ("rounds", calls)
        law = recipe.strategy.cost(recipe.knobs)
        assert law.calls_at(A=rounds + 1, V=rounds + 1) == calls == law.most[0]
        assert result.depth == law.most[1]


def test_a_limit_keeps_the_best_so_far() -> None:
    with FakeServer(scripted(["11", "13"], ["No"])) as server:
        result = solve(verified(server, budget__calls=3))
        assert (result.stop_reason, result.answer, server.calls) == ("budget:calls", "11", 3)


def test_a_judge_that_never_parses_accepts_nothing() -> None:
    with FakeServer(scripted(["11", "13", "14"], ["perhaps"])) as server:
        result = solve(verified(server))
        assert result.stop_reason == "rounds"


def test_a_verifier_that_fails_accepts_nothing() -> None:
    def fault(request: FakeRequest, number: int) -> Fault | None:
        return Fault(status=400) if "Proposed solution" in request.user else None

    with FakeServer(scripted(["12"], ["Yes"]), faults=fault) as server:
        result = solve(verified(server))
        assert (result.stop_reason, result.answer) == ("rounds", "12")
        assert result.failures


def test_an_attempt_without_an_answer_is_rejected_without_a_call() -> None:
    with FakeServer(scripted(["I cannot say", "12"], ["Yes"])) as server:
        result = solve(verified(server))
        assert (result.answer, server.calls) == ("12", 3)


def test_a_run_that_was_cut_goes_on_and_pays_nothing_twice() -> None:
    with FakeServer(scripted(["11"], ["No"])) as server:
        result = cut_everywhere(verified(server), server)
        assert result.stop_reason == "repeated"


def test_an_attempt_that_only_repeats_the_one_before_ends_it() -> None:
    with FakeServer(scripted(["11"], ["perhaps"])) as server:
        recipe = verified(server, verify__rounds=5)
        result = solve(recipe)
        assert (result.stop_reason, result.answer, server.calls) == ("repeated", "11", 3)
        assert recipe.strategy.cost(recipe.knobs).calls_at(A=2, V=1) == server.calls
    assert [item.id for item in result.candidates] == ["c0", "v1/c0"]


def test_a_lost_attempt_is_made_again() -> None:
    with FakeServer(
        scripted(["12"], ["Yes"]), faults=lambda request, number: Fault(status=400) if number < 2 else None
    ) as server:
        result = solve(verified(server))
    assert (result.answer, result.stop_reason, len(result.failures)) == ("12", "accepted", 2)


@pytest.mark.parametrize("feedback", [True, False])
def test_an_attempt_may_say_the_same_again_where_it_was_told_something_else(feedback: bool) -> None:
    verdicts = ["Line 1 is wrong.\nVerdict: No", "Line 2 is wrong.\nVerdict: No", "Line 3 is wrong.\nVerdict: No"]

    def reply(request: FakeRequest, index: int) -> str:
        return verdicts.pop(0) if "Proposed solution" in request.user else "Answer: 11"

    with FakeServer(reply) as server:
        result = solve(verified(server, verify__feedback=feedback))
        assert (result.stop_reason, server.calls) == (("rounds", 6) if feedback else ("repeated", 3))


def test_a_person_decides_where_asked() -> None:
    with FakeServer(scripted(["12"], ["Yes"])) as server, pytest.raises(AwaitingAnswer, match="does that stand"):
        solve(verified(server, verify__ask="accept"))


def test_a_verdict_of_programs_says_what_they_gave() -> None:
    programs = ["    return 12", "    return 13", "    return 1 / 0", "    return 12"]

    def reply(request: FakeRequest, index: int) -> str:
        return programs[index] if "solution()" in request.text else "Answer: 12"

    with FakeServer(reply) as server:
        result = solve(verified(server, verify__strategy="execution(programs=4)"))
    (gave,) = [item for item in result.decisions if item.get("rule") == "execution"]
    assert (gave["gave"], gave["failed"]) == ("12, 13, 12", 1)
    (verdict,) = [item for item in result.decisions if item.get("rule") == "verdict"]
    assert (verdict["label"], round(verdict["score"], 3)) == ("accept", 0.667)
