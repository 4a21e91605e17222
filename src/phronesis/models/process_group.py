"""Ending a process group for sure: asked first, killed when it does not go."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import time
from collections.abc import Callable

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36


def end_group(group: int, *, grace: float, reap: Callable[[], None] = lambda: None) -> None:
    """Returns when no process of the group is left: SIGTERM, and SIGKILL after ``grace`` seconds.

    ``reap`` collects those of its processes that are children of this one; dead ones would count otherwise."""
    for number, patience in ((signal.SIGTERM, grace), (signal.SIGKILL, 5.0)):
        give_up = time.monotonic() + patience
        if not _signal(group, number):
            return
        while time.monotonic() < give_up:
            reap()
            if not _signal(group, 0):
                return
            time.sleep(0.05)


def _signal(group: int, number: int) -> bool:
    """Whether the group has a process to signal."""
    try:
        os.killpg(group, number)
    except (ProcessLookupError, PermissionError):
        return False
    return True


def adopt_orphans() -> None:
    """From now on descendants whose parent dies become children of this process (Linux; elsewhere nothing happens)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def die_with_parent() -> Callable[[], None]:
    """For ``preexec_fn``: the child gets SIGTERM when its parent dies in whatever way (Linux; elsewhere nothing)."""
    if sys.platform != "linux":
        return lambda: None
    library = ctypes.CDLL(None)
    return lambda: library.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)


def reap_orphans() -> None:
    """Collects every dead child of this process. Call it only after those somebody waits for have been collected."""
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        pass
