"""What every driver shares: jobs come in as JSON lines, measurements go out as JSON lines. Standard library only.

A driver is a process of its own, in the environment of what it drives. For each job it opens its client, makes one
untimed round of calls, then the timed ones, and reports the CPU time of its whole process (all threads), the wall clock, and
what the mock counted meanwhile.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import resource
import sys
import time
import traceback
import urllib.request
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Any

Work = Callable[[int], Awaitable[object]]
"""Makes that many calls, as many in flight as the job says."""


@dataclass(frozen=True)
class Job:
    """One measurement."""

    host: str
    """Address of the mock."""
    path: str
    """What the mock is to do: ``/20/1KB/128``."""
    calls: int
    in_flight: int
    logprobs: bool = False
    scratch: str = ""
    """An empty folder."""
    options: dict[str, Any] = field(default_factory=dict)
    """What this driver alone understands."""

    @property
    def url(self) -> str:
        return f"{self.host}{self.path}/v1"


Opened = Callable[[Job], AbstractAsyncContextManager[Work]]


async def in_waves(one: Callable[[], Awaitable[object]], calls: int, in_flight: int) -> None:
    """``calls`` calls in rounds of ``in_flight`` side by side."""
    for start in range(0, calls, in_flight):
        await asyncio.gather(*(one() for _ in range(min(in_flight, calls - start))))


def _ask(method: str, url: str) -> dict[str, Any]:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    data = b"{}" if method == "POST" else None
    with opener.open(urllib.request.Request(url, data=data, method=method), timeout=10) as reply:
        return dict(json.loads(reply.read()))


def _peak_mb() -> float:
    """The most memory that this process ever held."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return round(peak / (2**20 if sys.platform == "darwin" else 2**10), 1)


async def _timed(job: Job, work: Work, calls: int) -> dict[str, Any]:
    await asyncio.to_thread(_ask, "POST", f"{job.host}/reset")
    gc.collect()
    before = _peak_mb()
    cpu, wall = time.process_time(), time.perf_counter()
    await work(calls)
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    taken = {"cpu": cpu, "wall": wall, "peak_mb_before": before, "peak_mb": _peak_mb()}
    return {**taken, **await asyncio.to_thread(_ask, "GET", f"{job.host}/counts")}


async def measured(job: Job, work: Work, *, marginal: bool) -> dict[str, Any]:
    """CPU and wall seconds and the mock's counts. ``marginal``: what ``calls`` further calls cost beyond one round, for
    clients with a large cost per session."""
    await work(min(job.calls, job.in_flight))
    if not marginal:
        return await _timed(job, work, job.calls)
    less = await _timed(job, work, job.in_flight)
    more = await _timed(job, work, job.in_flight + job.calls)
    return {**more, **{name: more[name] - less[name] for name in ("cpu", "wall", "calls", "requests")}}


async def _serve(opened: Opened, out: Any, marginal: bool) -> None:
    while line := await asyncio.to_thread(sys.stdin.readline):
        try:
            job = Job(**json.loads(line))
            async with opened(job) as work:
                reply = await measured(job, work, marginal=marginal)
        except Exception as error:
            traceback.print_exc()
            reply = {"error": " ".join(f"{type(error).__name__}: {error}".split())[:300]}
        out.write(json.dumps(reply) + "\n")
        out.flush()


def serve(opened: Opened, *, marginal: bool = False) -> None:
    """Answers jobs until standard input ends. What the driven library prints goes to standard error."""
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    asyncio.run(_serve(opened, out, marginal))
