"""ReAct: interaction scaling, nudges, budgets of every kind, power cuts, tools that may not be called twice."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from agent_runs import TASK, Script, answer, calls, look, run
from strategy_runs import boxed, cut_everywhere, go, journal_of, recipe_of, resume, solve, tried
from toy_tools import CALLED, install

from phronesis.agents.agent import NUDGE, RECHECK
from phronesis.core.result import Result
from phronesis.core.task import Task
from phronesis.graphs.recipe import Recipe
from phronesis.graphs.run import Run
from phronesis.testing import FakeRequest, FakeServer


@pytest.fixture(autouse=True)
def toys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(tmp_path, monkeypatch)


def notes(script: Script) -> list[int]:
    """How many re-check notes each prompt of the agent holds."""
    return [script.prompt(n + 1).count(RECHECK[:40]) for n in range(script.count("agent"))]


class TestInteractionScaling:
    """The invariants of TTI (arXiv 2506.07976)."""

    def test_1_with_one_try_the_note_never_appears_and_the_first_answer_ends(self) -> None:
        script = Script([look("abc"), answer(3), answer(4)])
        assert run("react", script, min_answers=1).answer == "3"
        assert notes(script) == [0, 0]

    def test_2_two_tries_are_two_calls_with_the_note_in_the_second_prompt_only(self) -> None:
        script = Script([answer(3), answer(4)])
        result = run("react", script, min_answers=2)
        assert (result.answer, tried(result), notes(script)) == ("4", 2, [0, 1])
        assert [item.answer for item in result.candidates] == ["3", "4"]

    def test_3_what_is_done_between_two_answers_brings_no_second_note(self) -> None:
        script = Script([answer(3), look("abc"), answer(5)])
        result = run("react", script, min_answers=2)
        assert (result.answer, notes(script)) == ("5", [0, 1, 1])
        assert script.asked["agent"][1].user.endswith(RECHECK)
        assert RECHECK[:40] not in script.asked["agent"][2].user, "behind the call's result there is none"

    @pytest.mark.parametrize("horizon", [1, 2, 5])
    @pytest.mark.parametrize("turn", [look("abc"), answer(3), "Hm."])
    def test_4_never_more_steps_than_the_horizon_and_a_timeout_is_flagged(self, horizon: int, turn: str) -> None:
        script = Script([turn])
        result = run("react", script, max_steps=horizon, min_answers=9, most_problems=9, at_horizon="none")
        assert script.count("agent") == horizon
        assert (result.answer, result.stop_reason) == (None, "horizon")

    def test_5_agreement_ends_it_early_only_where_that_is_on(self) -> None:
        turns = [answer(3), answer("3.0"), answer(4)]
        assert run("react", Script(turns), min_answers=3).answer == "4"
        result = run("react", Script(turns), min_answers=3, stop_on_agreement=True)
        assert (result.answer, result.stop_reason, tried(result)) == ("3", "agreed", 2)

    def test_6_other_actions_use_no_try(self) -> None:
        script = Script([answer(3), look("a"), look("b"), "Hm.", answer(4), look("c"), answer(5)])
        assert run("react", script, min_answers=3).answer == "5"

    def test_a_proposed_answer_stands_when_the_horizon_comes(self) -> None:
        script = Script([answer(3), look("a")])
        result = run("react", script, min_answers=2, max_steps=3)
        assert (result.answer, result.stop_reason, script.count("end")) == ("3", "horizon", 0)


class TestNudges:
    def test_answers_in_a_row_end_it_and_the_answer_is_asked_for(self) -> None:
        script = Script([answer(n) for n in range(9)], end=[boxed(7)])
        result = run("react", script, nudges=5)
        assert (result.answer, result.stop_reason) == ("7", "nudged")
        assert (script.count("agent"), script.count("end")) == (5, 1)
        assert [NUDGE[:30] in script.asked["agent"][n].user for n in range(5)] == [False, True, True, True, True]

    def test_a_call_begins_the_count_anew(self) -> None:
        script = Script([answer(1), look("a"), answer(2), answer(3)], end=[boxed(7)])
        run("react", script, nudges=2)
        assert script.count("agent") == 4

    def test_an_exhausted_budget_ends_it_too(self) -> None:
        script = Script([answer(1), look("a"), answer(2)], end=[boxed(7)])
        result = run("react", script, nudges=3, budget__tools={"lookup": 1})
        assert (result.answer, result.stop_reason, script.count("agent")) == ("7", "budget:tools.lookup", 2)


@pytest.mark.parametrize("unit", ["calls", "depth"])
def test_budgets_of_every_size_leave_the_best_so_far(unit: str) -> None:
    turns = [look("a"), look("b"), look("c"), answer(3)]
    for limit in range(7):
        script = Script(turns, end=[boxed(2)])
        with FakeServer(script) as server:
            recipe = recipe_of("react", server, tools__use=["lookup"], **{f"budget__{unit}": limit})
            result = solve(recipe)
            assert server.calls == tried(result) == result.depth == min(limit, 4), limit
        assert result.answer == {0: None, 1: None, 2: "2", 3: "2"}.get(limit, "2" if limit == 4 else "3"), limit
        assert result.stop_reason == ("finished" if limit > 4 else f"budget:{unit}"), limit


@pytest.mark.parametrize("limit", ["seconds", "tokens"])
def test_nothing_allowed(limit: str) -> None:
    with FakeServer(Script([answer(3)])) as server:
        result = solve(recipe_of("react", server, tools__use=["lookup"], **{f"budget__{limit}": 0}))
        assert server.requests == 0
    assert (result.status, result.answer, result.stop_reason) == ("failed", None, f"budget:{limit}")


def test_seconds_end_a_tool_that_hangs() -> None:
    script = Script([calls(("wave", {"of": ["x"]})), answer(3)])
    result = run("react", script, tools__use=["wave"], budget__seconds=0.15)
    assert result.stop_reason == "budget:seconds" and result.answer is None


def by_request(request: FakeRequest, index: int) -> str:
    """A function of the request alone: some steps of every kind, then an answer."""
    if "No tool can be called any more" in request.user:
        return boxed(request.fingerprint % 9)
    kind = request.fingerprint % 8
    if kind == 0:
        return "I would look."
    if kind in (1, 2):
        return answer(kind)
    if kind == 3:
        return calls(("nothing", {}))
    return look(*[f"k{kind}", "kk"][: kind % 2 + 1])


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_a_power_cut_after_every_line_costs_nothing_twice(seed: int) -> None:
    with FakeServer(by_request) as server:
        knobs: dict[str, Any] = {
            "max_steps": 6,
            "min_answers": 2,
            "tracker": True,
            "summary_after": 2,
            "temperature": 1.0,
        }
        recipe = recipe_of("react", server, seed=seed, tools__use=["lookup"], budget__tools={"lookup": 6}, **knobs)
        result = cut_everywhere(recipe, server, TASK)
        assert solve(recipe, TASK).comparable() == result.comparable()


def resumed(run_id: str) -> Result:
    async def work() -> Result:
        async with await Run.resume(run_id) as found:
            return await found.solve(found.tasks[0])

    result = go(work())
    assert isinstance(result, Result)
    return result


def test_an_impure_call_that_was_begun_is_never_repeated() -> None:
    script = Script([calls(("post", {"text": "x"})), answer(3)])
    with FakeServer(lambda request, index: answer(3) if "returned" in request.text else script.agent[0]) as server:
        whole = solve(recipe_of("react", server, tools__use=["post"]), TASK)
        path = Path(whole.journal)
        lines = path.read_bytes().splitlines(keepends=True)
        start = next(n for n, line in enumerate(lines) if b'"task_started"' in line)
        kinds = [json.loads(line)["type"] for line in lines]
        begun = kinds.index("intent")
        for count in range(start + 1, len(lines) + 1):
            CALLED.clear()
            path.write_bytes(b"".join(lines[:count]))
            if count == begun + 1:
                stopped = resumed(whole.run_id)
                assert (stopped.status, stopped.answer, stopped.stop_reason) == ("failed", None, "failed")
                (failure,) = stopped.failures
                assert "was started before the run was stopped and its outcome is unknown" in failure.message
                assert failure.mend
                assert CALLED == []
                continue
            assert resumed(whole.run_id).comparable() == whole.comparable(), count
            assert len(CALLED) == (1 if count <= begun else 0), count


def test_parallel_calls_survive_a_power_cut_between_their_results() -> None:
    turns = [calls(*[("lookup", {"keys": [key]}) for key in ("a", "bb", "ccc")]), answer(3)]

    def reply(request: FakeRequest, index: int) -> str:
        return boxed(2) if "No tool can" in request.user else turns[int("returned" in request.text)]

    with FakeServer(reply) as server:
        recipe = recipe_of("react", server, tools__use=["lookup"], parallel_calls=3, budget__tools={"lookup": 2})
        result = cut_everywhere(recipe, server, TASK)
    used = result.usage.tools["lookup"]
    assert (used.units, used.refused, result.stop_reason) == (2, 1, "budget:tools.lookup")


@pytest.mark.parametrize("native", [False, True])
def test_both_protocols_give_the_same_run(native: bool) -> None:
    script = Script([look("abc"), answer(3)])
    result = run("react", script, native=native, tracker=True)
    assert (result.answer, result.usage.calls, CALLED) == ("3", 2, [("lookup", ["abc"])])
    assert ("tools" in script.asked["agent"][0].body) is native


def test_without_tools_it_is_one_attempt() -> None:
    script = Script([answer(3)])
    result = run("react", script, max_steps=1, tools__use=[])
    assert (result.answer, tried(result)) == ("3", 1)


def test_an_answer_as_text() -> None:
    script = Script([answer("The Hague")])
    result = run("react", script, Task(messages="Where?", id="w"), answer__format="text")
    assert result.answer == "hague"


def test_the_shipped_recipe_runs_with_its_own_tools(monkeypatch: pytest.MonkeyPatch) -> None:
    def reply(request: FakeRequest, index: int) -> str:
        if "calculator returned" not in request.text:
            return calls(("calculator", {"expression": "7 + 5"}))
        return answer(12) if "returned" in request.text else ""

    with FakeServer(reply) as server:
        monkeypatch.setenv("OPENAI_BASE_URL", server.url)
        result = solve(Recipe.load("react"))
    assert result.answer == "12" and journal_of(result)


def test_resume_of_a_finished_run_asks_nothing() -> None:
    with FakeServer(by_request) as server:
        result = solve(recipe_of("react", server, tools__use=["lookup"]), TASK)
        before = server.requests
        assert resume(result.run_id).comparable() == result.comparable() and server.requests == before
