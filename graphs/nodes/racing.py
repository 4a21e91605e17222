"""A race: several calls at once, the first that win end it, the others are cancelled at the server.

Who finished, in which order, is an effect of its own, journalled before anybody is cancelled. A resume reads it first
and asks for the recorded replies alone; one that was stopped in the middle of a race honours the replies that had come,
in the order they came, before it asks for more.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from phronesis.core.effects import Effects
from phronesis.core.side_by_side import side_by_side

T = TypeVar("T")


@dataclass(frozen=True)
class RaceEnd(Generic[T]):
    """How a race ended."""

    values: Mapping[int, T]
    """What each lane brought that had ended by then, in index order."""
    winners: tuple[int, ...]
    """Lanes that won, in the order they did."""
    cancelled: tuple[int, ...]
    """Lanes that were still running."""


@dataclass(frozen=True, kw_only=True)
class Race(Generic[T]):
    """The rules of one race."""

    lanes: int
    run: Callable[[int], Awaitable[T]]
    """One lane's work, asked for once. It must be safe to cancel."""
    wins: Callable[[T], bool]
    wait_for: int = 1
    """Winners that end the race."""
    length: Callable[[T], int] = lambda value: 0
    """Orders lanes that a replay has at once: the shortest would have come first."""

    async def hold(self, effects: Effects, key: str, request: Any, *, before: Sequence[int] = ()) -> RaceEnd[T]:
        """Runs the race to its end; no lane outlives it, whatever ends it.

        ``before``: lanes of which an earlier session journalled a reply, in that order. The first error that is no value
        cancels every lane and is raised."""
        values: dict[int, T] = {}
        order: list[int] = []
        running: list[asyncio.Task[None]] = []

        async def lane(index: int) -> None:
            values[index] = await self.run(index)
            order.append(index)

        def winners() -> list[int]:
            return [index for index in order if self.wins(values[index])][: self.wait_for]

        async def decide() -> dict[str, Any]:
            if effects.bank is not None:
                await side_by_side([lane(index) for index in range(self.lanes)])
                order.sort(key=lambda index: (self.length(values[index]), index))
                return {"finished": order, "cancelled": []}
            for index in before:
                if len(winners()) < self.wait_for:
                    await lane(index)
            waiting: set[asyncio.Task[None]] = set()
            if len(winners()) < self.wait_for:
                running.extend(asyncio.create_task(lane(index)) for index in range(self.lanes) if index not in values)
                waiting = set(running)
            while waiting and len(winners()) < self.wait_for:
                done, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    task.result()
            cancelled = [index for index in range(self.lanes) if index not in values]
            return {"finished": order, "cancelled": cancelled}

        try:
            end = await effects.effect(key, request, decide)
        finally:
            for task in running:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)
        await side_by_side([lane(index) for index in end["finished"] if index not in values])
        order[:] = end["finished"]
        found = {index: values[index] for index in sorted(order)}
        return RaceEnd(found, tuple(winners()), tuple(end["cancelled"]))
