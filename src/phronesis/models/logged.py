"""Long commands with their output in a log file, and the end of such a file."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

Heard = Callable[[float, str], None]
"""Hears now and then for how many seconds something has run, and the last line of its log."""

_EVERY = 0.5
_TAIL = 16384


def run_logged(
    command: Sequence[str], log: Path, *, heard: Heard, env: Mapping[str, str] | None = None, keep: Sequence[int] = ()
) -> int:
    """The command's exit code, negative for a signal; its output is appended to the log. Blocks the thread.

    ``keep``: descriptors it inherits. Its whole process group is killed when this is interrupted. Raises OSError when it
    cannot be started."""
    started = time.monotonic()
    with log.open("ab") as out:
        out.write(f"$ {' '.join(command)}\n".encode())
        out.flush()
        child = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            env=env,
            start_new_session=True,
            pass_fds=keep,
        )
    try:
        while True:
            try:
                return child.wait(_EVERY)
            except subprocess.TimeoutExpired:
                heard(time.monotonic() - started, last_line(log))
    except BaseException:
        os.killpg(child.pid, signal.SIGKILL)
        child.wait()
        raise


def _tail(log: Path, count: int) -> list[str]:
    """The last lines that say something. Progress bars, which overwrite their line, count as their last state."""
    try:
        with log.open("rb") as data:
            data.seek(max(0, log.stat().st_size - _TAIL))
            text = data.read().decode("utf-8", "replace")
    except OSError:
        return []
    lines = [line.rstrip().rpartition("\r")[2].strip() for line in text.split("\n")]
    return [line for line in lines if line][-count:]


def last_line(log: Path) -> str:
    """The last line of the log that is not empty; empty when there is none."""
    return next(iter(_tail(log, 1)), "")


def last_lines(log: Path, count: int = 12) -> str:
    """The end of the log, indented for a message; empty when there is none."""
    return "\n".join(f"  | {line}" for line in _tail(log, count))


def how_it_ended(code: int) -> str:
    """An exit code in words."""
    if code >= 0:
        return f"exited with {code}"
    return f"was ended by signal {-code}" + (" (out of memory?)" if code == -signal.SIGKILL else "")
