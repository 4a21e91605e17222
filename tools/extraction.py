"""Where in a reply the answer stands."""

from __future__ import annotations

import re
from typing import Literal

from phronesis.tools.numbers import NUMBER_IN_TEXT

Extraction = Literal["lenient", "strict"]

_LABEL = re.compile(r"(?:final\s+)?answer\s*(?:is|:|=)[\s*_]*(?::\s*)?(.+)", re.IGNORECASE)
_HEADING = re.compile(r"(?im)^[ \t]*(?:[#>*_][#>*_ \t]*)?step[ \t]+\d+\b")
_MARK = re.compile(r"####\s*(.+)")


def marked_answer(text: str) -> str | None:
    """The text inside the last ``\\boxed{}``, else after the last ``Answer:`` (``the answer is``), else after ``####``."""
    span = marked_span(text)
    return text[span[0] : span[1]] if span is not None else None


def marked_span(text: str) -> tuple[int, int] | None:
    """Where ``marked_answer`` stands, as (start, end); None where nothing is marked."""
    span = _last_boxed(text)
    if span is not None:
        return _narrowed(text, *span, " \t\n\r\f\v")
    for pattern in (_LABEL, _MARK):
        found = list(pattern.finditer(text))
        if found:
            return _narrowed(text, *found[-1].span(1), "*_` \t\n\r\f\v")
    return None


def _narrowed(text: str, start: int, end: int, dropped: str) -> tuple[int, int] | None:
    """The span without the characters to drop at its ends; None when nothing is left."""
    while start < end and text[start] in dropped:
        start += 1
    while start < end and text[end - 1] in dropped:
        end -= 1
    return (start, end) if start < end else None


def _last_boxed(text: str) -> tuple[int, int] | None:
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
                return start + len("\\boxed{"), position
    return None


def last_number(text: str) -> str | None:
    """The last number of the text, as written; the number of a heading such as ``Step 2`` is none."""
    found = NUMBER_IN_TEXT.findall(_HEADING.sub(" ", text))
    return str(found[-1]).strip() if found else None


def last_line(text: str) -> str | None:
    """The last line that is not blank."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else None
