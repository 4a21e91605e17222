"""Advisory file locks between processes (flock, POSIX only). The kernel drops them when their holder dies."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def open_lock(path: Path) -> int:
    """A descriptor of the lock file, created 0600 when absent. Each one is a holder of its own; closing it lets go."""
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)


def _attempt(descriptor: int, operation: int) -> bool:
    try:
        fcntl.flock(descriptor, operation | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def try_exclusive(descriptor: int) -> bool:
    """Whether the descriptor now holds the lock alone."""
    return _attempt(descriptor, fcntl.LOCK_EX)


def try_shared(descriptor: int) -> bool:
    """Whether the descriptor now holds the lock together with other sharers."""
    return _attempt(descriptor, fcntl.LOCK_SH)


def held_elsewhere(descriptor: int) -> bool:
    """Whether another descriptor holds the lock in any way. The given one must hold nothing, and holds nothing after."""
    if not try_exclusive(descriptor):
        return True
    fcntl.flock(descriptor, fcntl.LOCK_UN)
    return False


@contextmanager
def exclusive(path: Path) -> Iterator[int]:
    """Holds the lock alone and yields its descriptor; blocks the thread until it is free.

    A child process that inherits the descriptor keeps the lock when this process is killed."""
    descriptor = open_lock(path)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield descriptor
    finally:
        os.close(descriptor)
