"""Runs in which the world around them is odd: clocks that jump, ids twice, blanks without end, prompts that do not fit."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Iterator

import orjson
import pytest

import phronesis
from phronesis.core.errors import ConfigurationError
from phronesis.core.http import close_pools
from phronesis.core.result import Result
from phronesis.core.task import Task
from phronesis.graphs.run import Run
from phronesis.testing import FakeReply, FakeRequest, FakeServer, Fault

JUMPS = itertools.cycle([0.0, 7 * 3600.0, -9 * 3600.0, 86_400.0 * 40, -86_400.0 * 40])


def say(request: FakeRequest, index: int) -> str:
    value = 10 + (request.fingerprint + index) % 3
    return f" 7 + 5 = {value}.\nStep 2: \\boxed{{{value}}}"


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeServer]:
    with FakeServer(say, max_n=1) as server:
        monkeypatch.setenv("OPENAI_BASE_URL", server.url)
        yield server


def solve(recipe: phronesis.Recipe, *tasks: Task) -> list[Result]:
    async def work() -> list[Result]:
        try:
            async with await Run.start(recipe) as run:
                found = {result.task_id: result async for result in run.solve_all(tasks)}
            return [found[task.id] for task in tasks]
        finally:
            await close_pools()

    return asyncio.run(work())


def resume(run_id: str) -> Result:
    async def work() -> Result:
        try:
            async with await Run.resume(run_id) as run:
                return await run.solve(run.tasks[0])
        finally:
            await close_pools()

    return asyncio.run(work())


# Clocks.


def test_a_clock_that_jumps_by_hours_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    faults = [Fault(429, retry_after=0.01), None, Fault(500), None, Fault(429, retry_after=0.01)]
    changes = {"knobs.k": 4, "budget.seconds": 600, "calibration": "frozen"}
    recipe = phronesis.Recipe.load("magicore", overrides=changes)
    task = Task(messages="What is 7 + 5?", id="sum")
    found, real = [], time.time
    for jumps in (False, True):
        with FakeServer(say, max_n=1, faults=faults) as server, monkeypatch.context() as patch:
            patch.setenv("OPENAI_BASE_URL", server.url)
            if jumps:
                patch.setattr(time, "time", lambda: real() + next(JUMPS))
            (result,) = solve(recipe, task)
            before = server.requests
            assert resume(result.run_id).comparable() == result.comparable()
            assert server.requests == before
        assert 0 <= result.usage.seconds < 60 and not result.stop_reason.startswith("budget")
        found.append(result.comparable())
    assert found[0] == found[1]


# Ids.


def test_two_tasks_of_one_run_may_not_have_one_id(server: FakeServer) -> None:
    recipe = phronesis.Recipe.load("direct")
    with pytest.raises(ConfigurationError, match="'a'"):
        solve(recipe, Task(messages="1?", id="a"), Task(messages="2?", id="b"), Task(messages="3?", id="a"))
    assert server.requests == 0


@pytest.mark.parametrize("question", ["1?", "2?"])
def test_nor_may_one_be_solved_twice(server: FakeServer, question: str) -> None:
    async def work() -> None:
        run = await Run.start(phronesis.Recipe.load("direct"))
        try:
            async with run:
                await run.solve(Task(messages="1?", id="a"))
                with pytest.raises(ConfigurationError, match="'a'"):
                    await run.solve(Task(messages=question, id="a"))
        finally:
            await close_pools()

    asyncio.run(work())
    assert server.calls == 1


def choices(*indices: int) -> Fault:
    rows = [
        {"index": index, "message": {"content": f"Answer: {n}"}, "finish_reason": "stop"}
        for n, index in enumerate(indices)
    ]
    return Fault(body=orjson.dumps({"choices": rows, "usage": {"prompt_tokens": 1, "completion_tokens": 1}}))


def test_a_choice_that_came_twice_has_no_two_votes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PHRONESIS_RETRIES", "1")
    recipe = phronesis.Recipe.load("self_consistency", overrides={"knobs.k": 3})
    task = Task(messages="What is 7 + 5?", id="sum")
    with FakeServer(say, faults=[choices(0, 1, 1)]) as server:
        monkeypatch.setenv("OPENAI_BASE_URL", server.url)
        (result,) = solve(recipe, task)
        assert result.status == "ok" and (result.usage.calls, result.usage.requests) == (3, 2)
    with FakeServer(say, faults=lambda request, number: choices(0, 1, 1)) as server:
        monkeypatch.setenv("OPENAI_BASE_URL", server.url)
        (result,) = solve(recipe, task)
    assert result.status == "failed" and {failure.error for failure in result.failures} == {"ServerFailed"}
    assert "two choices with the index 1" in result.failures[0].message


# Blanks.


@pytest.mark.parametrize("blank", [" ", "\n", " \n"])
@pytest.mark.parametrize("recipe", ["direct", "magicore", "mixed_vote", "weighted_vote"])
def test_ten_thousand_blanks_are_an_attempt_that_cannot_be_read(
    monkeypatch: pytest.MonkeyPatch, recipe: str, blank: str
) -> None:
    def blanks(request: FakeRequest, number: int) -> Fault:
        n = int(request.body.get("n") or 1)
        rows = [
            {"index": index, "message": {"content": blank * (10_000 // len(blank))}, "finish_reason": "length"}
            for index in range(n)
        ]
        usage = {"prompt_tokens": 9, "completion_tokens": 10_000 * n}
        return Fault(body=orjson.dumps({"choices": rows, "usage": usage}))

    with FakeServer(say, faults=blanks) as server:
        monkeypatch.setenv("OPENAI_BASE_URL", server.url)
        (result,) = solve(phronesis.Recipe.load(recipe), Task(messages="What is 7 + 5?", id="sum"))
    assert result.answer is None
    assert {item.status for item in result.candidates} <= {"unparsable", "failed"} and result.unparsable > 0
    assert {failure.error for failure in result.failures} <= {"MalformedReply"}, "an empty review is no review"
    assert result.usage.completion_tokens == 10_000 * result.usage.calls


@pytest.mark.parametrize("recipe", ["direct", "magicore"])
def test_a_task_full_of_blanks_is_solved_like_any_other(server: FakeServer, recipe: str) -> None:
    blanks = " \n" * 5000
    (result,) = solve(phronesis.Recipe.load(recipe), Task(messages=f"{blanks}What is{blanks}7 + 5?{blanks}", id="sum"))
    assert result.status == "ok" and result.answer is not None
    with pytest.raises(ConfigurationError, match="empty"):
        phronesis.Recipe.load(recipe).run(blanks)


# Contexts.


@pytest.mark.parametrize("failing", [1, 3])
def test_a_sample_that_does_not_fit_fails_alone_with_its_mend(monkeypatch: pytest.MonkeyPatch, failing: int) -> None:
    full = Fault(400, message="This model's maximum context length is 4096 tokens")
    with FakeServer(say, max_n=1, faults=lambda request, number: full if number < failing else None) as server:
        monkeypatch.setenv("OPENAI_BASE_URL", server.url)
        recipe = phronesis.Recipe.load("self_consistency", overrides={"knobs.k": 5})
        (result,) = solve(recipe, Task(messages="What is 7 + 5?", id="sum"))
        assert server.requests == 5, "it is not tried again"
    assert result.status == "ok" and sum(item.status == "ok" for item in result.candidates) == 5 - failing
    assert {failure.error for failure in result.failures} == {"ContextOverflow"}
    assert all("max_tokens" in str(failure.mend) for failure in result.failures)


def test_a_task_that_never_fits_is_a_typed_failure_with_its_mend(monkeypatch: pytest.MonkeyPatch) -> None:
    with FakeServer(say, context_length=60) as server:
        monkeypatch.setenv("OPENAI_BASE_URL", server.url)
        (result,) = solve(phronesis.Recipe.load("direct"), Task(messages="word " * 100, id="long"))
    (failure,) = result.failures
    assert (result.status, result.answer, failure.error) == ("failed", None, "ContextOverflow")
    assert failure.mend is not None and failure.mend.startswith("shorten the task")


def test_unreadable_refinements_do_not_take_the_answer_away(monkeypatch: pytest.MonkeyPatch) -> None:
    """A short reply scores high by its log-probabilities alone."""

    def short(request: FakeRequest, index: int) -> str | FakeReply:
        if "You are the refiner" in request.user:
            return FakeReply(" hm", logprob=-0.001)
        return " Doubtful." if "You are the reviewer" in request.user else say(request, index)

    hard = {"knobs.k": 3, "knobs.rounds": 2, "knobs.quality_floor": 2.0, "knobs.confident": 1.0}
    with FakeServer(short, max_n=1) as server:
        monkeypatch.setenv("OPENAI_BASE_URL", server.url)
        (result,) = solve(phronesis.Recipe.load("magicore", overrides=hard), Task(messages="What is 7 + 5?", id="sum"))
    assert [item.round for item in result.candidates if item.status == "unparsable"] == [1, 1, 1, 2, 2, 2]
    assert result.answer in {item.answer for item in result.candidates if item.round == 0}
