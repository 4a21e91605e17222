"""Replays: the recorded replies under other knobs and strategies, no call made, the source untouched."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import pytest
from scripted_roles import Roles, attempt, chains, magicore
from toy_documents import documents

import phronesis
from phronesis.core.bank import Bank
from phronesis.core.errors import ConfigurationError, RecipeError, RunLocked
from phronesis.core.events import Event, read_events
from phronesis.core.http import close_pools
from phronesis.core.journal import Journal
from phronesis.core.result import Result
from phronesis.core.settings import load_settings
from phronesis.core.task import Task
from phronesis.graphs.recipe import Recipe
from phronesis.graphs.registry import find, names
from phronesis.graphs.replay import Changes, start_replay
from phronesis.graphs.run import Run
from phronesis.testing import FakeRequest, FakeServer, Fault

SAMPLING = """
schema = "phronesis/recipe/1"
name = "eight"
strategy = "self_consistency"
[knobs]
k = 8
[answer]
format = "number"
"""
SUM = Task(messages="What is 7 + 5?", id="sum")
VOTES = [attempt(answer) for answer in (1, 1, 2, 2, 2, 3, 3, 3)]


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeServer]:
    with FakeServer(Roles(solver=chains(*VOTES))) as running:
        monkeypatch.setenv("OPENAI_BASE_URL", running.url)
        yield running


def go(work: Coroutine[Any, Any, Any]) -> Any:
    async def all_of_it() -> Any:
        try:
            return await work
        finally:
            await close_pools()

    return asyncio.run(all_of_it())


def record(recipe: Recipe, *tasks: Task, texts: bool = True) -> list[Result]:
    async def work() -> list[Result]:
        async with await Run.start(recipe, settings=load_settings(), texts=texts) as run:
            results = {item.task_id: item async for item in run.solve_all(tasks)}
        return [results[task.id] for task in tasks]

    return list(go(work()))


def replayed(run_id: str, **changes: Any) -> Result:
    (result,) = go(phronesis.replay(run_id, **changes))
    assert isinstance(result, Result)
    return result


def started(result: Result) -> dict[str, Any]:
    return dict(next(read_events(Path(result.journal))).data)


def test_nothing_changed_nothing_differs_and_no_server_is_needed(server: FakeServer) -> None:
    server.reply = Roles()
    (first,) = record(magicore(), SUM)
    source = Path(first.journal)
    before = source.read_bytes()
    server.stop()
    again = replayed(first.run_id)
    assert again.comparable() == first.comparable()
    assert again.run_id != first.run_id and again.replayed_from == first.run_id and first.replayed_from == ""
    assert source.read_bytes() == before
    assert started(again)["replayed_from"] == first.run_id and started(again)["changes"] == {}


@pytest.mark.parametrize("strategy", [name for name in names() if "bank" not in find(name).knobs.model_fields])
def test_every_strategy_replays_as_it_was(server: FakeServer, strategy: str) -> None:
    server.reply = lambda request, index: attempt(20 + (request.fingerprint + index) % 5)
    small = {"k": 4, "rounds": 1, "n": 4, "quality_floor": 2.0}
    knobs = {name: value for name, value in small.items() if name in find(strategy).knobs.model_fields}
    data = {"schema": "phronesis/recipe/1", "name": "any", "strategy": strategy, "knobs": knobs}
    data |= {"retrieval": {"kb": documents({"p1": "7 + 5 is a sum.", "p2": "A sum is a number."})}}
    if find(strategy).uses_tools(find(strategy).knobs()):
        data |= {"tools": {"use": ["calculator"]}}
    (first,) = record(Recipe.from_data({**data, "answer": {"format": "number"}}), SUM)
    server.stop()
    again = replayed(first.run_id)
    assert again.comparable() == first.comparable()
    assert not any(failure.error == "NotRecorded" for failure in again.failures)


def test_fewer_samples_are_the_first_ones_and_cost_what_they_would_have_cost(server: FakeServer) -> None:
    (first,) = record(Recipe.parse(SAMPLING), SUM)
    calls = server.calls
    again = replayed(first.run_id, overrides={"knobs.k": 4})
    assert [item.text for item in again.candidates] == [item.text for item in first.candidates[:4]]
    assert again.answer == "1" and first.answer == "2"
    assert (again.usage.calls, again.usage.requests) == (4, 1)
    assert again.usage.prompt_tokens == first.usage.prompt_tokens
    assert again.usage.completion_tokens == sum(item.tokens for item in again.candidates)
    assert server.calls == calls
    assert started(again)["changes"] == {"knobs.k": 4}


def test_more_samples_than_recorded_are_failures_that_say_how_to_get_them(server: FakeServer) -> None:
    (first,) = record(Recipe.parse(SAMPLING, overrides={"knobs.k": 3}), SUM)
    again = replayed(first.run_id, overrides={"knobs.k": 5})
    assert [item.status for item in again.candidates] == ["ok", "ok", "ok", "failed", "failed"]
    error = again.candidates[3].error
    assert error is not None and error.error == "NotRecorded"
    assert "solver at the task: 2 calls would be needed" in error.message
    assert (again.usage.calls, again.usage.failed_calls) == (3, 0)
    assert again.status == "ok" and server.calls == 3


def test_missing_calls_are_made_where_they_are_allowed_and_no_more(server: FakeServer) -> None:
    (first,) = record(Recipe.parse(SAMPLING, overrides={"knobs.k": 3}), SUM)
    again = replayed(first.run_id, overrides={"knobs.k": 8}, calls=4)
    assert server.calls == 3 + 4
    assert [item.status for item in again.candidates] == ["ok"] * 7 + ["failed"]
    assert again.usage.calls == 7
    third = replayed(again.run_id, overrides={"knobs.k": 8}, calls=1)
    assert server.calls == 3 + 4 + 1
    assert [item.text for item in third.candidates[:7]] == [item.text for item in again.candidates[:7]]
    assert third.candidates[7].status == "ok", "a lack is not recorded as if it were a failure"


def test_another_strategy_keeps_the_knobs_it_knows_and_finds_its_samples(server: FakeServer) -> None:
    (first,) = record(Recipe.parse(SAMPLING), SUM)
    again = replayed(first.run_id, strategy="direct")
    assert again.strategy == "direct" and [item.text for item in again.candidates] == [first.candidates[0].text]
    assert server.calls == 8


def test_a_strategy_that_draws_in_portions_finds_the_samples_of_one_wide_draw(server: FakeServer) -> None:
    server.reply = Roles(solver=chains(*[attempt(5, tag=f"chain{index}") for index in range(8)]))
    (first,) = record(Recipe.parse(SAMPLING), SUM)
    portions = {"knobs.first": 2, "knobs.batch": 2, "knobs.most": 8}
    again = replayed(first.run_id, strategy="early_stop_vote", overrides=portions)
    drawn = [item.text for item in again.candidates]
    assert drawn == [item.text for item in first.candidates[: len(drawn)]] and len(set(drawn)) == len(drawn) < 8
    assert again.answer == "5" and not again.failures and server.calls == 8


def test_another_scorer_is_missing_without_calls_and_asked_with_them(server: FakeServer) -> None:
    roles = Roles(solver=chains(*[attempt(7, tag=f"chain{index}") for index in range(4)]))
    server.reply = roles
    (first,) = record(magicore(quality_floor=0.0), SUM)
    calls = server.calls
    lacking = replayed(first.run_id, overrides={"knobs.outcome": "judge"})
    assert server.calls == calls and roles.count("judge") == 0
    assert {failure.error for failure in lacking.failures} == {"NotRecorded"}
    assert lacking.failures[0].message.startswith("the recording has no reply for judge at the task")
    judged = replayed(first.run_id, overrides={"knobs.outcome": "judge"}, calls=4)
    assert roles.count("judge") == 4
    assert all(item.outcome == pytest.approx(0.5, abs=1e-3) for item in judged.candidates)
    again = replayed(judged.run_id, overrides={"knobs.quality_floor": 0.5})
    assert roles.count("judge") == 4, "the judgements are in the replay's own recording"
    assert [item.outcome for item in again.candidates] == [item.outcome for item in judged.candidates]


def test_logprobs_that_were_recorded_serve_who_wants_none(server: FakeServer) -> None:
    (with_them,) = record(Recipe.parse(SAMPLING, overrides={"knobs.weights": "probability"}), SUM)
    without = replayed(with_them.run_id, overrides={"knobs.weights": "count"})
    assert [item.status for item in without.candidates] == ["ok"] * 8
    assert [item.mean_logprob for item in without.candidates] == [None] * 8
    back = replayed(without.run_id, overrides={"knobs.weights": "probability"})
    assert {item.status for item in back.candidates} == {"failed"}, "what has none cannot serve who wants them"


def test_recorded_failures_are_replayed_in_their_place(server: FakeServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PHRONESIS_RETRIES", "0")
    with FakeServer(Roles(solver=chains(*VOTES)), max_n=2, faults=[None, Fault(500)]) as flaky:
        monkeypatch.setenv("OPENAI_BASE_URL", flaky.url)
        (first,) = record(Recipe.parse(SAMPLING), SUM)
    assert sum(item.status == "failed" for item in first.candidates) == 2
    again = replayed(first.run_id)
    assert again.comparable() == first.comparable()
    assert again.usage.failed_calls == first.usage.failed_calls == 2


def test_a_replay_can_be_stopped_and_resumed(server: FakeServer) -> None:
    server.reply = Roles()
    (first,) = record(magicore(), SUM)
    whole = replayed(first.run_id, overrides={"knobs.pool": "round"})
    path = Path(whole.journal)
    lines = path.read_bytes().splitlines(keepends=True)
    server.stop()

    async def resume() -> Result:
        async with await Run.resume(whole.run_id, settings=load_settings()) as run:
            (result,) = [item async for item in run.solve_all(run.tasks)]
        return result

    for count in range(2, len(lines) + 1):
        path.write_bytes(b"".join(lines[:count]))
        again = go(resume())
        assert again.comparable() == whole.comparable(), f"after {count} lines"
        assert again.replayed_from == first.run_id


def test_the_memory_is_read_from_the_recording_and_never_written(server: FakeServer) -> None:
    def agree(request: FakeRequest, index: int) -> str:
        if "Write down the one idea" in request.user:
            return '{"situation": "two numbers are added", "suggestion": "add them from the right"}'
        return " 3 + 4 = 7\nStep 2: \\boxed{7}"

    server.reply = agree
    recipe = Recipe.parse(SAMPLING, overrides={"memory.mode": "write", "memory.session": "m"})
    record(recipe, Task(messages="Two numbers are added: 3 and 4.", id="a"))
    (second,) = record(recipe, Task(messages="Two numbers are added: 3 and 4. Now?", id="b"))
    assert second.memory is not None and second.memory.recalled
    with phronesis.Memory.open("m") as memory:
        before = (memory.version(), memory.list())
        memory.add([phronesis.Concept(suggestion="two numbers are added: forget it all")])
        changed = (memory.version(), memory.list())
    assert before != changed
    again = replayed(second.run_id)
    assert again.memory is not None
    assert again.memory.recalled == second.memory.recalled and again.memory.mode == "frozen"
    assert again.memory.written == () and again.answer == second.answer
    assert not any(event.type == "write" for event in read_events(Path(again.journal)))
    with phronesis.Memory.open("m") as memory:
        assert (memory.version(), memory.list()) == changed
    with pytest.raises(ConfigurationError, match=r"memory\.k"):
        replayed(second.run_id, overrides={"memory.k": 1})


def test_a_replay_adds_nothing_to_the_statistics(server: FakeServer) -> None:
    server.reply = Roles()
    (first,) = record(magicore(), SUM)
    statistics = load_settings().home / "statistics.sqlite3"
    before = statistics.read_bytes()
    replayed(first.run_id)
    assert statistics.read_bytes() == before


def test_another_model_is_not_answered_for(server: FakeServer) -> None:
    server.reply = Roles()
    (first,) = record(magicore(), SUM)
    again = replayed(first.run_id, overrides={"models.reviewer.model": "another"})
    assert {failure.where.split()[-1] for failure in again.failures} == {"reviewer"}
    assert [item.text for item in again.candidates[:4]] == [item.text for item in first.candidates[:4]]


def test_a_smaller_budget_holds_in_a_replay(server: FakeServer) -> None:
    (first,) = record(Recipe.parse(SAMPLING), SUM)
    again = replayed(first.run_id, overrides={"budget.calls": 3})
    assert len(again.candidates) == 3 and again.stop_reason == "budget:calls"
    back = replayed(again.run_id, overrides={"budget.calls": 8})
    assert [item.status for item in back.candidates] == ["ok"] * 3 + ["failed"] * 5


def test_tasks_of_which_nothing_was_recorded_are_left_out(server: FakeServer) -> None:
    tasks = [Task(messages=f"What is {number} + 1?", id=f"t{number}") for number in range(3)]

    async def stop_after_one() -> str:
        async with await Run.start(Recipe.parse(SAMPLING), settings=load_settings()) as run:
            run.announce(tasks)
            await run.solve(tasks[0])
        return run.id

    run_id = go(stop_after_one())
    assert [item.task_id for item in go(phronesis.replay(run_id))] == ["t0"]
    assert [item.status for item in go(phronesis.replay(run_id, calls=16))] == ["ok"] * 3


def test_a_dry_run_counts_and_writes_nothing(server: FakeServer) -> None:
    (first,) = record(Recipe.parse(SAMPLING, overrides={"knobs.k": 3}), SUM)
    folders = sorted(load_settings().runs.iterdir())

    async def dry() -> tuple[dict[str, int], dict[str, int]]:
        opened = await start_replay(first.run_id, Changes(overrides={"knobs.k": 5}, calls=9), dry=True)
        async with opened.run as run:
            _ = [item async for item in run.solve_all(opened.tasks)]
        return dict(opened.served), dict(opened.missing)

    assert go(dry()) == ({"solver": 3}, {"solver": 2})
    assert sorted(load_settings().runs.iterdir()) == folders and server.calls == 3


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"overrides": {"knobs.kk": 3}}, "did you mean 'k'"),
        ({"strategy": "self_consistancy"}, "did you mean 'self_consistency'"),
        ({"recipe": "nowhere.toml"}, "nowhere.toml"),
        ({"overrides": {"strategy": "direct"}}, "--strategy"),
    ],
)
def test_changes_that_cannot_be_made_are_named(server: FakeServer, changes: dict[str, Any], says: str) -> None:
    (first,) = record(Recipe.parse(SAMPLING), SUM)
    folders = sorted(load_settings().runs.iterdir())
    with pytest.raises((ConfigurationError, RecipeError)) as caught:
        replayed(first.run_id, **changes)
    assert says in str(caught.value)
    assert sorted(load_settings().runs.iterdir()) == folders
    replayed(first.run_id)


def test_runs_that_cannot_be_replayed_are_refused(server: FakeServer) -> None:
    with pytest.raises(ConfigurationError, match="there is no run"):
        replayed("20260101-000000-abcdef")
    (bare,) = record(Recipe.parse(SAMPLING), SUM, texts=False)
    with pytest.raises(ConfigurationError, match="without texts"):
        replayed(bare.run_id)
    (first,) = record(Recipe.parse(SAMPLING), SUM)
    holder = Journal(Path(first.journal).parent)
    with pytest.raises(RunLocked, match="still going on"):
        replayed(first.run_id)
    holder.close()


def test_the_sync_door(server: FakeServer) -> None:
    (first,) = record(Recipe.parse(SAMPLING), SUM)
    (again,) = phronesis.replay_sync(first.run_id)
    assert again.comparable() == first.comparable()


# The bank alone.


def _exchange(site: str, first: int, texts: str, *, prompt: str = "q", failed: bool = False) -> Event:
    data: dict[str, Any] = {
        "role": "solver",
        "first": first,
        "count": len(texts),
        "request": {"m": prompt, "seed": first},
    }
    if failed:
        data["error"] = {"type": "ServerFailed", "message": "lost", "details": {}}
    else:
        completions = [{"text": text, "tokens": 1} for text in texts]
        data["value"] = {"completions": completions, "usage": {"calls": len(texts), "prompt_tokens": 5}}
    return Event("failure" if failed else "call", "t", f"{site}[{first}:{first + len(texts)}]", data)


def _texts(bank: Bank, site: str, first: int, count: int, prompt: str = "q") -> dict[int, str]:
    found = {}
    for drawn in bank.draw(site, "solver", {"m": prompt, "seed": 99}, first, count):
        for offset, item in enumerate(drawn.data["value"]["completions"]):
            found[drawn.first + offset] = item["text"]
    return found


Asks = list[tuple[str, int, int]]


@pytest.mark.parametrize(
    "asks",
    [
        [("s", 0, 8)],
        [("s", 0, 3), ("more", 0, 3), ("rest", 0, 2)],
        [(f"single{index}", 0, 1) for index in range(8)],
    ],
)
def test_each_sample_is_handed_out_once_in_the_recorded_order(asks: Asks) -> None:
    bank = Bank([_exchange("s", 4, "efgh"), _exchange("s", 0, "abcd")])
    found = "".join(text for ask in asks for _, text in sorted(_texts(bank, *ask).items()))
    assert found == "abcdefgh"
    assert _texts(bank, "late", 0, 3) == {}


def test_places_of_their_own_get_their_own_whoever_asks_first() -> None:
    events = [_exchange(f"s{index}", 0, "abcdefghijkl"[index]) for index in range(12)]
    orders: list[Callable[[], list[int]]] = [lambda: list(range(12)), lambda: list(range(11, -1, -1))]
    for order in orders:
        bank = Bank(events)
        assert {index: _texts(bank, f"s{index}", 0, 1)[0] for index in order()} == dict(enumerate("abcdefghijkl"))
    assert "".join(_texts(Bank(events), "together", 0, 12).values()) == "abcdefghijkl", "s2 comes before s10"


def test_another_request_role_or_a_foreign_failure_is_never_served() -> None:
    bank = Bank([_exchange("s", 0, "ab"), _exchange("s", 2, "..", failed=True)])
    assert _texts(bank, "s", 0, 2, prompt="other") == {}
    assert bank.draw("s", "judge", {"m": "q"}, 0, 2) == []
    assert [(item.first, item.count, item.type) for item in bank.draw("s", "solver", {"m": "q"}, 0, 4)] == [
        (0, 2, "call"), (2, 2, "failure"),
    ]  # fmt: skip
    assert bank.draw("elsewhere", "solver", {"m": "q"}, 0, 2) == []
