"""Several awaitables at once, results in order, the first error raised as it is."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Sequence
from typing import TypeVar

T = TypeVar("T")


async def side_by_side(work: Sequence[Awaitable[T]]) -> list[T]:
    """Values in the order given. The first exception cancels the rest and is raised without a group around it."""

    async def run(item: Awaitable[T]) -> T:
        return await item

    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(run(item)) for item in work]
    except BaseExceptionGroup as together:
        raise together.exceptions[0] from None
    return [task.result() for task in tasks]
