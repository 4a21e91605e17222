"""Whether a text says what other texts said: by its words and figures, without a model.

A model that is to shorten or fuse texts may not bring in anything of its own, nor what an order inside one of the texts makes
it say. Words are compared by their beginnings, so that endings do not count; short words do not count at all.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

_WORD = re.compile(r"[^\W\d_]+")
_FIGURE = re.compile(r"\d(?:[\d.,/]*\d)?")
_DENIAL = re.compile(r"\b(?:not|never|no|cannot|avoid|without|instead)\b|n[\u0027\u2019]t\b", re.IGNORECASE)
_STEM = 5
"""Characters of a word that count."""
_SHORT = 4
"""Shorter words of an alphabet are mostly grammar."""
SPACELESS = re.compile("[\u0e00-\u0eff\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]")
"""Scripts that do not put spaces between words: pairs of characters stand in for words."""


def terms(text: str) -> frozenset[str]:
    """What the text is about: the beginnings of its longer words; all of its words when none is long."""
    found: set[str] = set()
    words = [word.casefold() for word in _WORD.findall(text)]
    for word in words:
        if SPACELESS.search(word):
            found |= {word[at : at + 2] for at in range(max(1, len(word) - 1))}
        elif len(word) >= _SHORT:
            found.add(word[:_STEM])
    return frozenset(found or words)


def figures(text: str) -> frozenset[str]:
    """The numbers that stand in it."""
    return frozenset(_FIGURE.findall(text))


def share(text: str, sources: Iterable[str]) -> float:
    """Share of the text's terms that stand in any of the sources, in [0, 1]; 1 for a text without words."""
    own = terms(text)
    known = frozenset[str]().union(*(terms(source) for source in sources))
    return len(own & known) / len(own) if own else 1.0


def denies(text: str) -> bool:
    """Whether it says not to do something, as far as English words tell."""
    return _DENIAL.search(text) is not None
