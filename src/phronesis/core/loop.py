"""The one sync door: a background event loop that owns connection pools and engines of synchronous callers."""

from __future__ import annotations

import asyncio
import atexit
import concurrent.futures
import threading
from collections.abc import Coroutine
from typing import Any, TypeVar

from phronesis.core.http import close_pools, hold_pools

T = TypeVar("T")
_lock = threading.Lock()
_loop: asyncio.AbstractEventLoop | None = None


def _background() -> asyncio.AbstractEventLoop:
    global _loop
    with _lock:
        if _loop is None or _loop.is_closed():
            _loop = asyncio.new_event_loop()
            hold_pools(_loop)
            threading.Thread(target=_loop.run_forever, name="phronesis", daemon=True).start()
            atexit.register(_stop, _loop)
        return _loop


def _stop(loop: asyncio.AbstractEventLoop) -> None:
    if loop.is_running():
        try:
            asyncio.run_coroutine_threadsafe(close_pools(), loop).result(timeout=2)
        except (TimeoutError, concurrent.futures.TimeoutError, RuntimeError):
            pass
        loop.call_soon_threadsafe(loop.stop)


def _running_here() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


def run_sync(work: Coroutine[Any, Any, T]) -> T:
    """Runs a coroutine to its end and returns its value; works inside a running loop too, whose thread then waits.

    Ctrl-C cancels the coroutine, waits until it has cleaned up, and raises KeyboardInterrupt."""
    loop = _background()
    if _running_here() is loop:
        work.close()
        raise RuntimeError("the sync door is open already: inside a recipe's own loop, await the async method instead")
    future = asyncio.run_coroutine_threadsafe(work, loop)
    try:
        return future.result()
    except KeyboardInterrupt:
        future.cancel()
        concurrent.futures.wait([future], timeout=10)
        raise
