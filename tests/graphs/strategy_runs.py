"""Runs, resumes and power cuts of any strategy against a FakeServer, for the tests of the single strategies."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import orjson

from phronesis.core.http import close_pools
from phronesis.core.journal import FILE_NAME
from phronesis.core.result import Result
from phronesis.core.task import Task
from phronesis.graphs.recipe import Recipe
from phronesis.graphs.run import Run
from phronesis.testing import FakeReply, FakeRequest, FakeServer

TASK = Task(messages="What is 7 + 5?", id="sum")
Said = str | FakeReply


def recipe_of(strategy: str, server: FakeServer, **keys: Any) -> Recipe:
    """A recipe of the strategy at the server; ``n=4`` is a knob, ``budget__calls=3`` and ``seed=1`` are keys of the file."""
    data = {"schema": "phronesis/recipe/1", "name": "under test", "strategy": strategy, "answer": {"format": "number"}}
    file = {name.replace("__", "."): value for name, value in keys.items() if "__" in name or name == "seed"}
    knobs = {name: value for name, value in keys.items() if "__" not in name and name != "seed"}
    return Recipe.from_data({**data, "models": {"default": {"base_url": server.url}}, "knobs": knobs, **_nested(file)})


def _nested(keys: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in keys.items():
        section, _, key = name.partition(".")
        if key:
            found.setdefault(section, {})[key] = value
        else:
            found[section] = value
    return found


def go(work: Coroutine[Any, Any, Any]) -> Any:
    """The value of the work on a loop of its own that leaves no connection open."""

    async def whole() -> Any:
        try:
            return await work
        finally:
            await close_pools()

    return asyncio.run(whole())


def solve(recipe: Recipe, task: Task = TASK) -> Result:
    result = go(recipe.arun(task))
    assert isinstance(result, Result)
    return result


def resume(run_id: str, *, retry_failed: bool = False) -> Result:
    async def work() -> Result:
        async with await Run.resume(run_id, retry_failed=retry_failed) as run:
            (task,) = run.tasks
            return await run.solve(task)

    result = go(work())
    assert isinstance(result, Result)
    return result


def journal_of(result: Result) -> list[dict[str, Any]]:
    return [orjson.loads(line) for line in Path(result.journal).read_bytes().splitlines()]


def cut_everywhere(recipe: Recipe, server: FakeServer, task: Task = TASK) -> Result:
    """Runs, then resumes from every line of the journal on: no call twice, the same result each time."""
    before = server.calls
    whole = solve(recipe, task)
    total = server.calls - before
    path = Path(whole.journal)
    assert path.name == FILE_NAME
    lines = path.read_bytes().splitlines(keepends=True)
    start = next(number for number, line in enumerate(lines) if b'"task_started"' in line)
    for count in range(start + 1, len(lines) + 1):
        path.write_bytes(b"".join(lines[:count]) + b'{"type": "call", "torn')
        events = [orjson.loads(line) for line in lines[:count]]
        journalled = sum(event.get("count", 1) for event in events if event["type"] == "call")
        before = server.calls
        again = resume(whole.run_id)
        assert server.calls - before == total - journalled, f"after {count} lines"
        assert again.comparable() == whole.comparable(), f"after {count} lines"
    return whole


def tried(result: Result) -> int:
    return result.usage.calls + result.usage.failed_calls


def eventually(true: Callable[[], bool], *, seconds: float = 20.0) -> bool:
    """Whether it becomes true; what a server notices, it notices a moment later."""
    end = time.monotonic() + seconds
    while not true() and time.monotonic() < end:
        time.sleep(0.01)
    return true()


def boxed(answer: object, words: str = "Let us see.") -> str:
    return f"{words}\nThe answer is \\boxed{{{answer}}}."


def written(*answers: object) -> Callable[[FakeRequest, int], Said]:
    """A replier whose i-th sample of a request gives the i-th answer, each in words of its own."""
    return lambda request, index: boxed(answers[index], f"Attempt {index}.")


def by_seed(*answers: object) -> Callable[[FakeRequest, int], Said]:
    """A replier whose answers depend on the request's seed alone, for servers that give one sample a request."""
    return lambda request, index: boxed(answers[request.body["seed"] % len(answers)], f"By {request.body['seed']}.")
