"""One limiter per endpoint and process, shared by every run and event loop."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import deque
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager

from phronesis.agents.client.adaptive import AdaptiveLimit, Change, Pace, Start

_LIMITERS: dict[str, Limiter] = {}
_lock = threading.Lock()


class Place:
    """A holder's place. What it reports makes an adaptive limiter grow or shrink; a fixed one does not listen."""

    def __init__(self, limiter: Limiter, start: Start | None) -> None:
        self._limiter = limiter
        self._start = start

    def succeeded(self, pace: Pace | None = None) -> None:
        """A whole reply came."""
        if self._start is not None:
            self._limiter._succeeded(self._start, pace)

    def refused(self, retry_after: float | None = None) -> None:
        """The server had no room; nothing starts for ``retry_after`` seconds."""
        if self._start is not None:
            self._limiter._refused(self._start, retry_after)


class Limiter:
    """At most ``limit`` holders at a time; waiters are served in the order they came, whichever loop they wait on."""

    def __init__(self, limit: int, *, adaptive: bool = False) -> None:
        """``adaptive``: fewer while the server cannot take more, see ``adaptive``."""
        self.limit = limit
        self._adaptive = AdaptiveLimit(limit) if adaptive else None
        self._held = 0
        self._waiting: deque[tuple[asyncio.AbstractEventLoop, asyncio.Future[None]]] = deque()
        self._lock = threading.Lock()
        self._alarm: threading.Timer | None = None

    @property
    def places(self) -> int:
        """Holders there may be now."""
        return self._adaptive.limit if self._adaptive else self.limit

    @property
    def load(self) -> float:
        """Holders and waiters per place; infinite while the server wants to be left alone."""
        if self._paused():
            return float("inf")
        return (self._held + len(self._waiting)) / self.places

    @property
    def changes(self) -> Sequence[Change]:
        """The last cuts of an adaptive limiter, oldest first."""
        return self._adaptive.changes if self._adaptive else ()

    @asynccontextmanager
    async def hold(self) -> AsyncIterator[Place]:
        """Waits for a free place and gives it back, also when cancelled."""
        await self._acquire()
        try:
            with self._lock:
                start = self._adaptive.start(self._held) if self._adaptive else None
            yield Place(self, start)
        finally:
            self._release()

    async def _acquire(self) -> None:
        with self._lock:
            if not self._waiting and self._open():
                self._held += 1
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
            self._held -= 1
            self._serve()

    def _paused(self) -> bool:
        return self._adaptive is not None and time.monotonic() < self._adaptive.closed_until

    def _open(self) -> bool:
        return self._held < self.places and not self._paused()

    def _serve(self) -> None:
        """Hands free places to waiters. The caller holds the lock."""
        while self._waiting and self._open():
            loop, place = self._waiting.popleft()
            if loop.is_closed():
                continue
            self._held += 1
            loop.call_soon_threadsafe(_hand_over, place)

    def _succeeded(self, start: Start, pace: Pace | None) -> None:
        assert self._adaptive is not None
        with self._lock:
            self._adaptive.succeeded(start, now=time.monotonic(), in_flight=self._held, pace=pace)

    def _refused(self, start: Start, retry_after: float | None) -> None:
        assert self._adaptive is not None
        with self._lock:
            now = time.monotonic()
            self._adaptive.refused(start, now=now, in_flight=self._held, retry_after=retry_after)
            if self._paused() and self._alarm is None:
                self._wake_in(self._adaptive.closed_until - now)

    def _wake_in(self, seconds: float) -> None:
        """Serves the waiters once the pause is over: it belongs to no loop, for the one that waits may end first."""
        self._alarm = threading.Timer(seconds, self._wake)
        self._alarm.daemon = True
        self._alarm.start()

    def _wake(self) -> None:
        with self._lock:
            self._alarm = None
            if self._paused():
                assert self._adaptive is not None
                self._wake_in(self._adaptive.closed_until - time.monotonic())
            else:
                self._serve()


def _hand_over(place: asyncio.Future[None]) -> None:
    if not place.done():
        place.set_result(None)


def limiter_for(url: str, limit: int, *, adaptive: bool = False) -> Limiter:
    """The process's limiter of an address; the first caller's limit holds."""
    with _lock:
        if url not in _LIMITERS:
            _LIMITERS[url] = Limiter(limit, adaptive=adaptive)
        return _LIMITERS[url]


def limiters() -> Mapping[str, Limiter]:
    """The limiters of this process by address, for whoever asks why a run is slow."""
    with _lock:
        return dict(_LIMITERS)
