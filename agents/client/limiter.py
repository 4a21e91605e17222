"""One limiter per endpoint and process, shared by every run and event loop."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

_LIMITERS: dict[str, Limiter] = {}
_lock = threading.Lock()


class Limiter:
    """At most ``limit`` holders at a time; waiters are served in the order they came, whichever loop they wait on."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._free = limit
        self._waiting: deque[tuple[asyncio.AbstractEventLoop, asyncio.Future[None]]] = deque()
        self._lock = threading.Lock()

    @asynccontextmanager
    async def hold(self) -> AsyncIterator[None]:
        """Waits for a free place and gives it back, also when cancelled."""
        await self._acquire()
        try:
            yield
        finally:
            self._release()

    async def _acquire(self) -> None:
        with self._lock:
            if self._free > 0:
                self._free -= 1
                return
            loop = asyncio.get_running_loop()
            place: asyncio.Future[None] = loop.create_future()
            self._waiting.append((loop, place))
        try:
            await place
        except asyncio.CancelledError:
            with self._lock:
                still_waiting = (loop, place) in self._waiting
                if still_waiting:
                    self._waiting.remove((loop, place))
            if not still_waiting:
                self._release()
            raise

    def _release(self) -> None:
        with self._lock:
            while self._waiting:
                loop, place = self._waiting.popleft()
                if loop.is_closed():
                    continue
                loop.call_soon_threadsafe(_hand_over, place)
                return
            self._free += 1


def _hand_over(place: asyncio.Future[None]) -> None:
    if not place.done():
        place.set_result(None)


def limiter_for(url: str, limit: int) -> Limiter:
    """The process's limiter of an address; the first caller's limit holds."""
    with _lock:
        return _LIMITERS.setdefault(url, Limiter(limit))
