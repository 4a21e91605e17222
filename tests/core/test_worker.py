"""A function in a process of its own: results, limits, crashes, and no leftovers."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator

import pytest

from phronesis.core.errors import ToolError
from phronesis.core.worker import Worker


@pytest.fixture
def worker() -> Iterator[Callable[..., Worker]]:
    """Makes workers and closes them."""
    made: list[Worker] = []

    def make(target: str, **limits: float) -> Worker:
        made.append(Worker(target, **limits))  # type: ignore[arg-type]  # seconds and memory
        return made[-1]

    yield make
    for item in made:
        item.close_sync()


def alive(pid: int) -> bool:
    """Whether a process runs; one that ended and waits for its parent does not."""
    try:
        with open(f"/proc/{pid}/stat") as found:
            return found.read().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def wait_until(condition: Callable[[], bool], seconds: float = 20.0) -> bool:
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        time.sleep(0.02)
    return condition()


def test_calls_one_process_again_and_again_and_ends_it(worker: Callable[..., Worker]) -> None:
    found = worker("math:factorial")
    assert found.pid is None
    assert found.call_sync(5) == 120
    pid = found.pid
    assert pid is not None and found.call_sync(30) == 265252859812191058636308480000000
    assert found.pid == pid
    found.close_sync()
    assert found.pid is None and not alive(pid)
    assert found.call_sync(3) == 6


def test_calls_side_by_side_are_served_in_turn(worker: Callable[..., Worker]) -> None:
    found = worker("math:factorial")

    async def ask() -> list[int]:
        try:
            return await asyncio.gather(*(found.call(n) for n in range(6)))
        finally:
            await found.close()

    assert asyncio.run(ask()) == [1, 1, 2, 6, 24, 120]
    assert found.pid is None


def test_large_arguments_and_results_pass(worker: Callable[..., Worker]) -> None:
    text = "é" * 300_000
    assert worker("builtins:str").call_sync(text) == text


@pytest.mark.parametrize(
    ("target", "arguments", "said"),
    [
        ("math:factorial", (-1,), "ValueError"),
        ("builtins:complex", (1, 2), "no JSON"),
        ("math:factorial", (1, 2), "TypeError"),
        ("sys:exit", ("enough",), "SystemExit: enough"),
    ],
)
def test_a_failing_call_is_a_tool_error_and_the_process_stays(
    worker: Callable[..., Worker], target: str, arguments: tuple[object, ...], said: str
) -> None:
    found = worker(target)
    with pytest.raises(ToolError, match=said):
        found.call_sync(*arguments)
    assert found.pid is not None


def test_a_hanging_call_is_killed_and_the_next_has_a_new_process(worker: Callable[..., Worker]) -> None:
    found = worker("time:sleep", seconds=0.3)
    assert found.call_sync(0) is None
    first = found.pid
    with pytest.raises(ToolError, match=r"took longer than 0\.3 s"):
        found.call_sync(60)
    assert first is not None and not alive(first)
    assert found.call_sync(0) is None and found.pid != first


def test_a_crash_names_how_the_process_ended(worker: Callable[..., Worker]) -> None:
    found = worker("os:_exit")
    with pytest.raises(ToolError, match="ended its process with code 7"):
        found.call_sync(7)
    with pytest.raises(ToolError, match="code 8"):
        found.call_sync(8)


def test_a_killed_process_fails_one_call(worker: Callable[..., Worker]) -> None:
    found = worker("math:factorial")
    found.call_sync(1)
    pid = found.pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    with pytest.raises(ToolError, match="code -9"):
        found.call_sync(1)
    assert found.call_sync(4) == 24


def test_memory_is_limited(worker: Callable[..., Worker]) -> None:
    found = worker("builtins:bytearray", memory=2**28)
    with pytest.raises(ToolError, match="MemoryError"):
        found.call_sync(2**29)
    assert found.pid is None


@pytest.mark.parametrize("target", ["nowhere:at_all", "math:nothing"])
def test_a_target_that_is_not_there_is_named(worker: Callable[..., Worker], target: str) -> None:
    with pytest.raises(ToolError, match=f"{target} cannot be loaded"):
        worker(target).call_sync()


def test_what_the_function_prints_is_no_reply(worker: Callable[..., Worker]) -> None:
    assert worker("builtins:print").call_sync('{"result": 1}') is None


def test_the_loop_goes_on_while_a_call_runs(worker: Callable[..., Worker]) -> None:
    found = worker("time:sleep", seconds=30)

    async def ask() -> bool:
        call = asyncio.ensure_future(found.call(0.5))
        await asyncio.sleep(0)
        waits = not call.done()
        await call
        return waits

    assert asyncio.run(ask())


def test_secrets_stay_out_of_the_child(worker: Callable[..., Worker], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-1")
    assert worker("os:getenv").call_sync("OPENAI_API_KEY") is None


_PARENT = """
import sys, threading
from phronesis.core.worker import Worker
worker = Worker(sys.argv[1], seconds=600)
if sys.argv[1] == "math:factorial":
    worker.call_sync(3)
    print(worker.pid, flush=True)
    threading.Event().wait()
threading.Thread(target=worker.call_sync, args=(600,), daemon=True).start()
while worker.pid is None:
    pass
print(worker.pid, flush=True)
threading.Event().wait()
"""


@pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="looks at /proc")
@pytest.mark.parametrize("target", ["math:factorial", "time:sleep"])
def test_a_parent_killed_with_9_leaves_nothing(target: str) -> None:
    with subprocess.Popen((sys.executable, "-c", _PARENT, target), stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        assert alive(pid)
        parent.kill()
    assert wait_until(lambda: not alive(pid))
