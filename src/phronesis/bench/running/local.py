"""The executor ``local``: the tasks of a job side by side in this process, under the limit of their endpoints."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence

from phronesis.bench.running.executor import Job, JobStarted, TaskCrashed, TaskSolved, Update
from phronesis.bench.running.item import call_costs
from phronesis.core.errors import ConfigurationError, PhronesisError, SetupError
from phronesis.core.events import Event
from phronesis.core.result import Failure, Result
from phronesis.core.settings import Settings
from phronesis.core.task import Task
from phronesis.graphs.recipe import Recipe
from phronesis.graphs.replay import Changes, start_replay
from phronesis.graphs.run import Run

ANY_NUMBER = 10**9
"""Calls that a bank may lack where nothing limits them."""
_STOPS = (SetupError, ConfigurationError)


class LocalExecutor:
    """Runs jobs here."""

    shards = 1

    def __init__(self, settings: Settings, *, parallel: int = 8, hear: Callable[[Event], None] | None = None) -> None:
        """``parallel``: tasks in work at a time. ``hear`` is told the events of every run."""
        self._settings = settings
        self._parallel = parallel
        self._hear = hear

    async def run(self, job: Job) -> AsyncIterator[Update]:
        seen: dict[str, list[Event]] = {}

        def note(event: Event) -> None:
            if event.type in ("call", "failure"):
                seen.setdefault(event.task, []).append(event)
            if self._hear is not None:
                self._hear(event)

        async with await self._open(job, note) as run:
            yield JobStarted(job, run.id)
            wanted = {task.id for task in job.tasks}
            run.keep(task.id for task in run.tasks if task.id not in wanted)
            index = run.journal.recorded
            for task in job.tasks:
                if job.run_id is not None and (before := list(index.of(task.id, "call", "failure"))):
                    seen[task.id] = before
            async for found in self._solved(run, job.tasks):
                if isinstance(found, Result):
                    yield TaskSolved(job, found, call_costs(seen.pop(found.task_id, ())))
                else:
                    yield TaskCrashed(job, run.id, *found)

    async def _open(self, job: Job, note: Callable[[Event], None]) -> Run:
        if job.run_id is not None:
            return await Run.resume(job.run_id, settings=self._settings, listener=note, retry_failed=job.retry)
        recipe = Recipe.from_data(job.recipe, source=f"arm {job.cell}")
        if not job.bank:
            return await Run.start(recipe, settings=self._settings, listener=note, extra={"cell": job.cell})
        changes = Changes(recipe=recipe, calls=ANY_NUMBER if job.calls is None else job.calls)
        replay = await start_replay(job.bank, changes, settings=self._settings, listener=note)
        return replay.run

    async def _solved(self, run: Run, tasks: Sequence[Task]) -> AsyncIterator[Result | tuple[str, Failure]]:
        """Results and crashes as they come. A memory that is written to keeps the order of the tasks."""
        if run.recipe.file.memory.mode == "write":
            async for result in run.solve_all(tasks, parallel=self._parallel):
                yield result
            return
        waiting, done = iter(tasks), asyncio.Queue[Result | tuple[str, Failure] | BaseException]()

        async def work() -> None:
            try:
                for task in waiting:
                    done.put_nowait(await _guarded(run, task))
            except BaseException as error:
                done.put_nowait(error)

        run.announce(tasks)
        workers = [asyncio.create_task(work()) for _ in range(min(self._parallel, len(tasks)))]
        try:
            for _ in tasks:
                found = await done.get()
                if isinstance(found, BaseException):
                    raise found
                yield found
        finally:
            for worker in workers:
                worker.cancel()
            await asyncio.gather(*workers, return_exceptions=True)


async def _guarded(run: Run, task: Task) -> Result | tuple[str, Failure]:
    """The Result, or what broke the task and is no reason to stop the others."""
    try:
        return await run.solve(task)
    except _STOPS:
        raise
    except Exception as error:
        mend = error.mend if isinstance(error, PhronesisError) else None
        return task.id, Failure(where="task", error=type(error).__name__, message=str(error)[:500], mend=mend)
