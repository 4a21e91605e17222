"""Files of lines that grow: what was added survives a kill, and a full disk leaves whole lines."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import orjson

from phronesis.core.errors import ConfigurationError, JournalUnwritable

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def append_line(path: Path, line: bytes, *, sync: bool = True) -> None:
    """Adds a line; cuts off a torn last line first. ``sync``: it survives a power cut too.

    Raises JournalUnwritable when the disk is full, and then leaves whole lines; ConfigurationError when the file cannot be
    written at all."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            size = os.lseek(handle, 0, os.SEEK_END)
            if size and os.pread(handle, 1, size - 1) != b"\n":
                size = path.read_bytes().rfind(b"\n") + 1
                os.ftruncate(handle, size)
                os.lseek(handle, size, os.SEEK_SET)
            _write_whole(handle, line + b"\n", size, sync=sync)
        finally:
            os.close(handle)
    except OSError as error:
        if error.errno in FULL:
            raise JournalUnwritable(
                f"the disk is full: {str(path)!r}", mend="free some space, then resume the run"
            ) from None
        raise ConfigurationError(f"cannot write {str(path)!r}: {error.strerror}", mend="choose another --out") from None


def _write_whole(handle: int, line: bytes, size: int, *, sync: bool) -> None:
    """Writes the line behind the first ``size`` bytes, or nothing. Raises OSError."""
    try:
        if os.write(handle, line) != len(line):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        if sync:
            os.fsync(handle)
    except OSError:
        os.ftruncate(handle, size)
        raise


def whole_lines(path: Path) -> Iterator[bytes]:
    """The whole lines of a file, without their ends; a torn last one and empty ones are left out; an absent file has none."""
    if not path.is_file():
        return
    with path.open("rb") as file:
        yield from (line[:-1] for line in file if line.endswith(b"\n") and line != b"\n")


def write_json(path: Path, value: object) -> None:
    """Writes a JSON file whole or not at all: a new file takes the old one's place. Raises as ``append_line`` does."""
    new = path.with_name(f".{path.name}.new")
    text = orjson.dumps(value, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with new.open("wb") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        new.replace(path)
    except OSError as error:
        with suppress(OSError):
            new.unlink()
        if error.errno in FULL:
            raise JournalUnwritable(f"the disk is full: {str(path)!r}", mend="free some space") from None
        raise ConfigurationError(
            f"cannot write {str(path)!r}: {error.strerror}", mend="choose another folder"
        ) from None
