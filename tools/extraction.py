"""Where in a reply the answer stands."""

from __future__ import annotations

import re
from typing import Literal

from phronesis.tools.numbers import NUMBER_IN_TEXT

Extraction = Literal["lenient", "strict"]

_LABEL = re.compile(r"(?:final\s+)?answer\s*(?:is|:|=)\s*[*_]*\s*:?\s*(.+)", re.IGNORECASE)
_HEADING = re.compile(r"(?im)^[ \t]*(?:[#>*_][#>*_ \t]*)?step[ \t]+\d+\b")
_MARK = re.compile(r"####\s*(.+)")


def marked_answer(text: str) -> str | None:
    """The text inside the last ``\\boxed{}``, else after the last ``Answer:`` (``the answer is``), else after ``####``."""
    boxed = _last_boxed(text)
    if boxed is not None:
        return boxed.strip() or None
    for pattern in (_LABEL, _MARK):
        found = pattern.findall(text)
        if found:
            return str(found[-1]).strip().strip("*_`").strip() or None
    return None


def _last_boxed(text: str) -> str | None:
    start = text.rfind("\\boxed{")
    if start < 0:
        return None
    depth = 0
    for position in range(start + len("\\boxed"), len(text)):
        if text[position] == "{":
            depth += 1
        elif text[position] == "}":
            depth -= 1
            if depth == 0:
                return text[start + len("\\boxed{") : position]
    return None


def last_number(text: str) -> str | None:
    """The last number of the text, as written; the number of a heading such as ``Step 2`` is none."""
    found = NUMBER_IN_TEXT.findall(_HEADING.sub(" ", text))
    return str(found[-1]).strip() if found else None


def last_line(text: str) -> str | None:
    """The last line that is not blank."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else None
