"""Blocking work in a thread that nobody has to wait for."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

T = TypeVar("T")


async def in_thread(work: Callable[[], T]) -> T:
    """What the work returns or raises. It runs in a daemon thread of its own.

    A thread cannot be stopped: where the caller is cancelled the work goes on unseen until it ends by itself, and what it
    brings is dropped. Unlike a thread of a pool it takes no other work's place and does not keep the process alive."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[T] = loop.create_future()
    context = contextvars.copy_context()

    def tell(result: T | None, error: BaseException | None) -> None:
        if done.done():
            return
        if error is not None:
            done.set_exception(error)
        else:
            done.set_result(result)  # type: ignore[arg-type]  # None only where T allows it

    def run() -> None:
        result, failure = None, None
        try:
            result = context.run(work)
        except StopIteration as error:  # a future refuses it
            failure = RuntimeError(f"StopIteration: {error}")
        except BaseException as error:
            failure = error  # type: ignore[assignment]  # any kind, raised again where the caller waits
        with suppress(RuntimeError):  # the loop is closed: nobody waits
            loop.call_soon_threadsafe(tell, result, failure)

    threading.Thread(target=run, name="phronesis-tool", daemon=True).start()
    return await done
