"""The batch queue: found by its name, it gives the items that the local executor gives; a job that dies is named."""

from __future__ import annotations

import asyncio
import json
import sys
from asyncio.subprocess import Process, create_subprocess_exec
from pathlib import Path

import pytest
from batch_queue import BatchOptions, BatchQueue
from typer.testing import CliRunner

from phronesis.bench.running.executor import Job
from phronesis.cli.main import app
from phronesis.core.errors import SetupError
from phronesis.core.settings import load_settings
from phronesis.core.task import as_task
from phronesis.graphs.recipe import Recipe
from phronesis.testing import FakeServer


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PHRONESIS_HOME", str(tmp_path / "home"))


def bench(out: Path, executor: str) -> dict[str, tuple[str, bool]]:
    """The answer to each question and whether it is right."""
    data = out.parent / "data.jsonl"
    rows = [
        {"id": f"q{n}", "question": f"What is {n} + {n}?", "gold": "2", "answer_format": "number"} for n in range(5)
    ]
    data.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    words = ["bench", "run", "--recipe", "direct", "--dataset", str(data), "--executor", executor, "--out", str(out)]
    done = CliRunner().invoke(app, [*words, "--json"])
    assert done.exit_code == 0, done.output
    items = [json.loads(line) for line in (out / "items.jsonl").read_text(encoding="utf-8").splitlines()]
    return {item["task"]: (item["answer"], item.get("correct", False)) for item in items}


def test_it_gives_what_the_local_executor_gives(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with FakeServer() as server:
        monkeypatch.setenv("OPENAI_BASE_URL", server.url)
        assert bench(tmp_path / "a", "batch_queue(jobs=2)") == bench(tmp_path / "b", "local")
    assert len(list((tmp_path / "a" / "jobs").glob("*.json"))) == 2


class Rejected(BatchQueue):
    """A scheduler that ends the job at once."""

    async def submit(self, *words: str) -> Process:
        return await create_subprocess_exec(sys.executable, "-c", "raise SystemExit(7)")


async def first_update(job: Job) -> object:
    queue = Rejected(load_settings(), 2, BatchOptions())
    async for update in queue.run(job):
        return update
    return None


def test_a_job_that_dies_is_named() -> None:
    job = Job(cell="direct@sums#0", recipe=Recipe.load("direct").to_data(), tasks=(as_task("1 + 1?", id="a"),))
    with pytest.raises(SetupError, match=r"direct@sums#0-a-new\.json ended with status 7"):
        asyncio.run(first_update(job))
