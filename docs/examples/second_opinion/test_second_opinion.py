"""The second opinion: who wins, the cost law, every budget, failures, resume."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from second_opinion import STRATEGY, agree

from phronesis.core.result import Result
from phronesis.graphs.recipe import Recipe
from phronesis.graphs.run import Run
from phronesis.testing import FakeRequest, FakeServer, Fault

Serve = Callable[..., FakeServer]
RECIPE = Path(__file__).parent / "second_opinion.toml"
REFUSED = Fault(status=400)


@pytest.fixture
def serve(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Serve]:
    """Starts the configured server; its requests get these answers, one after another. Runs go to an empty folder."""
    monkeypatch.setenv("PHRONESIS_HOME", str(tmp_path))
    with ExitStack() as stack:

        def start(*answers: str, faults: tuple[Fault | None, ...] = ()) -> FakeServer:
            given = iter(answers)

            def reply(request: FakeRequest, index: int) -> str:
                return f"Let us see.\nThe answer is \\boxed{{{next(given)}}}."

            server = stack.enter_context(FakeServer(reply, faults=faults))
            monkeypatch.setenv("OPENAI_BASE_URL", server.url)
            return server

        yield start


def solve(**overrides: object) -> Result:
    keys = {name.replace("__", "."): value for name, value in overrides.items()}
    return Recipe.load(RECIPE, overrides=keys).run("What is 7 + 5?")


def test_what_agrees() -> None:
    assert agree(["12", "12"])
    for answers in ([], ["12"], ["12", "13"], ["12", None], [None, None]):
        assert not agree(answers)


@pytest.mark.parametrize(
    ("answers", "winner", "stop", "third"),
    [
        (["12", "12"], "12", "agreed", 0),
        (["1/3", "0.3333333"], "1/3", "agreed", 0),
        (["11", "12", "12"], "12", "decided", 1),
        (["11", "12", "13"], "11", "decided", 1),
        (["x", "12", "y"], "12", "decided", 1),
        (["x", "y", "z"], None, "decided", 1),
    ],
)
def test_votes_and_the_cost_law(serve: Serve, answers: list[str], winner: str | None, stop: str, third: int) -> None:
    server = serve(*answers)
    result = solve()
    law = STRATEGY.cost(STRATEGY.knobs())
    assert (result.answer, result.stop_reason) == (winner, stop)
    assert server.calls == result.usage.calls == law.calls_at(D=third)
    assert result.depth == law.depth_at(D=third)


@pytest.mark.parametrize(("calls", "answer"), [(0, None), (1, "11"), (2, "11"), (3, "12")])
def test_budgets_of_every_size(serve: Serve, calls: int, answer: str | None) -> None:
    server = serve("11", "12", "12")
    result = solve(budget__calls=calls)
    assert (result.answer, server.calls) == (answer, calls)
    assert result.stop_reason == ("decided" if calls == 3 else "budget:calls")
    assert result.status == ("ok" if calls else "failed")


def test_a_failed_pair_still_gets_its_third_attempt(serve: Serve) -> None:
    serve("12", faults=(REFUSED, None))
    result = solve()
    assert (result.answer, [item.status for item in result.candidates]) == ("12", ["failed", "failed", "ok"])
    assert result.usage.calls + result.usage.failed_calls == STRATEGY.cost(STRATEGY.knobs()).calls_at(D=1)


def test_nothing_but_failures_is_a_failed_result(serve: Serve) -> None:
    serve(faults=(REFUSED, REFUSED))
    result = solve()
    assert (result.status, result.answer, result.stop_reason) == ("failed", None, "failed")


def test_a_resume_pays_for_nothing_twice(serve: Serve) -> None:
    server = serve("11", "12", "12", "12")
    whole = solve()
    assert server.calls == 3
    journal = Path(whole.journal)
    lines = journal.read_bytes().splitlines(keepends=True)
    calls = [number for number, line in enumerate(lines) if b'"type":"call"' in line]
    assert len(calls) == 2, "the pair is one request, the third attempt another"
    journal.write_bytes(b"".join(lines[: calls[1]]))  # as a kill in front of the third reply leaves it

    async def again() -> Result:
        async with await Run.resume(whole.run_id) as run:
            return await run.solve(run.tasks[0])

    assert asyncio.run(again()).comparable() == whole.comparable()
    assert server.calls == 4, "the third attempt alone was asked for again"
