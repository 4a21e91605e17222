"""Puts recalled concepts into a prompt: a bounded, plainly marked list of suggestions."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from phronesis.core.concept import Concept, Hit
from phronesis.core.result import MemoryRecall

DISCLAIMER = "Suggestions from earlier tasks. They may not fit this one: ignore any that does not."
"""First line, always."""
MAX_CHARACTERS = 600
"""Length a situation or a suggestion is cut to; what a model once wrote is not trusted to be short."""


def render(hits: Sequence[Hit], *, token_budget: int, tokens: Callable[[str], int]) -> tuple[str, list[MemoryRecall]]:
    """The text of at most ``token_budget`` tokens, and for each hit, in the order given, whether it is in it.

    Active concepts come before those on probation, otherwise in the order given. One that does not fit is left out and
    the next, perhaps shorter, is tried. Nothing rendered: the text is empty."""
    order = sorted(range(len(hits)), key=lambda place: (hits[place].status != "active", place))
    text = ""
    rendered: set[int] = set()
    for place in order:
        longer = f"{text or DISCLAIMER}\n{bullet(hits[place].concept)}"
        if tokens(longer) <= token_budget:
            text = longer
            rendered.add(place)
    recalls = [
        MemoryRecall(id=hit.id, score=hit.score, rendered=place in rendered, text=one_line(hit.concept.suggestion))
        for place, hit in enumerate(hits)
    ]
    return text, recalls


def bullet(concept: Concept) -> str:
    """``- When <situation>: <suggestion>``, one line; without a situation the suggestion alone."""
    situation = one_line(concept.situation).removeprefix("When ").removeprefix("when ").rstrip(".:")
    suggestion = one_line(concept.suggestion)
    return f"- When {situation}: {suggestion}" if situation else f"- {suggestion}"


def one_line(text: str) -> str:
    """The text without line breaks and other control characters, cut to MAX_CHARACTERS."""
    line = " ".join("".join(character if character.isprintable() else " " for character in text).split())
    return line if len(line) <= MAX_CHARACTERS else line[: MAX_CHARACTERS - 1].rstrip() + "…"
