"""A worker: one job in a process of its own. ``python -m phronesis.bench.running.worker`` reads the job as one JSON line on
standard input and writes its updates as JSON lines on standard output; ``phronesis bench worker`` does it with files.

Settings come from the environment. A worker on a pipe waits for an answer to its first update, so that whoever started it
knows the run before anything is paid, and ends when its standard input does: with its parent, however that dies.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import sys
import threading
from collections.abc import Awaitable, Callable
from contextlib import aclosing, suppress
from pathlib import Path

from pydantic import ValidationError

from phronesis.bench.running.executor import Job, JobStarted
from phronesis.bench.running.local import LocalExecutor
from phronesis.bench.running.updates import ENDED, Reported, error_line, line_of, update_of
from phronesis.core.errors import ConfigurationError, PhronesisError
from phronesis.core.lines import append_line, whole_lines
from phronesis.core.settings import Settings, load_settings

GRACE = 5.0
"""Seconds a worker has to stop in order before it ends all the same."""
Say = Callable[[bytes], Awaitable[None]]


async def carry_out(
    job: Job, settings: Settings, *, parallel: int, say: Say, begun: Callable[[], Awaitable[object]]
) -> None:
    """Runs the job; ``say`` is given each line, ``begun`` is awaited once the run is known. Raises what stops the job."""
    executor = LocalExecutor(settings, parallel=parallel)
    try:
        async with aclosing(executor.run(job)) as updates:  # type: ignore[type-var]  # a generator
            async for update in updates:
                await say(line_of(update))
                if isinstance(update, JobStarted):
                    await begun()
    except PhronesisError as error:
        await say(error_line(error))
        raise
    await say(ENDED)


def read_job(text: bytes, source: str) -> Job:
    """A job from JSON. Raises ConfigurationError naming the source."""
    try:
        return Job.model_validate_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        named = ".".join(str(part) for part in first["loc"]) or "it"
        raise ConfigurationError(
            f"{source} holds no job: {named}: {first['msg']}", mend="write Job.model_dump_json() of this version"
        ) from None


async def work_on_file(path: Path, out: Path, settings: Settings, *, parallel: int) -> int:
    """Runs the job of a file and adds its updates to another; goes on where that one ends. How many tasks it had to do.

    Raises ConfigurationError for a file that cannot be read, and what stops the job."""
    try:
        text = path.read_bytes()
    except OSError as error:
        raise ConfigurationError(
            f"cannot read the job {str(path)!r}: {error.strerror}", mend="check the path"
        ) from None
    job, reported = read_job(text, str(path)), Reported()
    for line in whole_lines(out):
        if line.startswith(b'{"type":"stopped"'):
            continue
        update = update_of(line, job)
        if update is None:
            return 0
        reported.hear(update)
    left, known = reported.left(job), reported.run_id is not None

    async def say(line: bytes) -> None:
        if not (known and line.startswith(b'{"type":"started"')):
            await asyncio.to_thread(append_line, out, line.rstrip(b"\n"))

    async def begun() -> None:
        return None

    await carry_out(left, settings, parallel=parallel, say=say, begun=begun)
    return len(left.tasks)


async def _work_on_pipe(job: Job, parallel: int, out: int) -> int:
    """The exit code. Ends with standard input, or at SIGTERM."""
    loop, answered = asyncio.get_running_loop(), asyncio.Event()
    me = asyncio.current_task()
    assert me is not None

    def stop() -> None:
        threading.Thread(target=_end_for_sure, daemon=True).start()
        me.cancel()

    def listen() -> None:
        while sys.stdin.buffer.readline():
            loop.call_soon_threadsafe(answered.set)
        with suppress(RuntimeError):
            loop.call_soon_threadsafe(stop)

    async def say(line: bytes) -> None:
        await asyncio.to_thread(_write_whole, out, line)

    loop.add_signal_handler(signal.SIGTERM, stop)
    threading.Thread(target=listen, daemon=True).start()
    try:
        await carry_out(job, load_settings(), parallel=parallel, say=say, begun=answered.wait)
    except PhronesisError as error:
        return error.exit_code
    except (asyncio.CancelledError, BrokenPipeError):
        return 1
    return 0


def _end_for_sure() -> None:
    threading.Event().wait(GRACE)
    os._exit(1)


def _write_whole(handle: int, line: bytes) -> None:
    while line:
        line = line[os.write(handle, line) :]


def main() -> None:
    """A worker on its parent's pipe. What libraries print goes to standard error."""
    parser = argparse.ArgumentParser(description="One bench job: read on standard input, updates on standard output.")
    parser.add_argument("--parallel", type=int, default=8, help="tasks in work at a time")
    parallel = parser.parse_args().parallel
    out = os.dup(1)
    os.dup2(2, 1)
    try:
        job = read_job(sys.stdin.buffer.readline(), "standard input")
        code = asyncio.run(_work_on_pipe(job, parallel, out))
    except PhronesisError as error:
        _write_whole(out, error_line(error))
        code = error.exit_code
    sys.stderr.flush()
    os._exit(code)


if __name__ == "__main__":
    main()
