"""Power cuts, replays and resumes of whole runs: nothing journalled is paid twice, and the answer is the same."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path

import pytest

from phronesis.core.errors import ConfigurationError, ReplayDiverged, RunLocked
from phronesis.core.http import close_pools
from phronesis.core.journal import FILE_NAME, Journal
from phronesis.core.result import Result
from phronesis.core.settings import Settings, load_settings
from phronesis.core.task import Task
from phronesis.graphs.recipe import Recipe
from phronesis.graphs.run import Run
from phronesis.testing import FakeRequest, FakeServer

RECIPE = """
schema = "phronesis/recipe/1"
name = "small"
strategy = "magicore"
[knobs]
k = 4
rounds = 2
max_tokens = 100
[memory]
session = "cuts"
mode = "write"
[answer]
format = "number"
"""


def agents(request: FakeRequest, index: int) -> str:
    """Four answers apart at first; refinement brings three of them together; a function of the request alone."""
    seed = request.fingerprint
    if "You are the reviewer" in request.user:
        return f" Step 1 is doubtful ({seed % 5})."
    if "You are the refiner" in request.user:
        value = 12 if "(Score: 1/10)\nStep 2: So it is \\boxed{99}" not in request.text else 98
        return f" 7 + 5 = {value}.\nStep 2: So it is \\boxed{{{value}}}"
    if "Write down the one idea" in request.user:
        return '{"situation": "two amounts are put together", "suggestion": "add them up carefully"}'
    return f" 7 + 5 = {20 + index}.\nStep 2: So it is \\boxed{{{20 + index}}}"


async def _fresh(settings: Settings, task: Task) -> tuple[Result, Path]:
    async with await Run.start(Recipe.parse(RECIPE), settings=settings) as run:
        result = await run.solve(task)
        folder = run.folder
    await close_pools()
    assert folder is not None
    return result, folder


async def _again(settings: Settings, run_id: str) -> Result:
    try:
        async with await Run.resume(run_id, settings=settings) as run:
            (result,) = [item async for item in run.solve_all(run.tasks)]
        return result
    finally:
        await close_pools()


def test_a_power_cut_after_every_line_costs_nothing_twice(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    task = Task(messages="What is 7 + 5?", id="sum")
    with FakeServer(agents) as server:
        monkeypatch.setenv("OPENAI_BASE_URL", server.url)
        here = load_settings()
        whole, folder = asyncio.run(_fresh(here, task))
        assert whole.answer == "12"
        assert whole.memory is not None and whole.memory.written[0].outcome == "written"
        lines = (folder / FILE_NAME).read_bytes().splitlines(keepends=True)
        total = server.calls
        filled = tmp_path / "memory-after"
        shutil.copytree(here.memory, filled)
        starts = _line(lines, b'"task_started"')
        recalled, written = _line(lines, b'"type":"recall"'), _line(lines, b'"key":"memory#write"')
        for count in range(starts + 1, len(lines) + 1):
            journalled = sum(_calls(line) for line in lines[:count])
            # The ledger commits before the journal hears of it: between recall and write both states are possible.
            states = [filled] if count > written else [None, filled] if count > recalled else [None]
            for ledger in states:
                shutil.rmtree(here.memory, ignore_errors=True)
                if ledger is not None:
                    shutil.copytree(ledger, here.memory)
                (folder / FILE_NAME).write_bytes(b"".join(lines[:count]) + b'{"type": "call", "torn')
                before = server.calls
                again = asyncio.run(_again(here, folder.name))
                assert server.calls - before == total - journalled, f"after {count} lines"
                assert again.comparable() == whole.comparable(), f"after {count} lines"
                assert _concepts(here) == 1


def _line(lines: list[bytes], sign: bytes) -> int:
    return next(number for number, line in enumerate(lines) if sign in line)


def _calls(line: bytes) -> int:
    import orjson

    event = orjson.loads(line)
    return int(event["count"]) if event["type"] == "call" else 0


def _concepts(settings: Settings) -> int:
    from phronesis.memory.session import Memory

    with Memory.open("cuts", settings=settings) as memory:
        return memory.stats().count


def test_a_finished_run_replays_without_a_server(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    task = Task(messages="What is 7 + 5?", id="sum")
    with FakeServer(agents) as server:
        monkeypatch.setenv("OPENAI_BASE_URL", server.url)
        whole, folder = asyncio.run(_fresh(load_settings(), task))
    size = (folder / FILE_NAME).stat().st_size
    again = asyncio.run(_again(load_settings(), folder.name))
    assert again.comparable() == whole.comparable()
    assert (folder / FILE_NAME).stat().st_size == size


def test_a_changed_request_is_refused_and_nothing_is_paid(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    task = Task(messages="What is 7 + 5?", id="sum")
    with FakeServer(agents) as server:
        monkeypatch.setenv("OPENAI_BASE_URL", server.url)
        _, folder = asyncio.run(_fresh(load_settings(), task))
        path = folder / FILE_NAME
        path.write_bytes(path.read_bytes().replace(b'"max_tokens":100', b'"max_tokens":101', 1))
        before = server.calls
        with pytest.raises(ReplayDiverged, match="max_tokens"):
            asyncio.run(_again(load_settings(), folder.name))
        assert server.calls == before


def test_a_run_is_worked_on_by_one_process(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    with FakeServer(agents) as server:
        monkeypatch.setenv("OPENAI_BASE_URL", server.url)
        _, folder = asyncio.run(_fresh(load_settings(), Task(messages="What is 7 + 5?")))
        holder = Journal(folder)
        with pytest.raises(RunLocked, match=folder.name):
            asyncio.run(_again(load_settings(), folder.name))
        holder.close()


def test_a_journal_without_texts_cannot_be_resumed_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    async def run() -> str:
        async with await Run.start(Recipe.parse(RECIPE), settings=load_settings(), texts=False) as opened:
            await opened.solve(Task(messages="What is 7 + 5?"))
        await close_pools()
        return opened.id

    with FakeServer(agents) as server:
        monkeypatch.setenv("OPENAI_BASE_URL", server.url)
        run_id = asyncio.run(run())
    with pytest.raises(ConfigurationError, match="without texts"):
        asyncio.run(_again(load_settings(), run_id))
