"""The runner: cell by cell, what is missing is solved, graded and written. One bad problem never stops it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import aclosing
from typing import Any, NamedTuple

from phronesis.bench.dataset import DataSet, Example, in_format
from phronesis.bench.graders.grader import Grader
from phronesis.bench.running.executor import Executor, Job, JobStarted, TaskCrashed, TaskSolved
from phronesis.bench.running.folder import BenchFolder
from phronesis.bench.running.grading import crashed_item, grade_item
from phronesis.bench.running.item import SURROUNDINGS, Item
from phronesis.bench.running.plan import Arm, BenchPlan, Cell, answer_format_of, cells
from phronesis.core.errors import ConfigurationError, EndpointUnreachable
from phronesis.core.seeds import derive
from phronesis.core.task import Task
from phronesis.graphs.memory_section import MemorySection

IN_A_ROW = 16
"""Tasks that fail one after another for want of an endpoint until the bench stops: the endpoint is gone, not the task."""
Hear = Callable[[Cell, Item], None]
_GRADED_AT_ONCE = 16
"""Items being graded at a time; graders that compute bound themselves."""
_Heard = TaskSolved | TaskCrashed | BaseException | None
"""What comes from a job; None = it has ended."""


class _Memories(NamedTuple):
    """The memories that an arm reads, and those of them that it changes."""

    read: frozenset[str]
    changed: frozenset[str]

    def meets(self, other: _Memories) -> bool:
        """Whether one of the two changes what the other one reads."""
        return bool(self.changed & other.read or other.changed & self.read)


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
        overlap: int = 0,
    ) -> None:
        """``graders`` by set and grader text. ``hear`` is told each item as it is written. ``retry_failed``: every failed
        task begins again, not only those that failed by their surroundings, and so do those that lost calls to them.
        ``overlap``: with so many tasks or fewer left, the next cell begins; 0 = one cell after another."""
        self._folder = folder
        self._plan = plan
        self._sets = sets
        self._graders = graders
        self._executor = executor
        self._hear = hear
        self._retry_failed = retry_failed
        self._overlap = overlap
        self._formats = {arm.name: answer_format_of(arm.recipe) for arm in plan.arms}
        self._memories = {arm.name: _memories_of(arm.recipe) for arm in plan.arms}
        self._gone = 0
        self._left = 0
        """Tasks of the running cells that are not written yet."""
        self._moved = asyncio.Event()

    async def run(self) -> None:
        """Every cell that lacks something. Raises SetupError when an endpoint is gone; what is done is kept."""
        done: dict[Cell, dict[str, Item]] = {}
        for item in self._folder.items():
            light = item.model_copy(update={"calls": (), "attempts": ()})
            done.setdefault(Cell(item.arm, item.set, item.repeat), {})[item.task] = light
        waiting = [cell for cell in cells(self._plan) if cell.set in self._sets]
        running: dict[asyncio.Task[None], Cell] = {}
        try:
            while waiting or running:
                cell = self._next(waiting, running.values())
                if cell is not None:
                    waiting.remove(cell)
                    known = done.pop(cell, {})
                    missing = [item for item in self._sets[cell.set].examples if self._open(known.get(item.task.id))]
                    if missing:
                        solved = {name for name, item in known.items() if item.status == "ungraded"}
                        self._left += len(missing)
                        running[asyncio.create_task(self._cell(cell, missing, solved))] = cell
                    continue
                self._moved.clear()
                moved = asyncio.create_task(self._moved.wait())
                await asyncio.wait({*running, moved}, return_when=asyncio.FIRST_COMPLETED)
                moved.cancel()
                for ended in [task for task in running if task.done()]:
                    del running[ended]
                    ended.result()
        finally:
            for task in running:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)

    def _next(self, waiting: Sequence[Cell], running: Iterable[Cell]) -> Cell | None:
        """The cell to begin now: the first whose bank is complete, once no more than ``overlap`` tasks of those that are
        running are left. Cells of a memory that one of them changes keep their order, and run one after another."""
        going = set(running)
        if going and self._left > self._overlap:
            return None
        banks = {arm.name: arm.bank for arm in self._plan.arms}
        behind, ahead = {*waiting, *going}, {cell.arm for cell in going}
        for cell in waiting:
            shared = any(self._memories[cell.arm].meets(self._memories[arm]) for arm in ahead)
            if not shared and cell._replace(arm=banks[cell.arm]) not in behind:
                return cell
            ahead.add(cell.arm)
        return None

    async def _cell(self, cell: Cell, missing: Sequence[Example], solved: set[str]) -> None:
        jobs = self._jobs(cell, missing, solved)
        queue, room = asyncio.Queue[_Heard](maxsize=256), asyncio.Semaphore(_GRADED_AT_ONCE)
        by_id = {item.task.id: item for item in missing}
        workers = [asyncio.create_task(self._follow(cell, job, queue)) for job in jobs]
        grading: set[asyncio.Task[None]] = set()
        left = len(jobs)
        try:
            while left:
                update = await queue.get()
                if update is None:
                    left -= 1
                elif isinstance(update, BaseException):
                    raise update
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
        if item.status == "ok":
            return self._retry_failed and item.lost_calls
        return self._retry_failed or _by_surroundings(item)

    def _jobs(self, cell: Cell, missing: Sequence[Example], solved: set[str]) -> list[Job]:
        """A job for each earlier run that holds some of the tasks, and new ones for the rest. Those that are not ``solved``
        begin again if they failed there. What a bank may lack is divided among the jobs."""
        arm = next(arm for arm in self._plan.arms if arm.name == cell.arm)
        recipe = {**arm.recipe, "seed": _seed(int(arm.recipe.get("seed", 0)), cell.repeat), "calibration": "frozen"}
        wanted, jobs = {item.task.id: item.task for item in missing}, list[Job]()
        for run_id, tasks in self._folder.runs_of(cell).items():
            mine = tuple(wanted.pop(name) for name in tasks if name in wanted)
            if mine:
                self._folder.check_run(cell, run_id)
                again = tuple(task.id for task in mine if task.id not in solved)
                jobs.append(Job(cell=cell.key, recipe=recipe, tasks=mine, run_id=run_id, retry=again))
        sequential = arm.recipe.get("memory", {}).get("mode") == "write"
        banks = self._by_bank(arm, cell, list(wanted.values()))
        count = 1 if sequential else max(1, self._executor.shards // max(1, len(banks)))
        parts = [(bank, part) for bank, tasks in banks.items() for part in _parts(tasks, count)]
        for (bank, part), calls in zip(parts, _divided(arm.calls, len(parts)), strict=True):
            jobs.append(Job(cell=cell.key, recipe=recipe, tasks=tuple(part), bank=bank, calls=calls))
        return jobs

    def _by_bank(self, arm: Arm, cell: Cell, tasks: Sequence[Task]) -> dict[str, list[Task]]:
        """The tasks by the run they draw from: of the arm that is named, on the same set and repeat, the run that holds the
        task; else the run that is named. Raises ConfigurationError for a task that no run of the arm holds."""
        if arm.bank not in {item.name for item in self._plan.arms}:
            return {arm.bank: list(tasks)} if tasks else {}
        source = cell._replace(arm=arm.bank)
        runs = self._folder.runs_of(source)
        holder = {name: run for run, names in runs.items() for name in names}
        found: dict[str, list[Task]] = {}
        for task in tasks:
            if task.id not in holder:
                raise ConfigurationError(
                    f"{cell.key} draws from {source.key}, of which no run holds task {task.id!r}",
                    mend=f"restore runs.jsonl, or delete the items of {source.key}: they are then paid again",
                )
            found.setdefault(holder[task.id], []).append(task)
        for run_id in found:
            self._folder.check_run(source, run_id)
        return found

    async def _follow(self, cell: Cell, job: Job, queue: asyncio.Queue[_Heard]) -> None:
        """Passes on what happens in a job. Its run is noted before the executor goes on to pay for anything."""
        try:
            async with aclosing(self._executor.run(job)) as updates:  # type: ignore[type-var]  # a generator
                async for update in updates:
                    if not isinstance(update, JobStarted):
                        await queue.put(update)
                    elif update.job.run_id is None:
                        self._folder.note_run(cell, update.run_id, (task.id for task in update.job.tasks))
            await queue.put(None)
        except asyncio.CancelledError:
            raise  # nobody reads the queue any more
        except BaseException as error:
            await queue.put(error)

    async def _settle(
        self, cell: Cell, update: TaskSolved | TaskCrashed, by_id: Mapping[str, Example], room: asyncio.Semaphore
    ) -> None:
        """Grades what came, writes it, and watches for an endpoint that is gone."""
        try:
            if isinstance(update, TaskCrashed):
                item = crashed_item(cell, by_id[update.task], update.run_id, update.failure, update.calls)
            else:
                example = in_format(by_id[update.result.task_id], self._formats[cell.arm])
                grader = self._graders[cell.set, example.grader]
                item = await grade_item(cell, example, update.result, update.calls, grader)
            self._folder.add(item)
            self._hear(cell, item)
            self._gone = self._gone + 1 if item.status == "failed" and _by_surroundings(item) else 0
            self._left -= 1
            self._moved.set()
        finally:
            room.release()
        if self._gone >= IN_A_ROW:
            last = item.failures[0]
            raise EndpointUnreachable(
                f"the last {self._gone} tasks all failed for want of an endpoint: {last.message}",
                mend="start the endpoint again, then give the same command: what is done is kept",
            )


def _memories_of(recipe: Mapping[str, Any]) -> _Memories:
    """By the recipe's section; a memory in the mode ``read`` is changed too: what was of use is booked."""
    section = MemorySection.model_validate(recipe.get("memory", {}))
    if section.mode == "off":
        return _Memories(frozenset(), frozenset())
    changed = {section.session} if section.mode != "frozen" else set[str]()
    return _Memories(frozenset({section.session, *section.mounts}), frozenset(changed))


def _by_surroundings(item: Item) -> bool:
    return bool(item.failures) and all(failure.error in SURROUNDINGS for failure in item.failures)


def _seed(seed: int, repeat: int) -> int:
    """The seed of a repeat; the first one has the recipe's own."""
    return seed if repeat == 0 else derive(seed, "repeat", repeat)


def _divided(calls: int | None, count: int) -> list[int | None]:
    """An allowance in ``count`` shares that differ by 1 at most; who gets more is who comes first."""
    if calls is None or not count:
        return [None] * count
    return [calls // count + (at < calls % count) for at in range(count)]


def _parts(values: Sequence[Task], count: int) -> list[Sequence[Task]]:
    """At most ``count`` shares of about the same size, every one with something in it."""
    count = min(max(1, count), len(values))
    return [values[first::count] for first in range(count)]
