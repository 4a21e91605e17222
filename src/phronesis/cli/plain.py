"""Text that a model or a stranger wrote, made safe to show on a terminal."""

from __future__ import annotations

import re

_ESCAPE = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[@-Z\\-_])")
"""Terminal sequences: colours and cursor moves, titles and links, and the short ones."""


def plain(text: str, limit: int | None = None) -> str:
    """One line without control characters and terminal sequences, cut to ``limit`` characters with an ellipsis."""
    line = " ".join(_printable(_ESCAPE.sub("", text)).split())
    return line if limit is None or len(line) <= limit else line[: max(0, limit - 1)].rstrip() + "…"


def plain_lines(text: str) -> str:
    """The same with its line breaks kept and tabs as spaces."""
    return "\n".join(_printable(line.expandtabs(4)).rstrip() for line in _ESCAPE.sub("", text).strip().splitlines())


def _printable(text: str) -> str:
    return "".join(character if character.isprintable() else " " for character in text)


def counted(number: int, noun: str, nouns: str = "") -> str:
    """``1 question``, ``2 questions``; ``nouns`` where a plural is no plain s."""
    return f"{number} {noun if number == 1 else nouns or f'{noun}s'}"
