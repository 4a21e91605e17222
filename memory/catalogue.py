"""A whole memory as compressed text, for a model that chooses from it (ArcMemo's rendering, arXiv 2509.04439, section 3)."""

from __future__ import annotations

from collections.abc import Sequence

from phronesis.core.concept import Hit
from phronesis.memory.recall import bullet, one_line

USAGE_THRESHOLD = 2
"""Accepted runs from which on a parameterised concept is written out; below it only its name is. ArcMemo's: 2."""


def catalogue(hits: Sequence[Hit], *, threshold: int = USAGE_THRESHOLD) -> str:
    """Structures, routines by subtype, lessons, pitfalls, each with its id; within a part by id, so that equal memories give
    equal texts whatever the question. Parameterised concepts used in fewer than ``threshold`` accepted runs stand by id and
    name on one line of their part."""
    parts: dict[str, list[Hit]] = {}
    for hit in sorted(hits, key=_place):
        parts.setdefault(_part(hit), []).append(hit)
    lines: list[str] = []
    for title in sorted(parts, key=lambda title: (_ORDER.index(title.split(":")[0]), title)):
        lines.append(f"## {title}")
        rare = [hit for hit in parts[title] if hit.concept.name and hit.helped < threshold and hit.origin != "user"]
        lines += [listed(hit) for hit in parts[title] if hit not in rare]
        if rare:
            lines.append(f"Less used: {'; '.join(f'{hit.id} {one_line(hit.concept.name)}' for hit in rare)}")
    return "\n".join(lines)


def listed(hit: Hit) -> str:
    """One concept on one line, situation and suggestion; of a parameterised one its parameters, type and cues."""
    concept = hit.concept
    if not concept.name:
        return f"{hit.id}. {bullet(concept)}"
    taken = ", ".join(
        f"{one_line(item.name)}: {one_line(item.typing)}" if item.typing else one_line(item.name)
        for item in concept.parameters
    )
    typed = f"({taken})" if taken else ""
    gives = f" -> {one_line(concept.typing)}" if concept.typing else ""
    cues = "; ".join(one_line(item) for item in (concept.situation, *concept.cues) if item)
    signs = f" [when {cues}]" if cues else ""
    return f"{hit.id}. {one_line(concept.name)}{typed}{gives}: {one_line(concept.suggestion)}{signs}"


_ORDER = ("Structures", "Routines", "Lessons", "Pitfalls")


def _part(hit: Hit) -> str:
    concept = hit.concept
    if concept.kind == "routine":
        subtype = one_line(concept.subtype).replace(":", " ")
        return f"Routines: {subtype}" if subtype else "Routines"
    return {"structure": "Structures", "lesson": "Lessons", "pitfall": "Pitfalls"}[concept.kind]


def _place(hit: Hit) -> tuple[str, int, str]:
    """By memory, then by number."""
    memory, _, name = hit.id.rpartition("/")
    return memory, int(name[1:]) if name[1:].isdecimal() else 0, name
