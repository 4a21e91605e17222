"""Mixed vote: chains and programs, their cost, faults, limits, resumes; and the weighted votes of self-consistency."""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from phronesis.core.errors import CapabilityMissing, PhronesisError, RecipeError
from phronesis.core.http import close_pools
from phronesis.core.journal import FILE_NAME
from phronesis.core.result import Candidate, Result
from phronesis.core.settings import load_settings
from phronesis.core.task import Message, Task
from phronesis.graphs.recipe import Recipe
from phronesis.graphs.run import Run
from phronesis.graphs.sampling.self_consistency import vote_weights
from phronesis.testing import FakeReply, FakeRequest, FakeServer, Fault
from phronesis.tools.python_execution import PythonPrograms

Serve = Callable[..., FakeServer]
REFUSED = Fault(status=400, message="scripted refusal")
BROKEN = "    return missing"
RECIPE = """
schema = "phronesis/recipe/1"
name = "under test"
strategy = "mixed_vote"
[knobs]
k = 2
programs = 2
[answer]
format = "number"
"""
"""No scorer: every vote of a kind counts the same."""


@pytest.fixture
def serve(monkeypatch: pytest.MonkeyPatch) -> Iterator[Serve]:
    """Starts a server that answers as told and is the configured endpoint."""
    with ExitStack() as stack:

        def start(reply: Any, **options: Any) -> FakeServer:
            server = stack.enter_context(FakeServer(reply, **options))
            monkeypatch.setenv("OPENAI_BASE_URL", server.url)
            return server

        yield start


def mixed(k: int = 2, programs: int = 2, **overrides: Any) -> Recipe:
    keys = {name.replace("__", "."): value for name, value in overrides.items()}
    return Recipe.parse(RECIPE, overrides={"knobs.k": k, "knobs.programs": programs, **keys})


def self_consistency(k: int, **overrides: Any) -> Recipe:
    keys = {name.replace("__", "."): value for name, value in overrides.items()}
    return Recipe.load("self_consistency", overrides={"knobs.k": k, **keys})


def role(request: FakeRequest) -> str:
    if "This program was to work the problem out" in request.user:
        return "repair"
    return "programmer" if request.prefill else "solver"


def said(
    chains: tuple[str, ...] = ("5",) * 9, programs: tuple[str, ...] = ("5",) * 9, repaired: str = "    return 5"
) -> Callable[[FakeRequest, int], str]:
    """Chains by index mark these answers; programs by index return these, or fail for ``!``."""

    def reply(request: FakeRequest, index: int) -> str:
        if role(request) == "solver":
            return f"So it is \\boxed{{{chains[index]}}}."
        if role(request) == "repair":
            return repaired
        return BROKEN if programs[index] == "!" else f"    return {programs[index]}\n```"

    return reply


def tried(result: Result) -> int:
    return result.usage.calls + result.usage.failed_calls


def by_id(result: Result) -> dict[str, Candidate]:
    return {item.id: item for item in result.candidates}


class TestCost:
    @pytest.mark.parametrize(
        ("k", "programs", "failing", "repair"),
        [(0, 1, 0, True), (0, 2, 2, True), (1, 0, 0, True), (2, 1, 1, True), (1, 3, 2, True), (2, 2, 2, False)],
    )
    def test_calls_and_depth_are_what_the_law_says(
        self, serve: Serve, k: int, programs: int, failing: int, repair: bool
    ) -> None:
        server = serve(said(programs=("!",) * failing + ("5",) * 9))
        recipe = mixed(k, programs, knobs__repair=repair)
        result = recipe.run("What?")
        law = recipe.strategy.cost(recipe.knobs)
        repairs = failing if repair else 0
        seen = {"F": repairs, "E": int(repairs > 0)}
        assert tried(result) == server.calls == law.calls_at(**seen)
        assert result.depth == law.depth_at(**seen)
        assert law.least <= (tried(result), result.depth) <= law.most
        kinds = [item.kind for item in result.candidates]
        assert kinds == ["chain"] * k + ["program"] * (programs + repairs)
        assert (result.answer, result.stop_reason) == ("5", "finished")

    def test_neither_chains_nor_programs_is_no_recipe(self) -> None:
        with pytest.raises(RecipeError, match="cannot both be 0"):
            mixed(0, 0)

    def test_a_repair_that_fails_again_is_not_repaired(self, serve: Serve) -> None:
        serve(said(programs=("!", "7"), repaired=BROKEN))
        result = mixed(0, 2).run("What?")
        assert [(item.id, item.answer) for item in result.candidates] == [("p0", None), ("p1", "7"), ("p0.r1", None)]
        assert (result.answer, result.unparsable, tried(result), result.depth) == ("7", 2, 3, 2)

    def test_the_repair_sees_program_and_error(self, serve: Serve) -> None:
        server = serve(said(programs=("!",)))
        result = mixed(0, 1).run("How many ducks?")
        (asked,) = (request for request in server.seen if role(request) == "repair")
        for shown in ("How many ducks?", "return missing", "NameError", "(line 2)"):
            assert shown in asked.user
        assert by_id(result)["p0"].notes.startswith("NameError") and by_id(result)["p0.r1"].parents == ("p0",)
        assert by_id(result)["p0.r1"].round == 1


class TestVote:
    def test_chains_win_ties_against_programs(self, serve: Serve) -> None:
        serve(said(chains=("1", "2"), programs=("3", "2")))
        assert mixed().run("What?").answer == "2"
        serve(said(chains=("1", "1"), programs=("3", "3")))
        assert mixed().run("What?").answer == "1"
        serve(said(chains=("1", "4"), programs=("3", "2")))
        assert mixed().run("What?").answer == "1"

    def test_weights(self, serve: Serve) -> None:
        serve(said(chains=("1", "1"), programs=("3", "4")))
        result = mixed(knobs__program_weight=2.5).run("What?")
        assert result.answer == "3" and by_id(result)["p0"].text in result.answer_text
        assert result.decisions[-1]["weights"] == {"1": 2.0, "3": 2.5, "4": 2.5}
        serve(said(chains=("1", "2"), programs=("3", "3")))
        assert mixed(knobs__chain_weight=3.0).run("What?").answer == "1"

    def test_equal_values_vote_together_whatever_they_were_written_as(self, serve: Serve) -> None:
        serve(said(chains=("7", "1/2"), programs=("0.5", "1 / 2")))
        result = mixed().run("What?")
        assert (result.answer, result.decisions[-1]["weights"]) == ("0.5", {"7": 1.0, "0.5": 3.0})

    @pytest.mark.parametrize("program", ["True", "'seven'", "[1, 2]", "lambda: 5", "float('nan')", "print"])
    def test_a_value_that_is_no_answer_does_not_vote_and_is_repaired(self, serve: Serve, program: str) -> None:
        serve(said(programs=(program,)))
        result = mixed(0, 1).run("What?")
        assert by_id(result)["p0"].answer is None and by_id(result)["p0"].notes
        assert result.answer == "5" and tried(result) == 2

    def test_a_repaired_programs_vote_counts_like_a_programs(self, serve: Serve) -> None:
        serve(said(chains=("1", "2"), programs=("!", "!")))
        result = mixed(knobs__program_weight=0.75).run("What?")
        assert result.answer == "5" and result.decisions[-1]["weights"]["5"] == 1.5

    def test_answers_of_other_formats(self, serve: Serve) -> None:
        serve(said(chains=("B",), programs=("'(B)'",)))
        result = mixed(1, 1, answer__format="choice").run("Which?")
        assert (result.answer, result.decisions[-1]["weights"]) == ("B", {"B": 2.0})

    def test_the_conversation_is_kept_for_every_role(self, serve: Serve) -> None:
        server = serve(said(programs=("!", "5")))
        turns = (Message(role="system", content="Be brief."), Message(role="user", content="Hi."))
        turns += (Message(role="assistant", content="Hello."), Message(role="user", content="How many {{x}}?"))
        mixed().run(Task(messages=turns))
        assert {role(request) for request in server.seen} == {"solver", "programmer", "repair"}
        for request in server.seen:
            assert [message["content"] for message in request.messages[:3]] == ["Be brief.", "Hi.", "Hello."]
            assert "How many {{x}}?" in request.user


class TestSelfConsistencyAtNoPrograms:
    def test_the_same_requests_and_the_same_answer(self, serve: Serve) -> None:
        server = serve(said(chains=("1", "2", "2")))
        knobs = {"knobs__temperature": 0.6, "knobs__top_p": 0.9, "knobs__max_tokens": 99, "seed": 5}
        first = mixed(3, 0, **knobs).run("What?")
        middle = len(server.seen)
        second = self_consistency(3, **knobs).run("What?")
        assert [request.body for request in server.seen[:middle]] == [request.body for request in server.seen[middle:]]
        assert (first.answer, first.candidates) == (second.answer, second.candidates) and first.answer == "2"
        assert (first.usage.calls, first.depth) == (second.usage.calls, second.depth)

    def test_without_programs_no_prefill_is_needed(self, serve: Serve) -> None:
        serve(said(), prefill="no")
        assert mixed(2, 0).run("What?").answer == "5"


class TestFailures:
    @pytest.mark.parametrize(
        ("failing", "answer", "status"),
        [("solver", "7", "ok"), ("programmer", "5", "ok"), ("all", None, "failed")],
    )
    def test_survivors_vote(self, serve: Serve, failing: str, answer: str | None, status: str) -> None:
        serve(
            said(programs=("7", "7")), faults=lambda request, n: REFUSED if failing in ("all", role(request)) else None
        )
        result = mixed().run("What?")
        assert (result.answer, result.status) == (answer, status)
        failed = [item for item in result.candidates if item.status == "failed"]
        assert len(failed) == len(result.failures) == (4 if failing == "all" else 2)
        assert all(item.answer is None and not item.text for item in failed)
        assert result.usage.failed_calls == len(failed) and tried(result) == 4

    def test_a_repair_that_does_not_come_costs_no_vote(self, serve: Serve) -> None:
        serve(said(programs=("!", "7")), faults=lambda request, n: REFUSED if role(request) == "repair" else None)
        result = mixed(1, 2).run("What?")
        assert [item.status for item in result.candidates] == ["ok", "unparsable", "ok", "failed"]
        assert (result.answer, tried(result), result.depth) == ("5", 4, 2)

    def test_programs_that_cannot_be_run_at_all_leave_the_chains(
        self, serve: Serve, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        server = serve(said(chains=("1", "1"), programs=("3", "3")))
        monkeypatch.setattr("sys.executable", "/nonexistent/python")
        result = mixed().run("What?")
        assert (result.answer, result.status, result.usage.calls) == ("1", "ok", server.calls)
        assert [failure.error for failure in result.failures] == ["ToolError"]
        monkeypatch.undo()

    def test_only_programs_and_none_can_be_run_is_a_failed_run(
        self, serve: Serve, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        serve(said())
        monkeypatch.setattr("sys.executable", "/nonexistent/python")
        result = mixed(0, 2).run("What?")
        assert (result.answer, result.status, result.stop_reason) == (None, "failed", "failed")
        assert result.failures[0].error == "ToolError"
        monkeypatch.undo()


class TestBudget:
    @pytest.mark.parametrize("calls", range(1, 7))
    def test_every_cap_on_calls_is_kept(self, serve: Serve, calls: int) -> None:
        """k = 2, m = 2, both programs fail: 6 calls in all."""
        server = serve(said(programs=("!", "!"), repaired="    return 8"))
        result = mixed(budget__calls=calls).run("What?")
        assert server.calls == tried(result) == calls
        assert [item.id for item in result.candidates] == ["c0", "c1", "p0", "p1", "p0.r1", "p1.r1"][:calls]
        assert result.stop_reason == ("finished" if calls == 6 else "budget:calls")
        assert result.answer == "5" and result.status == "ok"
        assert result.depth == (2 if calls > 4 else 1)

    def test_no_call_at_all(self, serve: Serve) -> None:
        server = serve(said())
        result = mixed(budget__calls=0).run("What?")
        assert (result.answer, result.status, result.stop_reason, server.calls) == (None, "failed", "budget:calls", 0)

    def test_depth_leaves_out_the_repairs(self, serve: Serve) -> None:
        server = serve(said(programs=("!", "7")))
        result = mixed(budget__depth=1).run("What?")
        assert (server.calls, result.depth, result.stop_reason) == (4, 1, "budget:depth")
        assert result.answer == "5"

    def test_tokens(self, serve: Serve) -> None:
        serve(said(programs=("!", "!")))
        whole = mixed(knobs__max_tokens=20).run("What?")
        result = mixed(knobs__max_tokens=20, budget__tokens=whole.usage.prompt_tokens // 2).run("What?")
        assert result.stop_reason == "budget:tokens" and tried(result) < tried(whole)

    def test_seconds_end_a_call_that_does_not_come(self, serve: Serve) -> None:
        serve(said(), latency=lambda request: 30.0 if role(request) == "programmer" else 0.0)
        result = mixed(budget__seconds=1.5).run("What?")
        assert (result.answer, result.stop_reason) == ("5", "budget:seconds")
        assert [item.status for item in result.candidates if item.kind == "chain"] == ["ok", "ok"]


def test_the_order_of_arrival_changes_nothing(serve: Serve) -> None:
    def told(request: FakeRequest, index: int) -> str:
        number = (request.fingerprint + index) % 3
        if role(request) == "solver":
            return f"\\boxed{{{number}}}"
        return BROKEN if role(request) == "programmer" and number == 0 else f"    return {number}"

    found = []
    for delay in (0.0, 0.01, 0.02):
        serve(told, latency=lambda request, delay=delay: delay * (request.fingerprint % 3), max_n=1)
        found.append(mixed(4, 4, seed=3).run("What?").comparable())
    assert found[0] == found[1] == found[2]


class TestResume:
    def test_a_power_cut_after_every_line(self, serve: Serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Nothing that is journalled is asked or run again, and the result is the same. Programs note that they ran in a file
        outside their folder, so they are not shut in."""
        monkeypatch.setattr("phronesis.graphs.solve.PythonPrograms", partial(PythonPrograms, confined=False))
        runs = tmp_path / "executions"
        note = f"    open({str(runs)!r}, 'a').write('x')\n"

        def told(request: FakeRequest, index: int) -> str:
            if role(request) == "solver":
                return f"\\boxed{{{index}}}"
            if role(request) == "repair":
                return f"{note}    return 1"
            return f"{note}    return {'missing' if index == 0 else 1}"

        server = serve(told)
        settings = load_settings()
        task = Task(messages="What is 7 + 5?", id="sum")

        async def fresh() -> tuple[Result, Path]:
            async with await Run.start(mixed(2, 2), settings=settings) as run:
                result, folder = await run.solve(task), run.folder
            await close_pools()
            assert folder is not None
            return result, folder

        async def again(run_id: str) -> Result:
            try:
                async with await Run.resume(run_id, settings=settings) as run:
                    (result,) = [item async for item in run.solve_all(run.tasks)]
                return result
            finally:
                await close_pools()

        whole, folder = asyncio.run(fresh())
        assert whole.answer == "1" and tried(whole) == server.calls == 5
        executed = len(runs.read_text())
        assert executed == 3
        lines = (folder / FILE_NAME).read_bytes().splitlines(keepends=True)
        events = [json.loads(line) for line in lines]
        start = next(number for number, event in enumerate(events) if event["type"] == "task_started")
        for count in range(start + 1, len(lines) + 1):
            (folder / FILE_NAME).write_bytes(b"".join(lines[:count]) + b'{"type": "call", "torn')
            paid = sum(event["count"] for event in events[:count] if event["type"] == "call")
            ran = sum(event["type"] == "effect" and event["key"].endswith(">") for event in events[:count])
            calls, before = server.calls, len(runs.read_text())
            result = asyncio.run(again(folder.name))
            assert server.calls - calls == 5 - paid, f"after {count} lines"
            assert len(runs.read_text()) - before == executed - ran, f"after {count} lines"
            assert result.comparable() == whole.comparable(), f"after {count} lines"

    def test_seconds_end_a_program_too_and_a_resume_says_the_same(self, serve: Serve) -> None:
        serve(said(programs=("[0 for _ in iter(int, 1)]",)))
        result = mixed(1, 1, knobs__repair=False, budget__seconds=1.5).run("What?")
        assert (result.answer, result.stop_reason) == ("5", "budget:seconds")

        async def again() -> Result:
            try:
                async with await Run.resume(result.run_id, settings=load_settings()) as run:
                    (found,) = [item async for item in run.solve_all(run.tasks)]
                return found
            finally:
                await close_pools()

        assert asyncio.run(again()).comparable() == result.comparable()

    def test_a_scorers_model_that_was_fitted_anew_does_not_change_a_run(self, serve: Serve, tmp_path: Path) -> None:
        path, text = (
            tmp_path / "model.toml",
            'schema = "phronesis/logistic/1"\ncalibrated_on = "x"\nbias = {}\n[features]\n',
        )
        path.write_text(text.format(0.0), encoding="utf-8")
        serve(said())
        result = mixed(2, 0, knobs__scorer=f'signals(model="{path}")').run("What?")
        assert [item.reward for item in result.candidates] == [0.5, 0.5]
        path.write_text(text.format(2.0), encoding="utf-8")

        async def again() -> None:
            await (await Run.resume(result.run_id, settings=load_settings())).close()

        with pytest.raises(PhronesisError, match=r"model\.toml"):
            asyncio.run(again())


class TestScorer:
    """Chains weighted by an outcome scorer."""

    GENERATIVE = "generative(votes=1)"

    @staticmethod
    def judged(good: str, **more: Any) -> Callable[[FakeRequest, int], str]:
        """As ``said``; the verifier likes solutions that mark one answer."""
        plain = said(**more)

        def reply(request: FakeRequest, index: int) -> str:
            if "Proposed solution" not in request.user:
                return plain(request, index)
            likes, error = f"boxed{{{good}}}" in request.user, "may hold an error" in request.user
            return f"Verdict: {'Yes' if likes != error else 'No'}"

        return reply

    def test_a_chain_counts_what_its_scorer_says(self, serve: Serve) -> None:
        serve(self.judged("2", chains=("1", "1", "2"), programs=("3",)))
        result = mixed(3, 1, knobs__scorer=self.GENERATIVE, knobs__program_weight=0.5).run("What?")
        assert (result.answer, result.decisions[-1]["weights"]) == ("2", {"1": 0.0, "2": 1.0, "3": 0.5})

    @pytest.mark.parametrize(("k", "programs", "failing"), [(1, 0, 0), (2, 2, 0), (2, 2, 1), (0, 2, 1)])
    def test_the_cost_law(self, serve: Serve, k: int, programs: int, failing: int) -> None:
        server = serve(self.judged("5", programs=("!",) * failing + ("5",) * 5))
        recipe = mixed(k, programs, knobs__scorer=self.GENERATIVE)
        result = recipe.run("What?")
        law = recipe.strategy.cost(recipe.knobs)
        seen = {"F": failing, "E": int(failing > 0), "s": k, "j": int(k > 0)}
        assert tried(result) == server.calls == law.calls_at(**seen)
        assert result.depth == law.depth_at(**seen)

    def test_a_chain_whose_scorer_failed_counts_like_the_mean_of_the_others(self, serve: Serve) -> None:
        serve(
            self.judged("1", chains=("1", "2")),
            faults=lambda request, n: (
                REFUSED if "Proposed solution" in request.text and "{2}" in request.text else None
            ),
        )
        result = mixed(2, 0, knobs__scorer=self.GENERATIVE).run("What?")
        assert result.decisions[-1]["weights"] == {"1": 1.0, "2": 1.0}
        assert len(result.failures) == 1 and result.failures[0].error == "Refused"

    @pytest.mark.parametrize("calls", [1, 2, 3, 5, 7, 9])
    def test_a_cap_on_calls_is_kept_and_something_votes(self, serve: Serve, calls: int) -> None:
        server = serve(self.judged("5"))
        result = mixed(2, 2, knobs__scorer=self.GENERATIVE, budget__calls=calls).run("What?")
        assert server.calls == tried(result) <= calls
        assert result.answer == "5"

    def test_figures_that_are_all_nothing_are_a_majority(self, serve: Serve) -> None:
        serve(self.judged("nobody", chains=("1", "2", "2")))
        assert mixed(3, 0, knobs__scorer=self.GENERATIVE).run("What?").answer == "2"

    @pytest.mark.parametrize("scorer", ["arithmetic", "pairwise", "nobody", "generative(votes=0)"])
    def test_only_scorers_of_whole_attempts(self, scorer: str) -> None:
        with pytest.raises(RecipeError):
            mixed(2, 2, knobs__scorer=scorer)

    def test_the_shipped_recipe_runs(self, serve: Serve) -> None:
        serve(said(programs=("!",)))
        result = Recipe.load("mixed_vote", overrides={"knobs.k": 2, "knobs.programs": 1}).run("What?")
        assert result.answer == "5" and all(0 < item.reward < 1 for item in result.candidates[:2] if item.reward)


class TestWeightsOfSelfConsistency:
    @staticmethod
    def chains(*pairs: tuple[str, float]) -> Callable[[FakeRequest, int], FakeReply]:
        """Chains with (answer, probability of each token)."""
        return lambda request, index: FakeReply(f"\\boxed{{{pairs[index][0]}}}", logprob=math.log(pairs[index][1]))

    PAIRS = (("1", 0.3), ("1", 0.3), ("1", 0.3), ("2", 0.8), ("3", 0.5), ("3", 0.6))

    @pytest.mark.parametrize(
        ("weights", "answer", "totals"),
        [
            ("count", "1", {"1": 3.0, "2": 1.0, "3": 2.0}), ("probability", "3", {"1": 0.9, "2": 0.8, "3": 1.1}),
            ("mean_probability", "2", {"1": 0.3, "2": 0.8, "3": 0.55}),
        ],
    )  # fmt: skip
    def test_each_mode(self, serve: Serve, weights: str, answer: str, totals: dict[str, float]) -> None:
        server = serve(self.chains(*self.PAIRS))
        recipe = self_consistency(6, knobs__weights=weights)
        result = recipe.run("What?")
        assert result.answer == answer
        assert result.decisions[-1]["weights"] == {name: pytest.approx(value) for name, value in totals.items()}
        law = recipe.strategy.cost(recipe.knobs)
        assert (tried(result), result.depth) == law.least == (6, 1)
        assert bool(server.seen[0].body.get("logprobs")) == (weights != "count")

    @pytest.mark.parametrize("weights", ["count", "probability", "mean_probability"])
    def test_one_attempt_is_its_answer(self, serve: Serve, weights: str) -> None:
        serve(self.chains(("4", 0.01)))
        assert self_consistency(1, knobs__weights=weights).run("What?").answer == "4"

    def test_missing_logprobs_count_with_the_mean_of_the_others(self) -> None:
        attempts = [
            Candidate(id="a", answer="1", mean_logprob=math.log(0.2)),
            Candidate(id="b", answer="2", mean_logprob=None),
            Candidate(id="c", answer="1", mean_logprob=math.log(0.6)),
        ]
        answers = [item.answer for item in attempts]
        assert vote_weights(answers, attempts, "probability") == pytest.approx([0.2, 0.4, 0.6])
        assert vote_weights(answers, attempts, "mean_probability") == pytest.approx([0.1, 0.4, 0.3])
        assert vote_weights(answers, attempts, "count") == [1.0, 1.0, 1.0]

    def test_without_any_logprobs_probability_is_count(self) -> None:
        attempts = [Candidate(id=str(number), answer=answer) for number, answer in enumerate("112")]
        answers = [item.answer for item in attempts]
        assert vote_weights(answers, attempts, "probability") == [1.0, 1.0, 1.0]

    def test_unreadable_attempts_neither_vote_nor_count(self) -> None:
        attempts = [
            Candidate(id="a", answer=None, status="unparsable", mean_logprob=math.log(0.9)),
            Candidate(id="b", answer="2", mean_logprob=math.log(0.1)),
            Candidate(id="c", answer="2", mean_logprob=math.log(0.3)),
        ]
        found = vote_weights([item.answer for item in attempts], attempts, "mean_probability")
        assert found[1:] == pytest.approx([0.05, 0.15])

    def test_a_server_without_logprobs_is_refused_before_anything_is_paid(self, serve: Serve) -> None:
        server = serve(self.chains(*self.PAIRS), logprobs=False)
        with pytest.raises(CapabilityMissing):
            self_consistency(3, knobs__weights="probability").run("What?")
        assert server.requests == 0
        assert self_consistency(3).run("What?").answer == "1"
