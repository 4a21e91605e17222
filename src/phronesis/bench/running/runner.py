"""The runner: cell by cell, what is missing is solved, graded and written. One bad problem never stops it."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import aclosing

from phronesis.bench.dataset import DataSet, Example
from phronesis.bench.graders.grader import Grader
from phronesis.bench.running.executor import Executor, Job, JobStarted, TaskCrashed, TaskSolved, Update
from phronesis.bench.running.folder import BenchFolder
from phronesis.bench.running.grading import crashed_item, grade_item
from phronesis.bench.running.item import Item
from phronesis.bench.running.plan import Arm, BenchPlan, Cell, cells
from phronesis.core.errors import EndpointUnreachable
from phronesis.core.seeds import derive
from phronesis.core.task import Task

IN_A_ROW = 16
"""Tasks that fail one after another for want of an endpoint until the bench stops: the endpoint is gone, not the task."""
_GONE = frozenset({"EndpointUnreachable", "ServerFailed", "TimedOut", "RateLimited", "Retryable", "ModelChanged"})
"""Failures of the surroundings. Tasks that failed by them alone are solved again on resume."""
Hear = Callable[[Cell, Item], None]


class Runner:
    """Carries out a plan in a folder."""

    def __init__(
        self,
        folder: BenchFolder,
        plan: BenchPlan,
        sets: Mapping[str, DataSet],
        graders: Mapping[tuple[str, str], Grader],
        executor: Executor,
        *,
        hear: Hear = lambda cell, item: None,
        retry_failed: bool = False,
    ) -> None:
        """``graders`` by set and grader text. ``hear`` is told each item as it is written. ``retry_failed``: every failed
        task begins again, not only those that failed by their surroundings."""
        self._folder = folder
        self._plan = plan
        self._sets = sets
        self._graders = graders
        self._executor = executor
        self._hear = hear
        self._retry_failed = retry_failed
        self._gone = 0

    async def run(self) -> None:
        """Every cell that lacks something. Raises SetupError when an endpoint is gone; what is done is kept."""
        done: dict[Cell, dict[str, Item]] = {}
        for item in self._folder.items():
            done.setdefault(Cell(item.arm, item.set, item.repeat), {})[item.task] = item
        for cell in cells(self._plan):
            if cell.set in self._sets:
                await self._cell(cell, done.get(cell, {}))

    async def _cell(self, cell: Cell, done: Mapping[str, Item]) -> None:
        missing = [item for item in self._sets[cell.set].examples if self._open(done.get(item.task.id))]
        if not missing:
            return
        solved = {name for name, item in done.items() if item.status == "ungraded"}
        jobs = self._jobs(cell, missing, solved)
        queue, room = asyncio.Queue[Update | BaseException | None](maxsize=256), asyncio.Semaphore(os.cpu_count() or 1)
        by_id = {item.task.id: item for item in missing}
        workers = [asyncio.create_task(self._follow(job, queue)) for job in jobs]
        grading: set[asyncio.Task[None]] = set()
        left = len(jobs)
        try:
            while left:
                update = await queue.get()
                if update is None:
                    left -= 1
                elif isinstance(update, BaseException):
                    raise update
                elif isinstance(update, JobStarted):
                    if update.job.run_id is None:
                        self._folder.note_run(cell, update.run_id, (task.id for task in update.job.tasks))
                else:
                    await room.acquire()
                    work = asyncio.create_task(self._settle(cell, update, by_id, room))
                    grading.add(work)
                    for ended in [task for task in grading if task.done()]:
                        grading.discard(ended)
                        ended.result()
            for work in list(grading):
                await work
        finally:
            for worker in (*workers, *grading):
                worker.cancel()
            await asyncio.gather(*workers, *grading, return_exceptions=True)

    def _open(self, item: Item | None) -> bool:
        """Whether there is something to do for a task."""
        if item is None or item.status == "ungraded":
            return True
        return item.status == "failed" and (self._retry_failed or _by_surroundings(item))

    def _jobs(self, cell: Cell, missing: Sequence[Example], solved: set[str]) -> list[Job]:
        """A job for each earlier run that holds some of the tasks, and new ones for the rest. Those that are not ``solved``
        begin again if they failed there."""
        arm = next(arm for arm in self._plan.arms if arm.name == cell.arm)
        recipe = {**arm.recipe, "seed": _seed(int(arm.recipe.get("seed", 0)), cell.repeat), "calibration": "frozen"}
        wanted, jobs = {item.task.id: item.task for item in missing}, list[Job]()
        bank = self._bank(arm, cell)
        for run_id, tasks in self._folder.runs_of(cell).items():
            mine = tuple(wanted.pop(name) for name in tasks if name in wanted)
            if mine:
                again = tuple(task.id for task in mine if task.id not in solved)
                jobs.append(Job(cell=cell.key, recipe=recipe, tasks=mine, run_id=run_id, retry=again))
        rest = list(wanted.values())
        sequential = arm.recipe.get("memory", {}).get("mode") == "write"
        for part in _parts(rest, 1 if sequential else self._executor.shards):
            jobs.append(Job(cell=cell.key, recipe=recipe, tasks=tuple(part), bank=bank, calls=arm.calls))
        return jobs

    def _bank(self, arm: Arm, cell: Cell) -> str:
        """The run that the arm draws from: that of the arm it names on the same set and repeat, else the run it names."""
        if arm.bank not in {item.name for item in self._plan.arms}:
            return arm.bank
        return next(iter(self._folder.runs_of(cell._replace(arm=arm.bank))), "")

    async def _follow(self, job: Job, queue: asyncio.Queue[Update | BaseException | None]) -> None:
        try:
            async with aclosing(self._executor.run(job)) as updates:  # type: ignore[type-var]  # a generator
                async for update in updates:
                    await queue.put(update)
            await queue.put(None)
        except BaseException as error:
            await queue.put(error)

    async def _settle(
        self, cell: Cell, update: TaskSolved | TaskCrashed, by_id: Mapping[str, Example], room: asyncio.Semaphore
    ) -> None:
        """Grades what came, writes it, and watches for an endpoint that is gone."""
        try:
            if isinstance(update, TaskCrashed):
                item = crashed_item(cell, by_id[update.task], update.run_id, update.failure)
            else:
                example = by_id[update.result.task_id]
                grader = self._graders[cell.set, example.grader]
                item = await grade_item(cell, example, update.result, update.calls, grader)
            self._folder.add(item)
            self._hear(cell, item)
            self._gone = self._gone + 1 if item.status == "failed" and _by_surroundings(item) else 0
        finally:
            room.release()
        if self._gone >= IN_A_ROW:
            last = item.failures[0]
            raise EndpointUnreachable(
                f"the last {self._gone} tasks all failed for want of an endpoint: {last.message}",
                mend="start the endpoint again, then give the same command: what is done is kept",
            )


def _by_surroundings(item: Item) -> bool:
    return bool(item.failures) and all(failure.error in _GONE for failure in item.failures)


def _seed(seed: int, repeat: int) -> int:
    """The seed of a repeat; the first one has the recipe's own."""
    return seed if repeat == 0 else derive(seed, "repeat", repeat)


def _parts(values: Sequence[Task], count: int) -> list[Sequence[Task]]:
    """At most ``count`` shares of about the same size, every one with something in it."""
    count = min(max(1, count), len(values))
    return [values[first::count] for first in range(count)]
