"""Runs a model's Python program in a process of its own, under limits of time, memory and files.

What it stops: endless loops (processor and wall-clock time), memory that runs away, large or many files, floods of output,
and leftovers: each run has a fresh folder, an empty environment, and a process group that is killed when it ends. Only the
standard library can be imported. What it does not stop: a program that means harm. It runs as the same user, can read what
that user can read, can open connections, fill the disk file by file, and leave a process behind in a session of its own.
Where the limits cannot be set (no ``resource`` module) nothing is run.
"""

from __future__ import annotations

import asyncio
import os
import selectors
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import weakref
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass

import orjson

from phronesis.core.errors import ToolError
from phronesis.core.ports import ProgramRun
from phronesis.core.site import Site

_LAUNCHER = r"""
import json, os, resource, sys
os.environ.pop("PYTHONHASHSEED", None)
for name, value in json.loads(sys.argv[1]).items():
    number = getattr(resource, name, None)
    if number is not None:
        hard = resource.getrlimit(number)[1]
        value = value if hard == resource.RLIM_INFINITY else min(value, hard)
        top = value + 1 if name == "RLIMIT_CPU" and hard == resource.RLIM_INFINITY else value
        resource.setrlimit(number, (value, top))
most = int(sys.argv[2])
source, said = sys.stdin.read(), []
channel = os.dup(1)
nowhere = os.open(os.devnull, os.O_RDWR)
os.dup2(nowhere, 0)
os.dup2(nowhere, 1)
class Said:
    size = 0
    def write(self, text):
        if self.size < most:
            said.append(text[: most - self.size])
        self.size += len(text)
        return len(text)
    def flush(self):
        pass
sys.stdout = sys.stderr = Said()
sys.set_int_max_str_digits(2000)
def told(value):
    if value is None:
        raise ValueError("solution() returned None")
    if isinstance(value, bool):
        return str(value)
    if isinstance(value, float):
        if value != value or value in (float("inf"), float("-inf")):
            raise ValueError(f"solution() returned {value}")
        near = float(f"{value:.12g}")
        return str(int(near)) if near == int(near) else repr(near)
    text = str(value)
    if " at 0x" in text:
        raise ValueError(f"solution() returned a {type(value).__name__}, not an answer")
    return text
def plain(text):
    return text.encode("utf-8", "replace").decode()
answer = {"value": None, "error": ""}
try:
    space = {"__name__": "__main__"}
    exec(compile(source, "program", "exec"), space)
    if callable(space.get("solution")):
        answer["value"] = plain(told(space["solution"]()))
    else:
        lines = [line for line in "".join(said).splitlines() if line.strip()]
        if not lines:
            raise NameError("the program defines no solution() and prints nothing")
        answer["value"] = plain(lines[-1].strip())
except BaseException as error:
    line, trace = getattr(error, "lineno", None), error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == "program":
            line = trace.tb_lineno
        trace = trace.tb_next
    said_of = error.msg if isinstance(error, SyntaxError) else error
    at = f" (line {line})" if line else ""
    answer["error"] = plain(f"{type(error).__name__}: {said_of}"[:400] + at)
if answer["value"] is not None and len(answer["value"]) > most:
    answer = {"value": None, "error": f"ValueError: the answer has {len(answer['value'])} characters"}
answer["output"] = plain("".join(said))
os.write(channel, json.dumps(answer).encode())
os._exit(0)
"""
_MOST_REPLY = 2**17
"""Bytes of the launcher's reply that are read; it is far shorter."""
_PLACES: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Semaphore] = weakref.WeakKeyDictionary()


@dataclass(frozen=True, kw_only=True)
class PythonPrograms:
    """Runs a program and calls its ``solution()``; without one the last line it prints is its value."""

    seconds: float = 5.0
    """Processor time, and twice that of wall-clock time."""
    memory: int = 512 * 2**20
    """Bytes of address space."""
    file_size: int = 2**20
    """Bytes of the largest file it may write."""
    open_files: int = 32
    """Files open at a time."""
    output: int = 2000
    """Characters of printed text and of the value that are kept."""

    @property
    def limits(self) -> Mapping[str, int]:
        """What is set in the child before it sees the program."""
        return {
            "RLIMIT_CPU": max(1, round(self.seconds)),
            "RLIMIT_AS": self.memory,
            "RLIMIT_FSIZE": self.file_size,
            "RLIMIT_NOFILE": self.open_files,
            "RLIMIT_CORE": 0,
        }

    async def run(self, program: str, *, site: Site) -> ProgramRun:
        """What the program brought; its failures are values. At most one run per core at a time.

        Raises ToolError where limits cannot be set or no process can be started."""
        try:
            import resource  # noqa: F401  # looked for here, used in the child
        except ImportError:
            raise ToolError("programs cannot be run under limits on this system", mend="use Linux or macOS") from None
        place = _PLACES.setdefault(asyncio.get_running_loop(), asyncio.Semaphore(os.cpu_count() or 1))
        async with place:
            folder = tempfile.mkdtemp(prefix="phronesis-program-")
            try:
                return await self._run(program, folder)
            finally:
                shutil.rmtree(folder, ignore_errors=True)

    async def _run(self, program: str, folder: str) -> ProgramRun:
        started = time.perf_counter()
        limits = orjson.dumps(self.limits).decode()
        try:
            child = subprocess.Popen(
                (sys.executable, "-s", "-P", "-S", "-B", "-c", _LAUNCHER, limits, str(self.output)),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                cwd=folder,
                env={"PYTHONHASHSEED": "0"},  # sets of texts then have one order in every run
                start_new_session=True,
            )
        except OSError as error:
            raise ToolError(f"cannot start a Python process: {error}", mend="free some memory or processes") from None
        deadline = time.monotonic() + 2 * self.seconds + 1
        loop, source = asyncio.get_running_loop(), program.encode("utf-8", "replace")
        talk = loop.run_in_executor(None, _talk, child, source, deadline)
        try:
            said = await asyncio.shield(talk)
        finally:
            with suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGKILL)
            await asyncio.wait({talk})
            child.wait()
        timed_out = time.monotonic() >= deadline
        seconds = time.perf_counter() - started
        try:
            reply = orjson.loads(said)
            value, failure, output = reply["value"], reply["error"], reply["output"]
        except (orjson.JSONDecodeError, KeyError, TypeError):
            return ProgramRun(None, self._ending(child.returncode, timed_out, seconds), "", seconds)
        if not (isinstance(value, str | None) and isinstance(failure, str) and isinstance(output, str)):
            return ProgramRun(None, "SystemExit: the program replied in the launcher's place", "", seconds)
        return ProgramRun(value, failure, output, seconds)

    def _ending(self, code: int | None, timed_out: bool, seconds: float) -> str:
        if timed_out or code == -signal.SIGXCPU or (code == -signal.SIGKILL and seconds >= self.seconds):
            return f"TimeoutError: the program ran longer than {self.seconds:g} s"
        if code == -signal.SIGKILL:
            return "MemoryError: the program was killed, probably for its memory"
        return f"SystemExit: the program ended its process with code {code}"


def _talk(child: subprocess.Popen[bytes], program: bytes, deadline: float) -> bytes:
    """Hands the program over and reads the reply, no more than it can be, until the launcher's own process ends."""
    assert child.stdin is not None and child.stdout is not None
    said = b""
    with suppress(BrokenPipeError), child.stdin:
        child.stdin.write(program)
    with child.stdout, selectors.DefaultSelector() as waiting:
        waiting.register(child.stdout, selectors.EVENT_READ)
        while len(said) <= _MOST_REPLY and time.monotonic() < deadline:
            ended = child.poll() is not None
            if waiting.select(0 if ended else 0.05):
                more = os.read(child.stdout.fileno(), _MOST_REPLY)
                said += more
                if not more:
                    break
            elif ended:
                break
    return said
