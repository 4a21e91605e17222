"""An eye on what limits of single processes cannot see: the memory of all of them together, and the disk they fill."""

from __future__ import annotations

import os
import time
from pathlib import Path

_EVERY = 0.1
"""Seconds between two looks."""
_MOST_FILES = 5000
_PAGE = os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else 4096


class Watch:
    """Looks after one process, its descendants and its folder."""

    def __init__(self, pid: int, folder: str, *, memory: int, disk: int) -> None:
        """``memory``: bytes that all processes together may hold, pages they share counted for each; ``disk``: bytes of all
        files in the folder."""
        self._pid = pid
        self._folder = folder
        self._memory = memory
        self._disk = disk
        self._next = time.monotonic() + _EVERY
        self.found = ""
        """What was exceeded, as an error of the program; empty = nothing."""

    def exceeded(self) -> bool:
        """Whether a limit was passed; looks ten times a second at most, and costs well under a millisecond."""
        if time.monotonic() < self._next or self.found:
            return bool(self.found)
        held = memory_of(self._pid)
        used, files = usage_of(self._folder)
        if held > self._memory:
            self.found = f"MemoryError: the program's processes hold more than {self._memory >> 20} MiB together"
        elif used > self._disk:
            self.found = f"OSError: the program's files have more than {self._disk >> 20} MiB together"
        elif files > _MOST_FILES:
            self.found = f"OSError: the program made more than {_MOST_FILES} files"
        self._next = time.monotonic() + _EVERY
        return bool(self.found)


def memory_of(pid: int) -> int:
    """Bytes that a process and its descendants hold; 0 where the system does not tell."""
    held, seen, waiting = 0, {pid}, [pid]
    while waiting and len(seen) < 10_000:
        place = Path("/proc", str(waiting.pop()))
        try:
            held += int((place / "statm").read_bytes().split()[1]) * _PAGE
            for task in (place / "task").iterdir():
                children = {int(child) for child in (task / "children").read_bytes().split()} - seen
                seen |= children
                waiting += children
        except (OSError, IndexError, ValueError):
            continue
    return held


def usage_of(folder: str) -> tuple[int, int]:
    """(bytes on the disk, files and folders) under a folder; stops counting past the most files."""
    used, files, waiting = 0, 0, [folder]
    while waiting and files <= _MOST_FILES:
        try:
            with os.scandir(waiting.pop()) as entries:
                for entry in entries:
                    files += 1
                    if files > _MOST_FILES:
                        break
                    if entry.is_dir(follow_symlinks=False):
                        waiting.append(entry.path)
                    else:
                        used += entry.stat(follow_symlinks=False).st_blocks * 512
        except OSError:
            continue
    return used, files
