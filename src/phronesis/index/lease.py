"""The index lease: one holder per index folder, over all processes. The kernel drops it when its holder dies."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path


class Lease:
    """A file lock (flock, POSIX); taken without waiting."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    @classmethod
    def take(cls, path: Path) -> Lease | None:
        """The lease, or None when somebody else has it (another process, or another Memory of this one)."""
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return None
        return cls(descriptor)

    def release(self) -> None:
        """Gives it back; a second time does nothing."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
