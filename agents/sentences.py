"""Sentences of a text, as they stand in it."""

from __future__ import annotations

import re

_END = re.compile(r"(?:(?<=[.!?])|(?<=[.!?][\"'”’)\]]))\s+(?=[\"'“‘(\[]?[^\W_a-z])|\n{2,}")
_ABBREVIATED = re.compile(
    r"\b(?:[A-Z]|Mr|Mrs|Ms|Dr|Prof|St|Sr|Jr|vs|e\.g|i\.e|cf|No|Fig|Vol|Inc|Ltd|Co|etc|ca|c|b|d)\.$"
)


def sentences(text: str) -> tuple[str, ...]:
    """The sentences in order, without spaces at their ends. A full stop behind an initial or a known abbreviation ends none.

    Joined by spaces they are the text again, spaces apart."""
    found: list[str] = []
    begin = 0
    for end in _END.finditer(text):
        piece = text[begin : end.start()].strip()
        if _ABBREVIATED.search(piece) and "\n\n" not in end[0]:
            continue
        found.append(text[begin : end.end()].strip())
        begin = end.end()
    found.append(text[begin:].strip())
    return tuple(piece for piece in found if piece)
