"""Whole strategies of phronesis: tasks solved by a Run with its graph, journal and Result.

Options: ``recipe``, ``overrides``, and ``width``, the calls one task has in flight; as many tasks run side by side as fill
the job's calls in flight. ``per_task`` is how many calls a task makes.
"""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from measure import Job, Work, serve

from phronesis.core.settings import Settings
from phronesis.core.task import as_task
from phronesis.graphs.recipe import Recipe
from phronesis.graphs.run import Run


@asynccontextmanager
async def opened(job: Job) -> AsyncIterator[Work]:
    overrides = {**job.options.get("overrides", {}), "calibration": "frozen"}
    recipe = Recipe.load(job.options["recipe"], overrides=overrides)
    settings = Settings(home=Path(job.scratch), base_url=job.url, embedder="none", concurrency=256)
    parallel = max(1, job.in_flight // job.options.get("width", 1))
    numbers = itertools.count()
    async with await Run.start(recipe, settings=settings) as run:

        async def work(calls: int) -> None:
            count = max(1, round(calls / job.options.get("per_task", 1)))
            tasks = [as_task("What is 3 + 4?", id=f"t{next(numbers)}") for _ in range(count)]
            async for result in run.solve_all(tasks, parallel=parallel):
                assert result.status == "ok", result.failures

        yield work


if __name__ == "__main__":
    serve(opened)
