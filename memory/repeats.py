"""The loop guard: whether what a run wants to write repeats what stood in its own prompt.

A memory that learns from runs which read it could believe its own words: a concept is recalled, the solution says it again,
and it comes back as a second, independent one. Whatever repeats a recalled text is evidence for that text at the most.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from phronesis.core.concept import Concept
from phronesis.core.ports import Vectors
from phronesis.core.result import MemoryRecall

Views = Callable[[Sequence[Concept]], Sequence[Vectors] | None]
"""Vectors of each concept's views, or None without an embedder."""
SHARED_WORDS = 0.8
"""Share of a lesson's words that stand in one recalled text from which on it repeats that text, without an embedder."""
_WORD = re.compile(r"[^\W_]+")


class Repeat(NamedTuple):
    """A recalled concept that a new one repeats."""

    id: str
    reason: str


def words(text: str) -> frozenset[str]:
    """The distinct words of a text, case aside."""
    return frozenset(_WORD.findall(text.casefold()))


def shared(new: str, old: str) -> float:
    """The share of the new text's words that the old one has too, in [0, 1]; 0 for a text without words."""
    wanted = words(new)
    return len(wanted & words(old)) / len(wanted) if wanted else 0.0


@dataclass(frozen=True)
class Guard:
    """What stood in the prompt, beside what is to be written; made before a transaction, asked inside it."""

    prompted: Sequence[MemoryRecall]
    statements: Sequence[Vectors] | None
    """Per prompted concept: its situation and the whole of it. None without an embedder."""
    wanted: Sequence[Vectors] | None
    """Per new concept, alike."""
    texts: Sequence[str]
    """What each new concept says."""
    near: float
    """Cosine from which on two texts say the same."""

    @classmethod
    def of(cls, concepts: Sequence[Concept], prompted: Sequence[MemoryRecall], views: Views, *, near: float) -> Guard:
        """Slow (a model works), unless nothing stood in the prompt."""
        texts = [_statement(item.situation, item.suggestion) for item in concepts]
        if not prompted or not concepts:
            return cls((), None, None, texts, near)
        old = [_pair(item.situation, item.text) for item in prompted]
        new = [_pair(item.situation, item.suggestion) for item in concepts]
        found = views([*old, *new])
        if found is None:
            return cls(prompted, None, None, texts, near)
        return cls(prompted, found[: len(old)], found[len(old) :], texts, near)

    def repeated(self, place: int) -> Repeat | None:
        """The recalled concept that the new one at ``place`` repeats, the closest one; ties by the order of recall."""
        found: list[tuple[float, int, Repeat]] = []
        for number, item in enumerate(self.prompted):
            share = shared(self.texts[place], _statement(item.situation, item.text))
            if share >= (SHARED_WORDS if self.wanted is None else 1.0):
                found.append((-share, number, Repeat(item.id, f"{share:.0%} of its words are those of {item.id}")))
            cosine = self._cosine(place, number, mounted="/" in item.id)
            if cosine >= self.near:
                found.append((-cosine, number, Repeat(item.id, f"cosine {cosine:.3f} with {item.id}")))
        return min(found)[2] if found else None

    def _cosine(self, place: int, number: int, *, mounted: bool) -> float:
        """Of the whole statements. Of a mounted concept also of the situations, which the ledger compares for our own."""
        if self.wanted is None or self.statements is None:
            return -1.0
        new, old = self.wanted[place], self.statements[number]
        whole = float(new[1] @ old[1])
        return max(whole, float(new[0] @ old[0])) if mounted else whole


def _statement(situation: str, suggestion: str) -> str:
    return f"{situation}: {suggestion}" if situation else suggestion


def _pair(situation: str, suggestion: str) -> Concept:
    """A concept whose two views are the situation and the whole statement."""
    whole = _statement(situation, suggestion) or "-"
    return Concept(situation=situation or whole, suggestion=whole, cues=(whole,))
