"""The executor ``local``: the tasks of a job side by side in this process, under the limit of their endpoints."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence

from phronesis.bench.running.executor import Job, JobStarted, TaskCrashed, TaskSolved, Update
from phronesis.bench.running.item import CallCost, call_costs
from phronesis.core.errors import ConfigurationError, PhronesisError, ReplayDiverged, SetupError
from phronesis.core.events import Event
from phronesis.core.result import Failure, Result
from phronesis.core.settings import Settings
from phronesis.core.task import Task
from phronesis.graphs.recipe import Recipe
from phronesis.graphs.replay import Changes, start_replay
from phronesis.graphs.run import Run, asked_about

ANY_NUMBER = 10**9
"""Calls that a bank may lack where nothing limits them."""
_AHEAD = 64
"""Results that may wait for whoever grades them; they hold every text of their task."""
_STOPS = (SetupError, ConfigurationError, ReplayDiverged)
"""Nothing of one task: the others would end the same way."""


class LocalExecutor:
    """Runs jobs here. ``parallel`` tasks are in work at a time, over all jobs together."""

    shards = 1

    def __init__(self, settings: Settings, *, parallel: int = 8, hear: Callable[[Event], None] | None = None) -> None:
        """``parallel``: tasks in work at a time. ``hear`` is told the events of every run."""
        self.places = parallel
        self._settings = settings
        self._parallel = parallel
        self._room = asyncio.Semaphore(parallel)
        self._hear = hear

    async def run(self, job: Job) -> AsyncIterator[Update]:
        spent: dict[str, list[CallCost]] = {}

        def note(event: Event) -> None:
            if event.type in ("call", "failure"):
                spent.setdefault(event.task, []).extend(call_costs([event]))
            if self._hear is not None:
                self._hear(event)

        async with await self._open(job, note) as run:
            _check_nobody_is_asked(run, job)
            yield JobStarted(job, run.id)
            wanted = {task.id for task in job.tasks}
            run.keep(task.id for task in run.tasks if task.id not in wanted)

            def costs(task: str) -> tuple[CallCost, ...]:
                """Of earlier sessions, then of this one."""
                before = call_costs(list(run.journal.recorded.of(task, "call", "failure")))
                return (*before, *spent.pop(task, ()))

            async for found in self._solved(run, job.tasks):
                if isinstance(found, Result):
                    yield TaskSolved(job, found, costs(found.task_id))
                else:
                    yield TaskCrashed(job, run.id, *found, costs(found[0]))

    async def _open(self, job: Job, note: Callable[[Event], None]) -> Run:
        if job.run_id is not None:
            return await Run.resume(job.run_id, settings=self._settings, listener=note, retry_failed=job.retry)
        recipe = Recipe.from_data(job.recipe, source=f"arm {job.cell}")
        if not job.bank:
            return await Run.start(recipe, settings=self._settings, listener=note, extra={"cell": job.cell})
        own = recipe.file.memory.mode != "off" or run_sources(recipe)
        if own and job.calls is None:
            extra = {"cell": job.cell}
            return await Run.start(recipe, settings=self._settings, listener=note, extra=extra, draws_from=job.bank)
        changes = Changes(recipe=recipe, calls=ANY_NUMBER if job.calls is None else job.calls)
        replay = await start_replay(job.bank, changes, settings=self._settings, listener=note)
        return replay.run

    async def _solved(self, run: Run, tasks: Sequence[Task]) -> AsyncIterator[Result | tuple[str, Failure]]:
        """Results and crashes as they come. A memory that is written to keeps the order of the tasks."""
        if run.recipe.file.memory.mode == "write":
            async for result in run.solve_all(tasks, parallel=self._parallel):
                yield result
            return
        waiting, done = iter(tasks), asyncio.Queue[Result | tuple[str, Failure] | BaseException](maxsize=_AHEAD)

        async def work() -> None:
            try:
                for task in waiting:
                    async with self._room:
                        found = await _guarded(run, task)
                    await done.put(found)
            except asyncio.CancelledError:
                raise  # nobody reads the queue any more
            except BaseException as error:
                await done.put(error)

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


def run_sources(recipe: Recipe) -> bool:
    """Whether the recipe searches documents or calls tools of its own, which a replay would not."""
    return bool(recipe.file.retrieval.source or recipe.file.tools.use)


def _check_nobody_is_asked(run: Run, job: Job) -> None:
    """Raises ConfigurationError where a person would be asked: in a bench nobody is there."""
    found = None if run.replayed_from else asked_about(run.recipe, run.sources.specs)
    if found is not None:
        what, key = found
        raise ConfigurationError(
            f"{job.cell} would ask a person {what}, and in a bench nobody is there",
            mend=f"leave it out, or say --set {key}=none",
        )


async def _guarded(run: Run, task: Task) -> Result | tuple[str, Failure]:
    """The Result, or what broke the task and is no reason to stop the others."""
    try:
        return await run.solve(task)
    except _STOPS:
        raise
    except Exception as error:
        mend = error.mend if isinstance(error, PhronesisError) else None
        return task.id, Failure(where="task", error=type(error).__name__, message=str(error)[:500], mend=mend)
