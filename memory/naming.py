"""Parameterised concepts by their names: finding one, and the list of them that a writer is shown."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Sequence

from phronesis.core.concept import Concept, StoredConcept
from phronesis.memory.opened import OpenMemory
from phronesis.memory.reading import concept_number, stored
from phronesis.memory.recall import one_line

_TERM = re.compile(r"\w+")
_CUES = 3
"""Cues of a concept that are listed."""


class Named(OpenMemory):
    """Knows its parameterised concepts by name."""

    def named(self, names: Sequence[str], *, version: int | None = None) -> dict[str, Concept]:
        """The valid concepts of these names (case aside), by the name as asked for; of the version, or of now."""
        at = self._at(version)
        with self._ledger.reading() as connection:
            found = {name: by_name(connection, name, at=at) for name in names}
        return {name: concept.concept for name, concept in found.items() if concept is not None}

    def vocabulary(self, *, token_budget: int, version: int | None = None) -> str:
        """The parameterised concepts as a writer is shown them, in at most ``token_budget`` tokens (3.5 characters each); of
        the version, or of now."""
        at = self._at(version)
        with self._ledger.reading() as connection:
            rows = connection.execute(
                "SELECT b.concept FROM bodies b JOIN texts t ON t.rowid = b.seq "
                "WHERE t.name <> '' AND b.since <= ? AND b.until > ?",
                (at, at),
            ).fetchall()
            found = stored(connection, at=at, numbers=[int(row[0]) for row in rows])
        return vocabulary(list(found.values()), token_budget=token_budget)


def by_name(connection: sqlite3.Connection, name: str, *, at: int) -> StoredConcept | None:
    """The valid concept of that name (case aside) at a version; the oldest, where people gave one name twice."""
    terms = _TERM.findall(name)
    wanted = name.casefold()
    if not terms:
        return None
    # Only words reach the expression, each quoted, so nothing of a name acts as syntax.
    expression = "name : (" + " AND ".join(f'"{term}"' for term in terms) + ")"
    rows = connection.execute(
        "SELECT b.concept FROM texts t JOIN bodies b ON b.seq = t.rowid "
        "WHERE texts MATCH ? AND b.since <= ? AND b.until > ?",
        (expression, at, at),
    ).fetchall()
    found = stored(connection, at=at, numbers=[int(row[0]) for row in rows])
    return next((item for item in found.values() if _is(item, wanted)), None)


def _is(item: StoredConcept, wanted: str) -> bool:
    return item.status != "invalid" and item.concept.name.casefold() == wanted


def vocabulary(concepts: Sequence[StoredConcept], *, token_budget: int) -> str:
    """Structures, then routines by subtype, a line each: name, parameters, type, what it is, cues (ArcMemo's memory string).

    What helped most has the first claim on the budget; whatever finds no room for its line is named on a last line, as far
    as that fits. The order of the lines does not depend on who found room, so equal memories give equal texts."""
    room = int(token_budget * 3.5)
    lines: dict[str, str] = {}
    titles: set[str] = set()
    for item in sorted(concepts, key=lambda item: (-item.helped, concept_number(item.id))):
        line, title = _line(item.concept), _title(item.concept)
        cost = len(line) + 1 + (0 if title in titles else len(title) + 2)
        if cost <= room:
            lines[item.id] = line
            titles.add(title)
            room -= cost
    shown = [item for item in concepts if item.id in lines]
    parts: list[str] = []
    for title in sorted({_title(item.concept) for item in shown}, key=lambda title: (title != "Structures", title)):
        parts.append(f"{title}:")
        parts += [lines[item.id] for item in shown if _title(item.concept) == title]
    rest = "; ".join(one_line(item.concept.name) for item in concepts if item.id not in lines)
    text = "\n".join(parts)
    if rest and len(rest) + 22 <= room:
        text = f"{text}\nAlso known by name: {rest}".strip()
    return text


def _title(concept: Concept) -> str:
    if concept.kind == "structure":
        return "Structures"
    return f"Routines ({one_line(concept.subtype)})" if concept.subtype else "Routines"


def _line(concept: Concept) -> str:
    """``- share cost(parts: list of numbers) -> amount: what it is [look for: ...]``."""
    taken = ", ".join(
        f"{one_line(item.name)}: {one_line(item.typing)}" if item.typing else one_line(item.name)
        for item in concept.parameters
    )
    gives = f" -> {one_line(concept.typing)}" if concept.typing else ""
    cues = "; ".join(one_line(cue) for cue in concept.cues[:_CUES])
    signs = f" [look for: {cues}]" if cues else ""
    return f"- {one_line(concept.name)}{f'({taken})' if taken else ''}{gives}: {one_line(concept.suggestion)}{signs}"
