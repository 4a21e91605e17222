"""What the control memories say: advice under another one's situation, and words that say nothing. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from phronesis.core.concept import Concept, StoredConcept
from phronesis.core.seeds import generator

_ADVICE = (
    "suggestion",
    "name",
    "kind",
    "subtype",
    "typing",
    "parameters",
    "avoid",
    "parts",
    "implementation",
    "source",
)
"""What a concept advises, and the task it comes from. Its situation and cues, by which it is found, are not among it."""
_NOTHING = (
    "this entry was put down for the record and stands here so that the list is complete; it was looked at once and "
    "left as it was, and nothing follows from it; entries of this sort come one after another, some longer and some "
    "shorter, and each of them takes up its place; "
)


def neutral(length: int, start: int = 0) -> str:
    """Exactly ``length`` characters that help with nothing; another ``start``, another cut of the same text."""
    if length < 1:
        return ""
    begin = start * 7 % len(_NOTHING)
    text = (_NOTHING * (length // len(_NOTHING) + 2))[begin : begin + length]
    # One line without blanks at its ends, as concepts are kept.
    return "".join("." if place in (0, length - 1) and letter == " " else letter for place, letter in enumerate(text))


def placebo(concept: Concept, number: int) -> Concept:
    """The concept with every word of advice replaced by as many characters that say nothing; what finds it stays."""

    def blank(text: str, more: int = 0) -> str:
        return neutral(len(text), number + more)

    said: dict[str, Any] = {
        "suggestion": blank(concept.suggestion),
        "name": blank(concept.name, 1),
        "subtype": blank(concept.subtype, 2),
        "typing": blank(concept.typing, 3),
        "avoid": tuple(blank(text, place) for place, text in enumerate(concept.avoid)),
        "parts": tuple(blank(text, place) for place, text in enumerate(concept.parts)),
        "implementation": tuple(blank(text, place) for place, text in enumerate(concept.implementation)),
        "parameters": tuple(
            item.model_copy(update={"typing": blank(item.typing), "description": blank(item.description)})
            for item in concept.parameters
        ),
    }
    return Concept.model_validate({**concept.model_dump(), **said})


def exchanged(concept: Concept, donor: Concept) -> Concept:
    """What the donor advises, found by what finds the concept."""
    return Concept.model_validate({**concept.model_dump(), **{name: getattr(donor, name) for name in _ADVICE}})


def donors(concepts: Sequence[StoredConcept], family: Mapping[str, str], seed: int) -> dict[str, str]:
    """Concept id -> id of the concept whose advice it gets: every advice is given once, and to none of its own family while
    no family has more than half of the concepts. ``family``: of a concept id; a missing one is a family of its own.

    Concepts are laid out family by family, in each in an order drawn by the seed, and the advice moves along by the size of
    the largest family. With one concept alone there is nobody to change with: the result is empty."""
    if len(concepts) < 2:
        return {}
    groups: dict[str, list[str]] = {}
    for item in concepts:
        groups.setdefault(family.get(item.id) or f"concept {item.id}", []).append(item.id)
    rng = generator(seed, "donors")
    for members in groups.values():
        rng.shuffle(members)
    names = sorted(groups)
    rng.shuffle(names)
    row = [member for name in names for member in groups[name]]
    step = max(len(members) for members in groups.values()) % len(row) or 1
    return {name: row[(place + step) % len(row)] for place, name in enumerate(row)}
