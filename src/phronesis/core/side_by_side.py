"""Several awaitables at once, results in order."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Sequence
from typing import TypeVar

from phronesis.core.errors import PhronesisError

T = TypeVar("T")


async def side_by_side(work: Sequence[Awaitable[T]]) -> list[T]:
    """Values in the order given.

    A typed failure does not stop the others, so that whatever they cost is booked; when all have ended, the first in the
    order given is raised. Any other exception cancels the rest and is raised without a group around it."""

    async def run(item: Awaitable[T]) -> tuple[T | None, PhronesisError | None]:
        try:
            return await item, None
        except PhronesisError as error:
            return None, error

    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(run(item)) for item in work]
    except BaseExceptionGroup as together:
        raise together.exceptions[0] from None
    ended = [task.result() for task in tasks]
    failed = next((error for _, error in ended if error is not None), None)
    if failed is not None:
        raise failed
    return [value for value, _ in ended]  # type: ignore[misc]  # a value stands wherever no failure does
