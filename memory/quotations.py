"""Finds texts that quote concepts, however they were wrapped, cut, cased or escaped.

A concept's text counts as quoted where its beginning stands (``PREFIX`` characters: prompts cut long texts). Texts too
short to be telling count only as a whole line.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from phronesis.core.concept import Concept, tidy

PREFIX = 48
"""Characters of a text that are looked for."""
TELLING = 16
"""Length from which a text is looked for inside others."""
GONE = "(erased)"
"""Stands where a quotation stood."""
_STRUCTURE = frozenset({"action", "id", "kind", "origin", "outcome", "status", "superseded_by", "type", "verdict"})
"""Fields that hold words of ours, never a concept's."""
_ASCII = re.compile(r"[\x00-\x7f]+")
_WORD = re.compile(r"[a-z0-9]{3,}")
_HIDDEN = re.compile(r"\\u00[2-7]")
"""An escape for a letter or digit, behind which a word of a hint could hide."""
_ESCAPES = re.compile(r'\\(?:u([0-9a-fA-F]{4})|(["\\/])|[nrtbf])')


class Quotation:
    """What to look for when some concepts are to be gone."""

    def __init__(self, concepts: Sequence[Concept]) -> None:
        written = [tidy(text) for concept in concepts for text in _texts(concept)]
        texts = {text.casefold() for text in written if text}
        bullets = {_normal(f"when {_bare(c.situation)}: {c.suggestion}") for c in concepts if _bare(c.situation)}
        self._parts = frozenset(
            {text[:PREFIX] for text in texts if len(text) >= TELLING} | {b[:PREFIX] for b in bullets}
        )
        short = {text for text in texts if len(text) < TELLING}
        self._lines = frozenset(short | {f"- {text}" for text in short})
        self._hints = {_hint(text) for text in written if text}

    def __bool__(self) -> bool:
        return bool(self._parts or self._lines)

    def may_be_in(self, text: str) -> bool:
        """False when the text, escaped or not, cannot quote: a quick look that spares most texts a slow one."""
        low = text.lower()
        if any(all(word in low for word in words) for words in self._hints):
            return True
        return _HIDDEN.search(low) is not None

    def in_text(self, text: str) -> bool:
        """Whether the text quotes; JSON or program text inside it is read with its escapes undone, twice over."""
        for _ in range(3):
            if self._has_part(text):
                return True
            if self._lines and any(_normal(line) in self._lines for line in text.splitlines()):
                return True
            if "\\" not in text:
                return False
            text = _unescaped(text)
        return False

    def _has_part(self, text: str) -> bool:
        normal = _normal(text)
        return any(part in normal for part in self._parts)

    def in_json(self, data: Any) -> bool:
        """Whether a text anywhere in decoded JSON quotes, keys included."""
        if isinstance(data, str):
            return self.in_text(data)
        if isinstance(data, Mapping):
            return any(
                self._has_part(name) or (name not in _STRUCTURE and self.in_json(item)) for name, item in data.items()
            )
        return isinstance(data, (list, tuple)) and any(self.in_json(item) for item in data)

    def blanked(self, data: Any) -> Any:
        """Decoded JSON with ``GONE`` in the place of each text that quotes."""
        if isinstance(data, str):
            return GONE if self.in_text(data) else data
        if isinstance(data, Mapping):
            return {
                GONE if self._has_part(name) else name: item if name in _STRUCTURE else self.blanked(item)
                for name, item in data.items()
            }
        return [self.blanked(item) for item in data] if isinstance(data, (list, tuple)) else data


def _texts(concept: Concept) -> tuple[str, ...]:
    described = tuple(parameter.description for parameter in concept.parameters)
    lists = (*concept.cues, *concept.avoid, *concept.implementation)
    return (concept.suggestion, concept.situation, concept.name, *lists, *described)


def _hint(text: str) -> frozenset[str]:
    """Words that stand wherever the beginning of the text does; of other scripts' texts, fewer or none."""
    beginning = text[:PREFIX]
    if not beginning.isascii():  # case folding may lengthen it, by three at the most
        beginning = text[: PREFIX // 3]
    return frozenset(word for run in _ASCII.findall(beginning) for word in _WORD.findall(run.lower()))


def _bare(situation: str) -> str:
    """As a prompt's bullet begins with it."""
    return situation.removeprefix("When ").removeprefix("when ").rstrip(".:")


def _normal(text: str) -> str:
    return tidy(text).casefold()


def _unescaped(text: str) -> str:
    def plain(found: re.Match[str]) -> str:
        if found[1]:
            return chr(int(found[1], 16))
        return found[2] or " "

    # Two escapes may be the halves of one character.
    return _ESCAPES.sub(plain, text).encode("utf-16", "surrogatepass").decode("utf-16", "replace")
