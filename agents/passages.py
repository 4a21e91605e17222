"""Passages as a prompt shows them, by number, and the numbers that a reply cites."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from phronesis.core.retrieval import Passage

_CITED = re.compile(r"\[(\d+(?:\s*[,;]\s*\d+)*)\]")


def numbered(passages: Sequence[Passage], *, characters: int = 1500, best_last: bool = False, first: int = 1) -> str:
    """``[1] title`` and the text of each, blank lines between; the first passage is number ``first`` wherever it stands.

    ``characters``: of each text at the most, cut at a word and marked; ``best_last``: in reverse, so that the first one
    stands next to what follows (DRAG)."""
    shown = [
        f"[{number}] {' '.join(item.title.split())}\n{shortened(item.text, characters)}"
        if item.title.strip()
        else f"[{number}] {shortened(item.text, characters)}"
        for number, item in enumerate(passages, start=first)
    ]
    return "\n\n".join(reversed(shown) if best_last else shown)


def shortened(text: str, characters: int) -> str:
    """The text on one paragraph, no longer than that; a cut is marked."""
    flat = " ".join(text.split())
    return flat if len(flat) <= characters else flat[:characters].rsplit(" ", 1)[0] + " ..."


@dataclass(frozen=True)
class Citations:
    """What a reply rests on."""

    ids: tuple[str, ...]
    """Of the passages it names, in its order, each once."""
    invented: tuple[int, ...]
    """Numbers that no passage had; they cite nothing."""


def citations(text: str, ids: Mapping[int, str]) -> Citations:
    """The passages behind ``[2]`` or ``[1, 3]`` in a text, by the numbers they were shown with."""
    numbers = [int(part) for found in _CITED.findall(text) for part in re.split(r"\s*[,;]\s*", found)]
    known = dict.fromkeys(ids[number] for number in numbers if number in ids)
    return Citations(tuple(known), tuple(dict.fromkeys(number for number in numbers if number not in ids)))
