"""Cuts a text into overlapping spans. Pure: text in, positions out."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Sequence
from typing import NamedTuple

from phronesis.core.errors import ConfigurationError

SIZE = 1000
"""Characters a chunk has at most, unless asked otherwise: what small embedders read in full."""
OVERLAP = 150
SMALLEST = 40
_BREAKS = (
    re.compile(r"\n\s*\n\s*"),
    re.compile(r"[.!?…][\"'”’)\]]*\s+|[。！？]\s*"),
    re.compile(r"\s+"),
)
"""Ends of paragraphs, of sentences and of words, the best first."""
_SPACE = re.compile(r"\s*")


class Span(NamedTuple):
    """``text[start:end]``; begins and ends with a character that is no white space."""

    start: int
    end: int


def check_chunking(size: int, overlap: int) -> None:
    """Raises ConfigurationError for sizes that cannot be had."""
    if size < SMALLEST:
        raise ConfigurationError(
            f"a chunk size of {size} is below {SMALLEST}", mend=f"about {SIZE} characters are usual"
        )
    if not 0 <= overlap <= size // 2:
        raise ConfigurationError(
            f"an overlap of {overlap} does not fit chunks of {size} characters", mend=f"from 0 to {size // 2}"
        )


def spans(text: str, *, size: int = SIZE, overlap: int = OVERLAP, sections: Sequence[int] = ()) -> list[Span]:
    """Spans of at most ``size`` characters that hold all of the text but white space between them.

    A span ends, in its second half, before the last of ``sections`` (rising; where headings stand), else at the last end of a
    paragraph, of a sentence, of a word, else in the middle of a word. The next one begins with the first word that starts
    within the last ``overlap`` characters, or exactly ``overlap`` back where none does; at a section without overlap."""
    found: list[Span] = []
    end = len(text.rstrip())
    start = _SPACE.match(text).end()  # type: ignore[union-attr]  # matches anything
    while start < end:
        if end - start <= size:
            found.append(Span(start, end))
            break
        stop, next_section = _stop(text, start, start + size, sections)
        kept = len(text[start:stop].rstrip()) + start
        found.append(Span(start, kept))
        start = stop if next_section else _after_overlap(text, kept, overlap)
        start = _SPACE.match(text, start).end()  # type: ignore[union-attr]  # matches anything
    return found


def _stop(text: str, start: int, limit: int, sections: Sequence[int]) -> tuple[int, bool]:
    """Where a span that begins at ``start`` stops, and whether a section begins there."""
    least = start + (limit - start) // 2
    behind = bisect_right(sections, limit)
    if behind and sections[behind - 1] > least:
        return sections[behind - 1], True
    for pattern in _BREAKS:
        # One character further, so that white space right behind the limit counts as an end.
        ends = [match.end() for match in pattern.finditer(text, least, limit + 1) if match.end() > least + 1]
        if ends:
            return min(ends[-1], limit), False
    return limit, False


def _after_overlap(text: str, end: int, overlap: int) -> int:
    """Start of the span behind one that ends at ``end``."""
    earliest = end - overlap
    for place in range(earliest, end):
        if not text[place].isspace() and (place == 0 or text[place - 1].isspace()):
            return place
    return earliest
