"""Runs a model's Python program in a process of its own, shut in as far as the kernel goes.

What it stops on every system that has limits: endless loops (processor and wall-clock time), memory that runs away, large or
many files, floods of output, and leftovers: each run has a fresh folder, an empty environment, and a process group that is
killed when it ends. Only the standard library can be imported.

Where the kernel allows it (Linux; ``confinement()`` finds out by trying, ``phronesis tools show python`` tells): no network;
processes that are counted and all end with the program, whatever session they are in; no file but the program's own folder
and Python's own; for root, a user of its own.

What it does not stop: a hole in the kernel or in the interpreter. It shares the kernel, the processor's caches and the disk
with everything else; it can read what lies under Python's own folders and the system's libraries. Against people who mean
harm use a virtual machine or a container. Where no limits can be set (no ``resource`` module) nothing is run, unless
``unlimited`` says so.
"""

from __future__ import annotations

import asyncio
import importlib.util
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
from phronesis.tools.confinement import OPEN, confinement, interpreter, launcher_text
from phronesis.tools.process_watch import Watch

_MOST_REPLY = 2**17
"""Bytes of the launcher's reply that are read, beside six for each character of output; it is far shorter."""
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
    disk: int = 64 * 2**20
    """Bytes that all its files together may have; looked at ten times a second."""
    processes: int = 32
    """Processes and threads at a time, where they can be counted."""
    confined: bool = True
    """Shut in as far as the kernel goes; else only limits are set."""
    readable: tuple[str, ...] = ()
    """Files and folders beside Python's own that a confined program may read. With any it runs as this user."""
    script: bool = False
    """A program need not bring a value: what it prints is enough."""
    unlimited: bool = False
    """Run programs even where no limits can be set: whatever they do, they do to you."""

    @property
    def limits(self) -> Mapping[str, int]:
        """What is set in the child before it sees the program."""
        counted = {"RLIMIT_NPROC": self.processes} if self.confined and confinement().counts else {}
        return {
            **counted,
            "RLIMIT_CPU": max(1, round(self.seconds)),
            "RLIMIT_AS": self.memory,
            "RLIMIT_FSIZE": self.file_size,
            "RLIMIT_NOFILE": self.open_files,
            "RLIMIT_CORE": 0,
        }

    async def run(self, program: str, *, site: Site) -> ProgramRun:
        """What the program brought; its failures are values. At most one run per core at a time.

        Raises ToolError where limits cannot be set or no process can be started."""
        if not self.unlimited:
            check_limits()
        if not os.access(sys.executable, os.X_OK):  # ``unshare`` would find out later, and blame the program
            raise ToolError(
                f"cannot start a Python process: {sys.executable!r} is no program", mend="install Python anew"
            )
        if self.confined:
            await asyncio.to_thread(confinement)
        place = _PLACES.setdefault(asyncio.get_running_loop(), asyncio.Semaphore(os.cpu_count() or 1))
        async with place:
            folder = tempfile.mkdtemp(prefix="phronesis-program-")
            try:
                return await self._run(program, folder)
            finally:
                shutil.rmtree(folder, ignore_errors=True)

    async def _run(self, program: str, folder: str) -> ProgramRun:
        started = time.perf_counter()
        found = confinement() if self.confined else OPEN
        order = {"output": self.output, "script": self.script, "limits": {} if _limitless() else self.limits}
        order |= found.order(folder, self.readable)
        try:
            child = subprocess.Popen(
                (*found.before, *interpreter(), launcher_text(), orjson.dumps(order).decode()),
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
        watch = Watch(child.pid, folder, memory=2 * self.memory, disk=self.disk)
        loop, source = asyncio.get_running_loop(), program.encode("utf-8", "replace")
        most = _MOST_REPLY + 12 * self.output
        talk = loop.run_in_executor(None, _talk, child, source, deadline, most, watch)
        try:
            said = await asyncio.shield(talk)
        finally:
            with suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGKILL)
            await asyncio.wait({talk})
            child.wait()
        timed_out = time.monotonic() >= deadline
        if watch.found:
            return ProgramRun(None, watch.found, "", time.perf_counter() - started)
        seconds = time.perf_counter() - started
        try:
            reply = orjson.loads(said)
            value, failure, output = reply["value"], reply["error"], reply["output"]
        except (orjson.JSONDecodeError, KeyError, TypeError):
            code = child.returncode
            code = (
                128 - code if found.processes and code > 128 else code
            )  # how a namespace's first process tells of signals
            return ProgramRun(None, self._ending(code, timed_out, seconds), "", seconds)
        if not (isinstance(value, str | None) and isinstance(failure, str) and isinstance(output, str)):
            return ProgramRun(None, "SystemExit: the program replied in the launcher's place", "", seconds)
        return ProgramRun(value, failure, output, seconds)

    def _ending(self, code: int | None, timed_out: bool, seconds: float) -> str:
        if timed_out or code == -signal.SIGXCPU or (code == -signal.SIGKILL and seconds >= self.seconds):
            return f"TimeoutError: the program ran longer than {self.seconds:g} s"
        if code == -signal.SIGKILL:
            return "MemoryError: the program was killed, probably for its memory"
        return f"SystemExit: the program ended its process with code {code}"


def check_limits() -> None:
    """Raises ToolError where no limits can be set."""
    if _limitless():
        raise ToolError("programs cannot be run under limits on this system", mend="use Linux or macOS")


def _limitless() -> bool:
    return importlib.util.find_spec("resource") is None


def _talk(child: subprocess.Popen[bytes], program: bytes, deadline: float, most: int, watch: Watch) -> bytes:
    """Hands the program over and reads the reply, no more than it can be, until the launcher's own process ends."""
    assert child.stdin is not None and child.stdout is not None
    said = b""
    with suppress(BrokenPipeError), child.stdin:
        child.stdin.write(program)
    with child.stdout, selectors.DefaultSelector() as waiting:
        waiting.register(child.stdout, selectors.EVENT_READ)
        while len(said) <= most and time.monotonic() < deadline and not watch.exceeded():
            ended = child.poll() is not None
            if waiting.select(0 if ended else 0.05):
                more = os.read(child.stdout.fileno(), _MOST_REPLY)
                said += more
                if not more:
                    break
            elif ended:
                break
    return said
