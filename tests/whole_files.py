"""Names the files that hold conflict marks, trailing blanks, or no line break at their end (a pre-commit hook)."""

from __future__ import annotations

import re
import sys
from pathlib import Path

_MARK = re.compile(r"^(?:<{7}|>{7}|={7})(?: |$)", re.MULTILINE)
_BLANK = re.compile(r"[ \t]+$", re.MULTILINE)
_SPARED = (".svg", ".txt", ".jsonl")
"""Written by programs, or compared byte by byte."""


def faults(path: Path) -> list[str]:
    """What is wrong with a file; binary ones are passed over."""
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        return []
    found = ["a conflict mark"] if _MARK.search(text) else []
    if path.suffix in _SPARED:
        return found
    if _BLANK.search(text):
        found.append("trailing blanks")
    if text and not text.endswith("\n"):
        found.append("no line break at the end")
    return found


def main(names: list[str]) -> int:
    bad = [f"{name}: {fault}" for name in names if Path(name).is_file() for fault in faults(Path(name))]
    print("\n".join(bad), end="\n" if bad else "")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
