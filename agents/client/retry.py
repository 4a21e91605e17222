"""When a failed exchange is tried again, and after how long."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import TypeVar

from phronesis.core.chat import Batch
from phronesis.core.errors import ModelError, Retryable

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class RetryRule:
    """Exponential backoff with full jitter; a server's Retry-After is a lower bound."""

    retries: int = 4
    """Further attempts."""
    first: float = 0.25
    """Seconds of the first pause, before jitter."""
    longest: float = 20.0
    """Upper bound of a pause that the server did not name."""
    patience: float = 120.0
    """A Retry-After beyond this ends the attempts at once."""

    def pause(self, attempt: int, retry_after: float | None, rng: random.Random) -> float | None:
        """Seconds before attempt ``attempt + 1`` (from 0); None = give up."""
        if attempt >= self.retries or (retry_after is not None and retry_after > self.patience):
            return None
        jittered = rng.uniform(0.5, 1.0) * min(self.longest, self.first * 2.0**attempt)
        return max(jittered, retry_after or 0.0)


async def with_retries(
    work: Callable[[], Awaitable[T]], rule: RetryRule, *, on_attempt: Callable[[], None] = lambda: None
) -> T:
    """The first success, or the last Retryable error. Nothing else is tried again; ``on_attempt`` counts attempts."""
    attempt = 0
    while True:
        on_attempt()
        try:
            return await work()
        except Retryable as error:
            retry_after = error.details.get("retry_after")
            pause = rule.pause(attempt, None if retry_after is None else float(retry_after), random.Random())
            if pause is None:
                raise
            await asyncio.sleep(pause)
            attempt += 1


async def one_batch(attempt: Callable[[], Awaitable[Batch]], rule: RetryRule) -> Batch:
    """The first attempt that succeeds, with the requests and the time of all of them.

    Raises the last ModelError, with the number of requests it took in ``details['requests']``."""
    started = time.perf_counter()
    requests = 0

    async def counted() -> Batch:
        nonlocal requests
        try:
            batch = await attempt()
        except ModelError as error:
            requests += int(error.details.get("requests", 1))
            raise
        requests += batch.usage.requests
        return batch

    try:
        batch = await with_retries(counted, rule)
    except ModelError as error:
        error.details["requests"] = requests
        raise
    return replace(batch, usage=replace(batch.usage, requests=requests), latency=time.perf_counter() - started)
