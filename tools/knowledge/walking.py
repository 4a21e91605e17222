"""Which files are meant: those named, and what folders hold."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from phronesis.tools.knowledge.documents import Problem
from phronesis.tools.knowledge.reading import KINDS, kind_of


@dataclass
class Found:
    """Files to read, and what was passed over."""

    files: list[tuple[Path, str]] = field(default_factory=list)
    """Path and source, in order: as given, then by path."""
    problems: list[Problem] = field(default_factory=list)
    passed: Counter[str] = field(default_factory=Counter)
    """How many of a folder were left out: ``hidden``, ``unknown suffix``, ``symbolic link``."""


def find_files(paths: Sequence[Path]) -> Found:
    """The files that the paths name, folders walked. A file's source is its name; in a folder, the folder's name and the
    path inside it. Inside folders hidden files, unknown suffixes and symbolic links (which may lead out) are left out."""
    found = Found()
    for path in paths:
        whole = Path(os.path.abspath(path))
        if whole.is_dir():
            _walk(whole, found)
        elif kind_of(whole) is not None:
            found.files.append((whole, _source(whole.name)))
        else:
            known = " ".join(KINDS)
            reason = f"the suffix {whole.suffix!r} is not read; known: {known}" if whole.exists() else "no such file"
            found.problems.append(Problem(str(path), reason))
    found.files = list(dict.fromkeys(found.files))
    return found


def _walk(root: Path, found: Found) -> None:
    def failed(error: OSError) -> None:
        found.problems.append(Problem(str(error.filename), f"cannot be read: {error.strerror}"))

    for folder, folders, names in os.walk(root, onerror=failed):
        here = Path(folder)
        for name in folders:
            if name.startswith(".") or (here / name).is_symlink():
                found.passed["hidden" if name.startswith(".") else "symbolic link"] += 1
        folders[:] = sorted(name for name in folders if not name.startswith(".") and not (here / name).is_symlink())
        for name in sorted(names):
            path = here / name
            if name.startswith("."):
                found.passed["hidden"] += 1
            elif path.is_symlink():
                found.passed["symbolic link"] += 1
            elif kind_of(path) is None:
                found.passed["unknown suffix"] += 1
            else:
                found.files.append((path, _source(f"{root.name}/{path.relative_to(root).as_posix()}")))


def _source(name: str) -> str:
    """The name as text; bytes that are none become U+FFFD."""
    return os.fsencode(name).decode("utf-8", "replace")
