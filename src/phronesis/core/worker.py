"""A pure function in a process of its own, under limits of time and memory.

For functions that may hang, eat the memory or crash the interpreter on some input: a computer algebra system, a generator
of puzzles. The process starts with the first call and serves all further ones; when it hangs or dies it is killed, that call
fails, and the next one has a new process. It ends with its parent, however that one ends.
"""

from __future__ import annotations

import asyncio
import json
import os
import selectors
import subprocess
import sys
import tempfile
import threading
import time
import weakref
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import IO, Any

from phronesis.core.errors import ToolError

_CHILD = str(Path(__file__).with_name("worker_child.py"))
_START = 60.0
"""Seconds that a child may take to import its module."""
_KEPT = ("PATH", "HOME", "TMPDIR", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH")
"""Variables that the child sees; keys and tokens are none of them."""
_MOST = 2**24
"""Bytes of a reply."""


class Worker:
    """Calls one function in a child process. Calls from several threads or tasks are served one after the other.

    ``target``: ``module:function``, a function of JSON values that returns one. Its module is imported when the child starts,
    which has a minute of its own. ``seconds``: wall-clock time of a call. ``memory``: bytes of address space."""

    def __init__(self, target: str, *, seconds: float = 5.0, memory: int = 2**30) -> None:
        self.target = target
        self.seconds = seconds
        self._memory = memory
        self._turn = threading.Lock()
        self._child: _Child | None = None
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="phronesis-worker")

    @property
    def pid(self) -> int | None:
        """The child's process id; None while there is none."""
        child = self._child
        return child.process.pid if child is not None else None

    async def call(self, *arguments: Any) -> Any:
        """What the function returned. The first call costs a Python start and the module's imports, each further 0.2 ms.

        Raises ToolError: the function raised, ran longer than ``seconds`` (waiting its turn not counted), ran out of memory
        or ended its process; or no process could be started."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, self.call_sync, *arguments)

    def call_sync(self, *arguments: Any) -> Any:
        """As ``call``, holding up the thread."""
        line = json.dumps(arguments).encode() + b"\n"
        with self._turn:
            if self._child is None:
                self._child = _Child(self.target, self.seconds, self._memory)
            try:
                reply = self._child.exchange(line, self.seconds)
            except BaseException:
                self._end()
                raise
            if reply.get("over"):
                self._end()
        if "error" in reply:
            raise ToolError(f"{self.target} failed: {reply['error']}")
        return reply.get("result")

    async def close(self) -> None:
        """Ends the child; waits for the call in flight. A later call starts a new one."""
        await asyncio.to_thread(self.close_sync)

    def close_sync(self) -> None:
        """As ``close``, holding up the thread."""
        with self._turn:
            self._end()

    def _end(self) -> None:
        child, self._child = self._child, None
        if child is not None:
            child.end()


class _Child:
    """The process and its two pipes."""

    def __init__(self, target: str, seconds: float, memory: int) -> None:
        self.target = target
        errors: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115  # it lives as long as the process
        try:
            self.process = subprocess.Popen(
                (sys.executable, "-P", _CHILD),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                env={"PYTHONHASHSEED": "0"} | {name: os.environ[name] for name in _KEPT if name in os.environ},
            )
        except OSError as error:
            errors.close()
            raise ToolError(f"cannot start a Python process: {error}", mend="free some memory or processes") from None
        self._errors = errors
        self._end = weakref.finalize(self, _ended, self.process, errors)
        assert self.process.stdin is not None and self.process.stdout is not None
        self._to, self._from = self.process.stdin.fileno(), self.process.stdout.fileno()
        os.set_blocking(self._to, False)
        order = {"path": sys.path, "target": target, "seconds": seconds, "memory": memory}
        try:
            ready = self.exchange(json.dumps(order).encode() + b"\n", _START)
        except BaseException:
            self.end()
            raise
        if "error" in ready:
            self.end()
            raise ToolError(f"{target} cannot be loaded in a process of its own: {ready['error']}")

    def exchange(self, line: bytes, seconds: float) -> dict[str, Any]:
        """One line there, one back. Raises ToolError when the time is over or the process has ended."""
        deadline = time.monotonic() + seconds
        left, said = memoryview(line), bytearray()
        with selectors.DefaultSelector() as waiting:
            waiting.register(self._to, selectors.EVENT_WRITE)
            waiting.register(self._from, selectors.EVENT_READ)
            while not said.endswith(b"\n"):
                ready = waiting.select(max(0.0, deadline - time.monotonic()))
                if not ready and time.monotonic() >= deadline:
                    raise ToolError(f"{self.target} took longer than {seconds:g} s")
                for key, _ in ready:
                    if key.fd == self._to:
                        left = left[self._write(left) :]
                        if not left:
                            waiting.unregister(self._to)
                    else:
                        more = os.read(self._from, 2**16)
                        said += more
                        if not more:
                            raise ToolError(f"{self.target} {self._ending()}")
                        if len(said) > _MOST:
                            raise ToolError(f"{self.target} returned more than {_MOST} bytes")
        found: dict[str, Any] = json.loads(said)
        return found

    def _write(self, data: memoryview) -> int:
        try:
            return os.write(self._to, data)
        except BrokenPipeError:
            raise ToolError(f"{self.target} {self._ending()}") from None

    def _ending(self) -> str:
        self.process.kill()
        code = self.process.wait()
        self._errors.seek(0)
        last = self._errors.read().decode("utf-8", "replace").strip().splitlines()[-1:]
        return f"ended its process with code {code}" + (f": {last[0][:300]}" if last else "")

    def end(self) -> None:
        """Kills the process and waits for it."""
        self._end()


def _ended(process: subprocess.Popen[bytes], errors: IO[bytes]) -> None:
    process.kill()
    process.wait()
    for stream in (process.stdin, process.stdout, errors):
        if stream is not None:
            stream.close()
