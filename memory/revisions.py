"""One concept changed inside a transaction: new text, withdrawn, back again; and the chain of versions that leaves.

The caller made the vectors before the transaction. Whatever somebody else changed first is a Conflict, never overwritten.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from typing import Any, NamedTuple

from phronesis.core.concept import Concept, ConceptStatus, StoredConcept
from phronesis.core.errors import ConceptStoreError, Conflict
from phronesis.core.ports import Vectors
from phronesis.memory.finding import VectorSearch
from phronesis.memory.reading import concept_id, current_version, stored, valid_with_hash
from phronesis.memory.transaction import Transaction

_ERASED = "erased:"


class ConceptVersion(StoredConcept):
    """A concept as it was over some time. Its statistics are of now."""

    since: int
    """First version of the memory in which it was so."""
    until: int | None = None
    """First version of the memory in which it no longer was; None = it is so now."""
    change: str
    """What made it so: ``created``, ``updated``, ``forgotten``, ``revived``, ``promoted``, ``erased`` ..."""
    reason: str = ""
    """Why, where somebody said it."""
    changed: str
    """UTC time of the change, ISO 8601."""


class Current(NamedTuple):
    """Where a concept stands now."""

    version: int
    status: ConceptStatus
    body_version: int
    content_hash: str
    concept: Concept


def erased_hash(number: int) -> str:
    """Stands for the content hash of an erased concept; equal to that of no text and of no other concept."""
    return f"{_ERASED}{concept_id(number)}"


def is_erased(content_hash: str) -> bool:
    return content_hash.startswith(_ERASED)


def standing(connection: sqlite3.Connection, number: int) -> Current:
    """Where the concept stands. Raises ConceptStoreError that names an unknown id."""
    row = connection.execute(
        "SELECT v.version, v.status, v.body_version, v.content_hash, v.body FROM concepts c "
        "JOIN concept_versions v ON v.concept = c.number AND v.version = c.version WHERE c.number = ?",
        (number,),
    ).fetchone()
    if row is None:
        raise ConceptStoreError(f"there is no concept {concept_id(number)!r}", mend="phronesis memory list --all")
    version, status, body_version, content_hash, body = row
    return Current(version, status, body_version, content_hash, Concept.model_validate_json(body))


def check_version(number: int, now: Current, expected: int | None) -> None:
    """Raises Conflict when the concept is at another version than the one that somebody looked at."""
    if expected is not None and expected != now.version:
        name = concept_id(number)
        raise Conflict(
            f"{name} is at version {now.version}, not {expected}: somebody changed it first",
            mend=f"look at it (phronesis memory show {name}), then change version {now.version}",
            id=name,
            version=now.version,
        )


def check_text_is_free(connection: sqlite3.Connection, number: int | None, content_hash: str) -> None:
    """Raises Conflict that names the other valid concept that says this word for word."""
    same = valid_with_hash(connection, content_hash)
    if same is not None and same != number:
        name = concept_id(same)
        raise Conflict(
            f"{name} says the same word for word",
            mend=f"keep {name} and forget this one, or word it otherwise",
            id=name,
        )


def change(
    transaction: Transaction,
    search: VectorSearch | None,
    number: int,
    concept: Concept,
    *,
    vectors: Vectors | None,
    expected: int | None,
    reason: str,
    operation: str,
) -> bool:
    """Lets the concept say something else from now on; False = it says exactly this already."""
    now = standing(transaction.connection, number)
    _refuse_withdrawn(number, now)
    check_version(number, now, expected)
    check_text_is_free(transaction.connection, number, concept.content_hash)
    if concept == now.concept:
        return False
    made = transaction.change_concept(number, concept, kind="updated", operation=operation, reason=reason)
    if search is not None and vectors is not None:
        transaction.insert_vectors(search.adopt(transaction), number, made, vectors)
    return True


def withdraw(
    transaction: Transaction,
    number: int,
    *,
    expected: int | None = None,
    reason: str,
    heir: int | None = None,
    operation: str,
) -> bool:
    """Takes the concept out of recall, its history stays; False = it is out already."""
    now = standing(transaction.connection, number)
    check_version(number, now, expected)
    if now.status == "invalid":
        return False
    transaction.change_status(
        number, "invalid", kind="forgotten", operation=operation, reason=reason, superseded_by=heir
    )
    return True


def check_heir(connection: sqlite3.Connection, heir: int, numbers: Sequence[int]) -> None:
    """Raises Conflict unless this concept can take the place of those."""
    name = concept_id(heir)
    if heir in numbers:
        raise Conflict(f"{name} cannot take its own place", mend="name another concept")
    if standing(connection, heir).status == "invalid":
        raise Conflict(f"{name} is withdrawn itself", mend=f"phronesis memory revive {name}, or name another concept")


def bring_back(transaction: Transaction, number: int, *, reason: str, operation: str) -> bool:
    """Makes a withdrawn concept valid again, with the status it had; False = it is valid.

    The vectors it had are copied, those of every embedder: no model is asked."""
    connection = transaction.connection
    now = standing(connection, number)
    name = concept_id(number)
    if is_erased(now.content_hash):
        raise Conflict(f"{name} was erased: there is nothing to bring back", mend="add it anew")
    if now.status != "invalid":
        return False
    check_text_is_free(connection, number, now.content_hash)
    before = connection.execute(
        "SELECT status FROM concept_versions WHERE concept = ? AND status <> 'invalid' ORDER BY version DESC LIMIT 1",
        (number,),
    ).fetchone()
    status: ConceptStatus = "active" if before is None else before[0]
    made = transaction.change_status(number, status, kind="revived", operation=operation, reason=reason)
    connection.execute(
        "INSERT OR IGNORE INTO vectors (fingerprint, concept, version, view, vector) "
        "SELECT fingerprint, concept, ?, view, vector FROM vectors WHERE concept = ? AND version = ? ORDER BY seq",
        (made, number, now.body_version),
    )
    return True


def _refuse_withdrawn(number: int, now: Current) -> None:
    name = concept_id(number)
    if is_erased(now.content_hash):
        raise Conflict(f"{name} was erased", mend="add a new concept")
    if now.status == "invalid":
        raise Conflict(f"{name} is withdrawn", mend=f"phronesis memory revive {name} --reason ...", id=name)


def chain(connection: sqlite3.Connection, number: int) -> list[ConceptVersion]:
    """Every version of the concept, oldest first. Raises ConceptStoreError that names an unknown id."""
    standing(connection, number)
    return _versions(connection, "v.concept = ? ORDER BY v.version", (number,))


def withdrawn(connection: sqlite3.Connection) -> list[ConceptVersion]:
    """The concepts that are withdrawn now, as they stand, by number."""
    return _versions(connection, "c.status = 'invalid' AND v.version = c.version ORDER BY v.concept", ())


def _versions(connection: sqlite3.Connection, where: str, values: tuple[int, ...]) -> list[ConceptVersion]:
    rows = connection.execute(
        "SELECT v.concept, v.version, v.body, v.status, v.superseded_by, v.since, v.time, e.kind, e.payload, "
        "(SELECT MIN(w.since) FROM concept_versions w WHERE w.concept = v.concept AND w.version > v.version) "
        "FROM concept_versions v JOIN concepts c ON c.number = v.concept JOIN events e ON e.version = v.since "
        f"WHERE {where}",
        values,
    ).fetchall()
    now = stored(connection, at=current_version(connection), numbers=[row[0] for row in rows])
    return [_version(now[row[0]], *row[1:]) for row in rows]


def _version(
    now: StoredConcept,
    version: int,
    body: str,
    status: str,
    heir: int | None,
    since: int,
    time: str,
    change: str,
    payload: str,
    until: int | None,
) -> ConceptVersion:
    said: dict[str, Any] = json.loads(payload)
    return ConceptVersion.model_validate(
        {
            **now.model_dump(),
            "version": version,
            "concept": Concept.model_validate_json(body),
            "status": status,
            "superseded_by": None if heir is None else concept_id(heir),
            "since": since,
            "until": until,
            "change": change,
            "reason": str(said.get("reason", "")),
            "changed": time,
        }
    )
