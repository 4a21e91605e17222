"""The executor ``processes``: a cell's tasks in several processes of this machine, for strategies that a core holds back.

A cell is cut into n jobs, each in a worker of its own with a run of its own. The limit of requests in flight per endpoint
holds over all workers together: each has its share of ``PHRONESIS_CONCURRENCY`` and of the tasks in work at a time, so there
are never more workers than either. A cell with fewer jobs than workers, such as one whose memory is written to, uses its
share only.

A worker that dies (killed, out of memory) says nothing against its tasks: the job goes on once in another one, in the same
run, whose journal has every reply that was paid. Workers end with this process, however it dies.
"""

from __future__ import annotations

import asyncio
import os
import sys
from asyncio.subprocess import PIPE, Process
from collections import deque
from collections.abc import AsyncIterator
from contextlib import aclosing, suppress
from typing import NamedTuple

from pydantic import BaseModel, ConfigDict, Field

from phronesis.bench.running.environment import environment_of
from phronesis.bench.running.executor import Job, JobStarted, Update
from phronesis.bench.running.executors import ExecutorEntry
from phronesis.bench.running.updates import Reported, update_of
from phronesis.bench.running.worker import GRACE
from phronesis.core.errors import SetupError
from phronesis.core.settings import Settings

_LINE = 2**30
"""Longest line of a worker: a Result with all its attempts."""
_CORES = os.cpu_count() or 1
_KEPT = 8
"""Lines of a worker's standard error that its end is explained with."""


class Share(NamedTuple):
    """What one worker may use."""

    number: int
    """From 1."""
    concurrency: int
    """Requests in flight per endpoint."""
    parallel: int
    """Tasks in work."""


def shares(n: int, concurrency: int, parallel: int) -> list[Share]:
    """At most n shares that add up to both limits, each of at least 1 and as equal as can be."""
    n = min(n, concurrency, parallel)
    return [
        Share(at + 1, concurrency // n + (at < concurrency % n), parallel // n + (at < parallel % n)) for at in range(n)
    ]


class Ended(NamedTuple):
    """How a worker ended that did not report the end of its job."""

    code: int
    """Exit status; a signal's number, negative, where one ended it."""
    words: str
    """The end of its standard error."""

    @property
    def cause(self) -> str:
        """For people."""
        return f"exit status {self.code}" if self.code >= 0 else f"signal {-self.code}"


class ProcessExecutor:
    """Runs jobs in workers."""

    def __init__(self, settings: Settings, *, parallel: int, n: int) -> None:
        """``n``: workers at the most. ``parallel``: tasks in work at a time, all together."""
        self._settings = settings
        found = shares(n, settings.concurrency, parallel)
        self.shards = len(found)
        self._free = asyncio.Queue[Share]()
        for share in found:
            self._free.put_nowait(share)

    async def run(self, job: Job) -> AsyncIterator[Update]:
        share = await self._free.get()
        try:
            reported, ended = Reported(), Ended(0, "")
            for _ in range(2):
                async with aclosing(self._lines(reported.left(job), share)) as lines:  # type: ignore[type-var]
                    async for line in lines:
                        if isinstance(line, Ended):
                            ended = line
                            print(f"{_heading(job, share)}the worker died ({ended.cause})", file=sys.stderr, flush=True)
                            break
                        update = update_of(line, job)
                        if update is None:
                            return
                        again = isinstance(update, JobStarted) and reported.run_id is not None
                        reported.hear(update)
                        if not again:
                            yield update
            raise SetupError(
                f"the worker of {job.cell} died twice ({ended.cause}), run {reported.run_id or 'not begun'}{ended.words}",
                mend="free some memory or take fewer processes, then give the same command: what is done is kept",
            )
        finally:
            self._free.put_nowait(share)

    async def _lines(self, job: Job, share: Share) -> AsyncIterator[bytes | Ended]:
        """What a worker writes, then how it ended. Closing this ends the worker."""
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-P", "-m", "phronesis.bench.running.worker", "--parallel", str(share.parallel)),
            stdin=PIPE,
            stdout=PIPE,
            stderr=PIPE,
            limit=_LINE,
            env=environment_of(self._settings, concurrency=share.concurrency),
            start_new_session=True,
        )
        words = deque[str](maxlen=_KEPT)
        listening = asyncio.create_task(_pass_on(process, _heading(job, share), words))
        try:
            await _tell(process, job.model_dump_json().encode())
            assert process.stdout is not None
            while (line := await process.stdout.readline()).endswith(b"\n"):
                yield line
                if line.startswith(b'{"type":"started"'):
                    await _tell(process, b"go on")
            code = await process.wait()
            await asyncio.wait([listening], timeout=1)
            yield Ended(code, "".join(f"\n  {said}" for said in words))
        finally:
            await _end(process)
            listening.cancel()
            await asyncio.gather(listening, return_exceptions=True)


def _heading(job: Job, share: Share) -> str:
    return f"[{job.cell} {share.number}] "


async def _tell(process: Process, line: bytes) -> None:
    assert process.stdin is not None
    with suppress(BrokenPipeError, ConnectionResetError):
        process.stdin.write(line + b"\n")
        await process.stdin.drain()


async def _pass_on(process: Process, heading: str, words: deque[str]) -> None:
    """Shows what the worker writes on its standard error on ours, and keeps the end of it."""
    assert process.stderr is not None
    async for line in process.stderr:
        said = line.decode(errors="replace").rstrip()
        words.append(said)
        print(f"{heading}{said}", file=sys.stderr, flush=True)


async def _end(process: Process) -> None:
    """Returns when the worker has ended: it does so by itself when its standard input is closed, else it is killed."""
    assert process.stdin is not None
    process.stdin.close()
    try:
        await asyncio.wait([asyncio.ensure_future(process.wait())], timeout=GRACE + 1)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
        process._transport.close()  # type: ignore[attr-defined]  # a grandchild that holds a pipe would keep it open


class ProcessOptions(BaseModel):
    """Options of ``processes``."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    n: int = Field(default=_CORES, ge=1, le=256)
    """Workers at the most; as many as there are cores unless it is given."""


def _build(settings: Settings, parallel: int, options: ProcessOptions) -> ProcessExecutor:
    return ProcessExecutor(settings, parallel=parallel, n=options.n)


PROCESSES = ExecutorEntry(
    name="processes",
    summary="in several processes of this machine: processes(n=4)",
    options=ProcessOptions,
    build=_build,
)
