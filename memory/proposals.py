"""Proposals: changes that wait for a person, with what they would change, and how each was decided."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from phronesis.core.concept import Concept, Evidence
from phronesis.core.errors import ConceptStoreError, ConfigurationError, Conflict
from phronesis.memory.reading import concept_id, concept_number
from phronesis.memory.revisions import check_version, standing
from phronesis.memory.transaction import Transaction

Action = Literal["add", "update", "forget", "merge"]
ProposalStatus = Literal["open", "accepted", "rejected"]
_COLUMNS = "SELECT number, action, concept, base_version, body, reason, operation, status, time, decided FROM proposals"


class FieldChange(BaseModel):
    """One line of a difference."""

    model_config = ConfigDict(frozen=True)

    id: str
    """The concept; empty for one that is not there yet."""
    field: str
    old: str
    new: str


class Proposal(BaseModel):
    """A change that somebody proposed."""

    model_config = ConfigDict(frozen=True)

    number: int
    """Counts up in its memory."""
    action: Action
    bases: dict[str, int]
    """The concepts it is about, each with the version that was looked at."""
    concept: Concept | None
    """What an ``add``, ``update`` or ``merge`` would write."""
    superseded_by: str | None = None
    """The concept that takes the place of a forgotten one."""
    evidence: Evidence | None = None
    """Stands beside the concept once it is accepted."""
    reason: str
    operation: str
    status: ProposalStatus
    time: str
    """UTC, ISO 8601."""
    decided: str | None = None
    """UTC time of the decision."""
    outcome: str = ""
    """What the decision came to, for people."""
    id: str | None = None
    """The concept that an accepted one wrote, changed or gave evidence to."""
    difference: tuple[FieldChange, ...] = ()
    """Old and new of each field that would change, as of the versions looked at."""
    stale: str = ""
    """Why an open one cannot be accepted any more: a concept changed since. Empty = it can."""


def insert_proposal(
    transaction: Transaction,
    action: Action,
    *,
    bases: Mapping[str, int],
    concept: Concept | None,
    superseded_by: str | None,
    evidence: Evidence | None,
    reason: str,
    operation: str | None,
) -> int:
    """Number of the new proposal, or of the one that this operation made. Not a change of the memory's version."""
    run = transaction.connection.execute
    if operation is not None:
        known = run("SELECT number FROM proposals WHERE operation = ?", (operation,)).fetchone()
        if known is not None:
            return int(known[0])
    number = int(run("SELECT COALESCE(MAX(number), 0) + 1 FROM proposals").fetchone()[0])
    body = {
        "bases": dict(bases),
        "concept": None if concept is None else concept.model_dump(mode="json"),
        "superseded_by": superseded_by,
        "evidence": None if evidence is None else evidence.model_dump(mode="json"),
    }
    first = next(iter(bases), None)
    run(
        "INSERT INTO proposals (number, action, concept, base_version, body, reason, operation, status, time) "
        "VALUES (?, ?, ?, ?, ?, ?, ?, 'open', ?)",
        (
            number,
            action,
            None if first is None else concept_number(first),
            None if first is None else bases[first],
            json.dumps(body, ensure_ascii=False),
            reason,
            f"proposal/{number}" if operation is None else operation,
            transaction.now,
        ),
    )
    return number


def decide(transaction: Transaction, number: int, status: ProposalStatus, *, outcome: str, id: str | None) -> None:
    """Notes how the proposal was decided."""
    (body,) = transaction.connection.execute("SELECT body FROM proposals WHERE number = ?", (number,)).fetchone()
    told = {**json.loads(body), "outcome": outcome, "id": id}
    transaction.connection.execute(
        "UPDATE proposals SET status = ?, decided = ?, body = ? WHERE number = ?",
        (status, transaction.now, json.dumps(told, ensure_ascii=False), number),
    )


def proposal(connection: sqlite3.Connection, number: int) -> Proposal:
    """Raises ConceptStoreError that names an unknown number."""
    row = connection.execute(f"{_COLUMNS} WHERE number = ?", (number,)).fetchone()
    if row is None:
        raise ConceptStoreError(f"there is no proposal {number}", mend="phronesis memory review")
    return _read(connection, row)


def proposals(connection: sqlite3.Connection, status: ProposalStatus | None) -> list[Proposal]:
    """Those of a status, or all, by number."""
    rows = connection.execute(f"{_COLUMNS} WHERE status = COALESCE(?, status) ORDER BY number", (status,)).fetchall()
    return [_read(connection, row) for row in rows]


def open_with(connection: sqlite3.Connection, action: Action, concept: Concept) -> int | None:
    """Number of an open proposal of this action that says exactly this."""
    rows = connection.execute(f"{_COLUMNS} WHERE status = 'open' AND action = ? ORDER BY number", (action,))
    for row in rows.fetchall():
        waiting = json.loads(row[4]).get("concept")
        if waiting is not None and Concept.model_validate(waiting).content_hash == concept.content_hash:
            return int(row[0])
    return None


def check_open(item: Proposal, wanted: ProposalStatus) -> bool:
    """Whether it is still to be decided; False = it was decided so already. Raises Conflict for the other way."""
    if item.status not in ("open", wanted):
        raise Conflict(
            f"proposal {item.number} was {item.status} on {item.decided}", mend="propose it again", number=item.number
        )
    return item.status == "open"


def check_shape(action: Action, ids: Sequence[str], concept: Concept | None) -> None:
    """Raises ConfigurationError for a proposal that says too little or too much to be carried out."""
    wanted = {"add": (0, 0), "update": (1, 1), "forget": (1, 1000), "merge": (2, 1000)}.get(action)
    if wanted is None:
        raise ConfigurationError(f"action {action!r} cannot be proposed", mend="add, update, forget or merge")
    if not wanted[0] <= len(set(ids)) <= wanted[1]:
        raise ConfigurationError(
            f"a proposal to {action} is about {wanted[0]} to {wanted[1]} concepts, not {list(ids)!r}"
        )
    if (concept is None) != (action == "forget"):
        raise ConfigurationError(f"a proposal to {action} {'needs a' if concept is None else 'has no'} concept")


def _read(connection: sqlite3.Connection, row: tuple[Any, ...]) -> Proposal:
    number, action, concept, version, body, reason, operation, status, time, decided = row
    told = json.loads(body)
    told.pop("erased", None)
    about = {} if concept is None else {concept_id(concept): version}
    bare = Proposal.model_validate(
        {
            "bases": about,
            "concept": None,
            **told,
            "number": number,
            "action": action,
            "reason": reason,
            "operation": operation,
            "status": status,
            "time": time,
            "decided": decided,
            "outcome": told.get("outcome", "" if status == "open" else "what it said was erased"),
        }
    )
    stale = _stale(connection, bare) if status == "open" else ""
    return bare.model_copy(update={"difference": _difference(connection, bare), "stale": stale})


def _stale(connection: sqlite3.Connection, item: Proposal) -> str:
    for name, version in item.bases.items():
        number = concept_number(name)
        try:
            check_version(number, standing(connection, number), version)
        except (Conflict, ConceptStoreError) as error:
            return error.message
    return ""


def _difference(connection: sqlite3.Connection, item: Proposal) -> tuple[FieldChange, ...]:
    """Each concept it is about against what would hold: the new text, or nothing."""
    fresh = {} if item.concept is None else fields(item.concept)
    lines: list[FieldChange] = []
    for name, version in item.bases.items():
        row = connection.execute(
            "SELECT body FROM concept_versions WHERE concept = ? AND version = ?", (concept_number(name), version)
        ).fetchone()
        old = {} if row is None else fields(Concept.model_validate_json(row[0]))
        lines += _changed(name, old, fresh if item.action == "update" else {})
    return tuple(lines if item.action == "update" else [*lines, *_changed("", {}, fresh)])


def _changed(name: str, old: Mapping[str, str], new: Mapping[str, str]) -> list[FieldChange]:
    return [
        FieldChange(id=name, field=field, old=old.get(field, ""), new=new.get(field, ""))
        for field in Concept.model_fields
        if old.get(field, "") != new.get(field, "")
    ]


def fields(concept: Concept) -> dict[str, str]:
    """What the concept says, field by field, as text; empty fields are left out."""
    told = {}
    for name, value in concept.model_dump(exclude={"parameters"}).items():
        told[name] = value if isinstance(value, str) else "; ".join(value)
    told["parameters"] = "; ".join(
        f"{item.name}{f': {item.typing}' if item.typing else ''}{f' ({item.description})' if item.description else ''}"
        for item in concept.parameters
    )
    return {name: text for name, text in told.items() if text}


def ids_of(numbers: Sequence[int]) -> list[str]:
    return [concept_id(number) for number in numbers]
