"""Reads of the ledger, now and as of an older version."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
from pydantic import BaseModel, ConfigDict

from phronesis.core.concept import Concept, ConceptStatus, Evidence, Origin, StoredConcept
from phronesis.core.errors import ConceptStoreError
from phronesis.core.ports import Vectors
from phronesis.index.exact import Rows
from phronesis.index.fingerprint import Fingerprint

_CHUNK = 500
"""Values per statement; SQLite's limit is at least 999."""
LOAD_ROWS = 4096
"""Vectors read at a time."""


class LedgerEvent(BaseModel):
    """One change of a memory, as its history tells it."""

    model_config = ConfigDict(frozen=True)

    version: int
    """The memory's version from this event on."""
    kind: str
    """``created``, ``evidence``, ``promoted``; later versions add kinds."""
    id: str | None
    operation: str
    """Operation id of the run that caused it; empty for a user's add."""
    time: str
    """UTC, ISO 8601."""
    payload: dict[str, Any]


class Body(NamedTuple):
    """A body version that has no vectors yet."""

    number: int
    version: int
    concept: Concept


def concept_id(number: int) -> str:
    return f"c{number}"


def concept_number(name: str) -> int:
    """The number in a concept's id. Raises ConceptStoreError that names an id of another form."""
    if not (name.startswith("c") and name[1:].isdecimal() and name.isascii() and len(name) <= 19):
        raise ConceptStoreError(f"{name!r} is not the id of a concept", mend="ids look like c17: phronesis memory list")
    return int(name[1:])


def current_version(connection: sqlite3.Connection) -> int:
    """Number of the last event; 0 for an empty memory."""
    return int(connection.execute("SELECT COALESCE(MAX(version), 0) FROM events").fetchone()[0])


def stored(
    connection: sqlite3.Connection, *, at: int, numbers: Sequence[int] | None = None
) -> dict[int, StoredConcept]:
    """Concepts as they were at a version, invalid ones included, by number in rising order; statistics are of now."""
    select = (
        "SELECT v.concept, v.version, v.body, v.status, c.created, c.origin, v.superseded_by FROM concept_versions v "
        "JOIN concepts c ON c.number = v.concept WHERE v.since <= ? AND v.version = (SELECT MAX(w.version) "
        "FROM concept_versions w WHERE w.concept = v.concept AND w.since <= ?)"
    )
    rows: list[tuple[int, int, str, ConceptStatus, str, Origin, int | None]] = []
    if numbers is None:
        rows = connection.execute(select, (at, at)).fetchall()
    else:
        for part in _chunks(sorted(set(numbers))):
            rows += connection.execute(f"{select} AND v.concept IN ({_marks(part)})", (at, at, *part)).fetchall()
    uses, proofs = _uses(connection, numbers), _evidence(connection, numbers)
    found = {}
    for number, version, body, status, created, origin, heir in sorted(rows):
        recalled, helped, last = uses.get(number, (0, 0, None))
        found[number] = StoredConcept(
            id=concept_id(number),
            version=version,
            concept=Concept.model_validate_json(body),
            status=status,
            created=created,
            origin=origin,
            superseded_by=None if heir is None else concept_id(heir),
            recalled=recalled,
            helped=helped,
            harmed=recalled - helped,
            last_used=last,
            evidence=tuple(proofs.get(number, ())),
        )
    return found


def _uses(connection: sqlite3.Connection, numbers: Sequence[int] | None) -> dict[int, tuple[int, int, str | None]]:
    rows = _of_concepts(
        connection, "SELECT concept, COUNT(*), SUM(accepted), MAX(time) FROM uses", numbers, "GROUP BY concept"
    )
    return {int(number): (int(recalled), int(helped), last) for number, recalled, helped, last in rows}


def _evidence(connection: sqlite3.Connection, numbers: Sequence[int] | None) -> dict[int, list[Evidence]]:
    select = "SELECT concept, run, task, verdict, verifier, score, note FROM evidence"
    found: dict[int, list[Evidence]] = {}
    for number, run, task, verdict, verifier, score, note in _of_concepts(connection, select, numbers, "ORDER BY seq"):
        proof = Evidence(run=run, task=task, verdict=verdict, verifier=verifier, score=score, note=note)
        found.setdefault(int(number), []).append(proof)
    return found


def _of_concepts(
    connection: sqlite3.Connection, select: str, numbers: Sequence[int] | None, tail: str
) -> list[tuple[Any, ...]]:
    """Rows of these concepts, or of all."""
    if numbers is None:
        return connection.execute(f"{select} {tail}").fetchall()
    rows: list[tuple[Any, ...]] = []
    for part in _chunks(sorted(set(numbers))):
        rows += connection.execute(f"{select} WHERE concept IN ({_marks(part)}) {tail}", part).fetchall()
    return rows


def valid_with_hash(connection: sqlite3.Connection, content_hash: str) -> int | None:
    """Number of the active or probation concept that says exactly this."""
    row = connection.execute(
        "SELECT number FROM concepts WHERE content_hash = ? AND status <> 'invalid'", (content_hash,)
    ).fetchone()
    return None if row is None else int(row[0])


def events(connection: sqlite3.Connection, number: int) -> list[LedgerEvent]:
    """A concept's events, oldest first."""
    rows = connection.execute(f"{_EVENT_COLUMNS} WHERE concept = ? ORDER BY version", (number,))
    return _told(rows)


def last_events(connection: sqlite3.Connection, *, since: int, limit: int) -> list[LedgerEvent]:
    """The last ``limit`` events of the whole memory after a version, oldest first."""
    rows = connection.execute(f"{_EVENT_COLUMNS} WHERE version > ? ORDER BY version DESC LIMIT ?", (since, limit))
    return _told(rows)[::-1]


_EVENT_COLUMNS = "SELECT version, kind, concept, operation, time, payload FROM events"


def _told(rows: Iterable[tuple[Any, ...]]) -> list[LedgerEvent]:
    return [
        LedgerEvent(
            version=version,
            kind=kind,
            id=None if owner is None else concept_id(owner),
            operation=operation,
            time=time,
            payload=json.loads(payload),
        )
        for version, kind, owner, operation, time, payload in rows
    ]


def fingerprint(connection: sqlite3.Connection) -> tuple[int, Fingerprint] | None:
    """Row id and fingerprint of the embedder the memory's vectors are made with; None before the first vector."""
    row = connection.execute(
        "SELECT f.id, f.body FROM fingerprints f JOIN meta m ON m.key = 'fingerprint' AND m.value = f.id"
    ).fetchone()
    return None if row is None else (int(row[0]), Fingerprint.model_validate_json(row[1]))


def fingerprint_id(connection: sqlite3.Connection) -> int | None:
    """Row id alone; cheap."""
    row = connection.execute("SELECT value FROM meta WHERE key = 'fingerprint'").fetchone()
    return None if row is None else int(row[0])


def bodies_without_vectors(
    connection: sqlite3.Connection, fingerprint_id: int, *, after: int, limit: int
) -> list[Body]:
    """Body versions that events after a ledger version brought and that have no vectors, in order; at most ``limit``."""
    rows = connection.execute(
        "SELECT b.concept, b.version, b.body FROM concept_versions b WHERE b.version = b.body_version AND b.since > ? "
        "AND NOT EXISTS (SELECT 1 FROM vectors v WHERE v.concept = b.concept AND v.version = b.version "
        "AND v.fingerprint = ?) ORDER BY b.since LIMIT ?",
        (after, fingerprint_id, limit),
    )
    return [Body(number, version, Concept.model_validate_json(body)) for number, version, body in rows]


_VECTOR_COLUMNS = (
    "SELECT v.seq, v.concept, v.view, b.since, b.until, v.vector FROM vectors v "
    "JOIN bodies b ON b.concept = v.concept AND b.version = v.version "
)


def vectors_after(
    connection: sqlite3.Connection, fingerprint_id: int, dimension: int, *, seq: int, limit: int = LOAD_ROWS
) -> Rows:
    """Up to ``limit`` vectors whose seq is higher, in rising order, with their validity as it is now."""
    rows = connection.execute(
        f"{_VECTOR_COLUMNS} WHERE v.fingerprint = ? AND v.seq > ? ORDER BY v.seq LIMIT ?", (fingerprint_id, seq, limit)
    ).fetchall()
    return _rows(rows, dimension)


def vectors_by_seq(connection: sqlite3.Connection, seqs: Sequence[int], dimension: int) -> Rows:
    """The vectors with these numbers; unknown ones are left out."""
    rows: list[tuple[Any, ...]] = []
    for part in _chunks(sorted(set(seqs))):
        rows += connection.execute(f"{_VECTOR_COLUMNS} WHERE v.seq IN ({_marks(part)}) ORDER BY v.seq", part).fetchall()
    return _rows(rows, dimension)


def vectors_of(connection: sqlite3.Connection, fingerprint_id: int, numbers: Sequence[int], dimension: int) -> Rows:
    """Every view of these concepts, all body versions; the caller looks at view and validity."""
    rows: list[tuple[Any, ...]] = []
    for part in _chunks(sorted(set(numbers))):
        # The + keeps SQLite from reading every vector of the fingerprint instead of these concepts'.
        rows += connection.execute(
            f"{_VECTOR_COLUMNS} WHERE +v.fingerprint = ? AND v.concept IN ({_marks(part)})", (fingerprint_id, *part)
        ).fetchall()
    return _rows(sorted(rows), dimension)


def endings(connection: sqlite3.Connection, *, after: int) -> list[tuple[int, int]]:
    """(concept, ledger version) of each body version's end after a ledger version: replaced, or made invalid."""
    rows = connection.execute(
        "SELECT concept, since FROM concept_versions WHERE since > ? AND version > 1 "
        "AND (status = 'invalid' OR version = body_version) ORDER BY since",
        (after,),
    )
    return [(int(number), int(since)) for number, since in rows]


def erasures(connection: sqlite3.Connection, *, after: int) -> list[int]:
    """Concepts that were erased after a ledger version: no version has them any more."""
    rows = connection.execute("SELECT concept FROM events WHERE version > ? AND kind = 'erased'", (after,))
    return [int(row[0]) for row in rows]


def vector_count(connection: sqlite3.Connection, fingerprint_id: int, *, up_to: int | None = None) -> int:
    """Vectors of a fingerprint, all or those with seq up to ``up_to``."""
    row = connection.execute(
        "SELECT COUNT(*) FROM vectors WHERE fingerprint = ? AND seq <= ?",
        (fingerprint_id, 2**62 if up_to is None else up_to),
    ).fetchone()
    return int(row[0])


def sample_seqs(connection: sqlite3.Connection, fingerprint_id: int, *, up_to: int, count: int) -> list[int]:
    """About ``count`` evenly spaced seqs up to ``up_to``, the highest among them."""
    rows = connection.execute(
        "SELECT seq FROM vectors WHERE fingerprint = ? AND seq <= ? ORDER BY seq DESC", (fingerprint_id, up_to)
    ).fetchall()
    return [int(row[0]) for row in rows[:: max(1, len(rows) // count)]]


def _rows(rows: Sequence[tuple[Any, ...]], dimension: int) -> Rows:
    numbers = np.array([row[:5] for row in rows], dtype=np.int64).reshape(len(rows), 5)
    vectors: Vectors = np.frombuffer(b"".join(row[5] for row in rows), dtype="<f4").astype(np.float32)
    seq, owner, view, since, until = numbers.T
    return Rows(seq, owner, view, since, until, vectors.reshape(len(rows), dimension))


def _chunks(values: Sequence[int]) -> Iterable[list[int]]:
    return (list(values[start : start + _CHUNK]) for start in range(0, len(values), _CHUNK))


def _marks(values: Sequence[int]) -> str:
    return ",".join("?" * len(values))
