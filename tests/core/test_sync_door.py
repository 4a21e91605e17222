"""The sync door: values, errors, running loops, threads, Ctrl-C."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Awaitable

import pytest

from phronesis.core.errors import ServerFailed, TimedOut
from phronesis.core.loop import run_sync
from phronesis.core.side_by_side import side_by_side


async def value(item: int) -> int:
    await asyncio.sleep(0.001)
    return item


async def raises(error: BaseException) -> None:
    raise error


def test_values_and_errors_come_through() -> None:
    assert run_sync(value(3)) == 3
    with pytest.raises(ServerFailed, match="gone"):
        run_sync(raises(ServerFailed("gone")))


def test_it_works_inside_a_running_loop() -> None:
    async def caller() -> int:
        return run_sync(value(1)) + await value(2) + run_sync(value(3))

    assert asyncio.run(caller()) == 6


def test_there_is_one_loop_for_all_threads() -> None:
    async def loop_of() -> int:
        await asyncio.sleep(0.005)
        return id(asyncio.get_running_loop())

    found: list[int] = []
    threads = [threading.Thread(target=lambda: found.append(run_sync(loop_of()))) for _ in range(8)]
    started = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 8 and len(set(found)) == 1
    assert time.perf_counter() - started < 2
    assert [thread.name for thread in threading.enumerate()].count("phronesis") == 1


def test_work_that_comes_back_through_the_door_does_not_hang() -> None:
    script = """
from phronesis.core.loop import run_sync
async def inner(): return 7
async def outer(): return run_sync(inner())
try:
    print("value", run_sync(outer()))
except RuntimeError as error:
    print("refused", error)
"""
    try:
        done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=3, check=False)
    except subprocess.TimeoutExpired:
        pytest.fail("run_sync inside run_sync's own loop waits for ever")
    assert done.stdout.startswith(("value 7", "refused")), done.stderr


def test_ctrl_c_cancels_cleans_up_and_is_raised() -> None:
    script = """
import asyncio
from phronesis.core.loop import run_sync
async def work():
    print("working", flush=True)
    try:
        await asyncio.sleep(60)
    finally:
        await asyncio.sleep(0.1)
        print("cleaned up", flush=True)
try:
    run_sync(work())
except KeyboardInterrupt:
    print("interrupted", flush=True)
async def more(): return "still works"
print(run_sync(more()))
"""
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None and child.stdout.readline() == "working\n"
        child.send_signal(signal.SIGINT)
        assert child.stdout.read().split("\n") == ["cleaned up", "interrupted", "still works", ""]
    assert child.returncode == 0


def test_side_by_side_keeps_the_order() -> None:
    async def late(item: int) -> int:
        await asyncio.sleep(0.01 * (3 - item))
        return item

    assert asyncio.run(side_by_side([late(item) for item in range(3)])) == [0, 1, 2]

    async def none() -> list[int]:
        return await side_by_side([])

    assert asyncio.run(none()) == []


def test_side_by_side_lets_the_others_end_before_it_raises_a_typed_failure() -> None:
    ended: list[str] = []

    async def slow() -> None:
        await asyncio.sleep(0.02)
        ended.append("slow")
        raise TimedOut("late")

    async def fails() -> None:
        raise ServerFailed("gone")

    with pytest.raises(TimedOut, match="late"):
        asyncio.run(both(slow(), fails()))
    assert ended == ["slow"], "the first in the order given is raised, not the first in time"


def test_side_by_side_stops_the_rest_on_any_other_error() -> None:
    stopped: list[str] = []

    async def slow() -> None:
        try:
            await asyncio.sleep(30)
        except asyncio.CancelledError:
            stopped.append("slow")
            raise

    async def breaks() -> None:
        await asyncio.sleep(0.01)
        raise ZeroDivisionError("a defect")

    with pytest.raises(ZeroDivisionError, match="a defect"):
        asyncio.run(both(slow(), breaks()))
    assert stopped == ["slow"]


async def both(*work: Awaitable[None]) -> None:
    await side_by_side(work)
