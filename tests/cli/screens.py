"""A command on a terminal of its own, for tests of what is asked there."""

from __future__ import annotations

import os
import pty
import re
import subprocess
import sys
import time


class Screen:
    """A command on a terminal of its own."""

    def __init__(self, *arguments: str) -> None:
        self.handle, inside = pty.openpty()
        self.seen = b""
        self.process = subprocess.Popen(
            [sys.executable, "-m", "phronesis", *arguments],
            stdin=inside,
            stdout=inside,
            stderr=inside,
            env={**os.environ, "TERM": "dumb", "COLUMNS": "120"},
            start_new_session=True,
        )
        os.close(inside)
        self._from = 0

    def _read(self) -> bool:
        try:
            piece = os.read(self.handle, 65536)
        except OSError:
            return False
        self.seen += piece
        return bool(piece)

    def wait_for(self, pattern: bytes) -> None:
        """Reads until what is new ends like this."""
        end = time.monotonic() + 60
        while not re.search(pattern, self.seen[self._from :]):
            assert time.monotonic() < end and self._read(), self.seen.decode(errors="replace")
        self._from = len(self.seen)

    def say(self, line: str) -> None:
        os.write(self.handle, line.encode() + b"\n")

    def end(self) -> int:
        while self._read():
            pass
        os.close(self.handle)
        return self.process.wait(60)
