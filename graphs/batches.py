"""Batches of a run whose memory is written to: all of a batch read one version of it, and write at its end in task order.

The version is read once, when the batch begins, and is an effect of the run: a resumed batch reads the same one, whatever
others wrote meanwhile. So no task sees the lessons of another one of its batch, and who finished first does not matter.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace

from phronesis.core.effects import Effects
from phronesis.core.events import EventIndex
from phronesis.core.result import Result
from phronesis.core.side_by_side import side_by_side
from phronesis.core.task import Task
from phronesis.graphs.solve import Explored, Surroundings, explore_task, settle_task

_KEY = "memory#batch "


def recorded_batches(index: EventIndex) -> list[tuple[str, ...]]:
    """The task ids of each batch that a run has begun, in the order it did."""
    begun = (event for event in index.of("", "effect") if event.key.startswith(_KEY))
    return [tuple(event.data["request"]["tasks"]) for event in begun]


def batches(tasks: Sequence[Task], size: int, recorded: Sequence[Sequence[str]] = ()) -> list[tuple[Task, ...]]:
    """The tasks in order, ``size`` at a time; those of a recorded batch are together again, whatever the size is now."""
    by_id = {task.id: task for task in tasks}
    member = {task: number for number, batch in enumerate(recorded) for task in batch}
    found: list[tuple[Task, ...]] = []
    fresh: list[Task] = []
    done: set[str] = set()
    for task in tasks:
        if task.id in done:
            continue
        if task.id in member:
            found += [tuple(fresh)] if fresh else []
            fresh = []
            batch = tuple(by_id[name] for name in recorded[member[task.id]] if name in by_id)
            done |= {item.id for item in batch}
            found.append(batch)
            continue
        fresh.append(task)
        if len(fresh) == size:
            found.append(tuple(fresh))
            fresh = []
    return [*found, tuple(fresh)] if fresh else found


async def solve_batch(
    around: Surroundings, batch: Sequence[Task], parallel: int
) -> list[tuple[Result, dict[str, float]]]:
    """What ``solve_task`` gives for each, in order: at most ``parallel`` of them make their calls side by side, then
    whatever changes the memory is done one after another."""
    version = await _pinned(around, batch)
    pinned, room = replace(around, memory_version=version), asyncio.Semaphore(max(1, parallel))

    async def explore(task: Task) -> Explored:
        async with room:
            return await explore_task(pinned, task)

    explored = await side_by_side([explore(task) for task in batch])
    return [await settle_task(item) for item in explored]


async def _pinned(around: Surroundings, batch: Sequence[Task]) -> int:
    """The memory's version that the batch reads: the journalled one, or the one of now."""
    names = [task.id for task in batch]

    async def read() -> int:
        return await asyncio.to_thread(lambda: around.memory().version())

    return int(await Effects(around.journal, "").effect(f"{_KEY}{names[0]}", {"tasks": names}, read))
