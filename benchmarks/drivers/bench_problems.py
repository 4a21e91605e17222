"""The bench of phronesis: a set of problems solved, graded and written as items, in a folder of its own each time.

Options: ``recipe`` and ``overrides``. As many problems are in work as the job has calls in flight.
"""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from measure import Job, Work, serve

from phronesis.bench.dataset import DataSet, Example
from phronesis.bench.graders.by_answer import ByAnswer
from phronesis.bench.running.bench_file import ArmEntry, arm_of
from phronesis.bench.running.folder import BenchFolder
from phronesis.bench.running.item import Item
from phronesis.bench.running.local import LocalExecutor
from phronesis.bench.running.plan import BenchPlan, Cell
from phronesis.bench.running.runner import Runner
from phronesis.bench.sets.request import SetRequest
from phronesis.core.settings import Settings
from phronesis.core.task import Message, Task


def problems(count: int) -> DataSet:
    """Sums with their gold answers."""
    asked = ((n, Message(role="user", content=f"What is 3 + 4? ({n})")) for n in range(count))
    tasks = (Task(messages=(message,), id=f"q{n}", answer_format="number") for n, message in asked)
    return DataSet("sums", tuple(Example(task, "3") for task in tasks))


@asynccontextmanager
async def opened(job: Job) -> AsyncIterator[Work]:
    entry = ArmEntry(recipe=job.options["recipe"], name="arm", overrides=job.options.get("overrides", {}))
    plan = BenchPlan(sets=(SetRequest(spec="sums", name="sums"),), arms=(arm_of(entry, {}),))
    numbers = itertools.count()

    async def work(calls: int) -> None:
        data, written = {"sums": problems(calls)}, itertools.count()
        bad = list[str]()

        def hear(cell: Cell, item: Item) -> None:
            next(written)
            bad.extend([item.task] if item.status != "ok" else [])

        with BenchFolder(Path(job.scratch) / f"bench{next(numbers)}") as folder:
            whole = folder.begin(plan, data)
            settings = Settings(
                home=Path(job.scratch), base_url=job.url, embedder="none", concurrency=64, runs_folder=folder.runs
            )
            executor = LocalExecutor(settings, parallel=job.in_flight)
            await Runner(folder, whole, data, {("sums", ""): ByAnswer()}, executor, hear=hear).run()
        assert next(written) == calls and not bad, bad[:3]

    yield work


if __name__ == "__main__":
    serve(opened, marginal=True)
