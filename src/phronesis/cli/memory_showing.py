"""Concepts on the terminal: the list, and one concept whole."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rich.text import Text

from phronesis.cli.plain import plain
from phronesis.cli.tables import console
from phronesis.core.concept import Concept, StoredConcept
from phronesis.memory.revisions import ConceptVersion
from phronesis.memory.session import Memory

_STYLES = {"given": "green", "proven": "green", "imported": "cyan", "trial": "yellow", "withdrawn": "dim"}


def everything(memory: Memory) -> list[StoredConcept]:
    """Valid and withdrawn concepts, by id."""
    return sorted([*memory.list(), *memory.withdrawn()], key=lambda item: int(item.id[1:]))


def as_json(item: StoredConcept) -> dict[str, Any]:
    """The concept as ``--json`` prints it: what it holds, and how far it may be trusted."""
    return {**item.model_dump(mode="json"), "trust": item.trust}


def list_line(item: StoredConcept) -> str:
    """One line of the list; a withdrawn one says why, and what took its place."""
    when = f"when {item.concept.situation}: " if item.concept.situation else ""
    line = f"{item.id}  {item.status:<9}  used {item.recalled}  {plain(when + item.concept.suggestion)}"
    if isinstance(item, ConceptVersion):
        heir = f", now {item.superseded_by}" if item.superseded_by else ""
        line += f"  ({item.change}: {plain(item.reason)}{heir})"
    return line


def show_concept(found: StoredConcept, versions: Sequence[ConceptVersion]) -> None:
    """The concept, what speaks for it, and how it came to be as it is."""
    out = console()
    head = Text(f"{found.id} version {found.version}, {found.status}, since {found.created}, ")
    out.print(head.append(found.trust, style=_STYLES[found.trust]))
    for label, value in _rows(found.concept):
        out.print(Text.assemble((f"{label:<8}", "dim"), plain(value)))
    last = f", last {found.last_used}" if found.last_used else ""
    _row("used", f"{found.recalled} times: helped {found.helped}, harmed {found.harmed}{last}")
    _row("origin", found.origin)
    for proof in found.evidence:
        score = "" if proof.score is None else f" {proof.score:.2f}"
        where = f"run {proof.run}, task {proof.task}" if proof.run else f"task {proof.task}"
        note = f": {plain(proof.note)}" if proof.note else ""
        _row("evidence", f"{proof.verdict}{score} by {plain(proof.verifier)} ({plain(where)}){note}")
    for item in versions:
        heir = f", now {item.superseded_by}" if item.superseded_by else ""
        until = "now" if item.until is None else str(item.until)
        reason = f": {plain(item.reason)}" if item.reason else ""
        _row("history", f"v{item.version} {item.change} {item.changed} (memory {item.since} to {until}){heir}{reason}")


def _row(label: str, value: str) -> None:
    console().print(Text.assemble((f"{label:<8}", "dim"), " " if len(label) == 8 else "", value))


def _rows(concept: Concept) -> list[tuple[str, str]]:
    kind = concept.kind + (f" ({concept.subtype})" if concept.subtype else "")
    rows = [("name", concept.name)] if concept.name else []
    rows += [("when", concept.situation or "(always)"), ("then", concept.suggestion)]
    rows += [("cue", cue) for cue in concept.cues] + [("not", sign) for sign in concept.avoid]
    for item in concept.parameters:
        typing = f": {item.typing}" if item.typing else ""
        rows.append(("takes", f"{item.name}{typing}{f' ({item.description})' if item.description else ''}"))
    rows += [("gives", concept.typing)] if concept.typing else []
    rows += [("part", part) for part in concept.parts] + [("how", note) for note in concept.implementation]
    return [*rows, ("kind", kind), ("source", concept.source or "(unknown)")]
