"""Attempts cut into steps, and put together again with their scores."""

from __future__ import annotations

import re
from collections.abc import Sequence

_SCORE = re.compile(r"(?<![ \t])[ \t]*\(Score: \d+/10\)")
_HEADING = re.compile(r"(?im)^[ \t]*(?:[#>*_][#>*_ \t]*)?step[ \t]+(\d+)\b")


def split_steps(text: str) -> tuple[str, ...]:
    """The steps of an attempt, none empty.

    A step begins where a line begins with ``Step <number>``, whatever the number; text before ``Step 1`` belongs to it, and
    before any other number is a step of its own. Without such lines paragraphs are steps, without paragraphs lines."""
    text = text.strip()
    if not text:
        return ()
    headings = list(_HEADING.finditer(text))
    if headings:
        starts = [heading.start() for heading in headings]
        starts = [0, *starts] if int(headings[0][1]) > 1 and starts[0] > 0 else [0, *starts[1:]]
        pieces = [text[start:end] for start, end in zip(starts, [*starts[1:], len(text)], strict=True)]
    else:
        pieces = re.split(r"\n\s*\n", text) if re.search(r"\n\s*\n", text) else text.splitlines()
    return tuple(piece.strip() for piece in pieces if piece.strip())


def annotate(steps: Sequence[str], scores: Sequence[float]) -> str:
    """Each step followed by its score in tenths, as MAgICoRe's reviewer reads them (2409.12147; code refine.py).

    Raises ValueError when the lengths differ."""
    lines = [f"{step} (Score: {round(10 * round(score, 1))}/10)" for step, score in zip(steps, scores, strict=True)]
    return "\n".join(lines)


def without_scores(text: str) -> str:
    """The text without the scores ``annotate`` puts behind steps, which a refiner may have copied."""
    return _SCORE.sub("", text)
