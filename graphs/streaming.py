"""A run of one task as a stream of its events."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import suppress

from phronesis.core.asking import Asker
from phronesis.core.errors import PhronesisError
from phronesis.core.journal import Event
from phronesis.core.settings import Settings
from phronesis.core.task import Task
from phronesis.graphs.recipe import Recipe
from phronesis.graphs.run import Run


async def stream(
    recipe: Recipe, task: Task, *, settings: Settings | None = None, asker: Asker | None = None
) -> AsyncGenerator[Event, None]:
    """The events of a run of one task as they happen. Closing the iterator cancels the run."""
    queue: asyncio.Queue[Event | None] = asyncio.Queue()

    async def work() -> None:
        try:
            async with await Run.start(recipe, settings=settings, listener=queue.put_nowait, asker=asker) as run:
                await run.solve(task)
        finally:
            queue.put_nowait(None)

    running = asyncio.create_task(work())
    try:
        while (event := await queue.get()) is not None:
            yield event
        await running
    finally:
        running.cancel()
        with suppress(asyncio.CancelledError, PhronesisError):
            await running
