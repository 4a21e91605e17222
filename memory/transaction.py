"""The writes of a ledger: what one transaction does to concepts, their versions, vectors, evidence and operations."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping
from typing import Any

from phronesis.core.concept import Concept, ConceptStatus, Evidence, Origin
from phronesis.core.ports import Vectors


class Transaction:
    """The writes of one BEGIN IMMEDIATE; all of them or none become durable."""

    def __init__(self, connection: sqlite3.Connection, now: str) -> None:
        self.connection = connection
        self.now = now

    def append_event(self, kind: str, *, concept: int | None, operation: str, payload: Mapping[str, Any]) -> int:
        """The memory's version from this event on."""
        cursor = self.connection.execute(
            "INSERT INTO events (kind, concept, operation, time, payload) VALUES (?, ?, ?, ?, ?)",
            (kind, concept, operation, self.now, json.dumps(payload, ensure_ascii=False)),
        )
        return int(cursor.lastrowid or 0)

    def create_concept(self, concept: Concept, *, status: ConceptStatus, operation: str, origin: Origin = "run") -> int:
        """The number of a new concept at version 1. The caller has checked that nothing valid has its content hash."""
        digest = concept.content_hash
        cursor = self.connection.execute(
            "INSERT INTO concepts (version, status, content_hash, created, updated, origin) VALUES (1, ?, ?, ?, ?, ?)",
            (status, digest, self.now, self.now, origin),
        )
        number = int(cursor.lastrowid or 0)
        payload = {"version": 1, "status": status, "content_hash": digest, "source": concept.source}
        since = self.append_event("created", concept=number, operation=operation, payload=payload)
        row = self._insert_version(number, 1, 1, since, status, digest, concept.model_dump_json())
        self.index_text(row, concept)
        return number

    def change_concept(
        self,
        number: int,
        concept: Concept,
        *,
        kind: str,
        operation: str,
        reason: str,
        status: ConceptStatus | None = None,
    ) -> int:
        """The new version of a concept that says something else from now on; its status stays unless one is given.

        The caller has checked that nothing else valid has the new content hash, and inserts the new vectors."""
        version, old = self.connection.execute(
            "SELECT version, status FROM concepts WHERE number = ?", (number,)
        ).fetchone()
        made, status, digest = version + 1, status or old, concept.content_hash
        payload = {"version": made, "status": status, "content_hash": digest, "reason": reason}
        since = self.append_event(kind, concept=number, operation=operation, payload=payload)
        row = self._insert_version(number, made, made, since, status, digest, concept.model_dump_json())
        self.index_text(row, concept)
        self.connection.execute(
            "UPDATE concepts SET version = ?, status = ?, content_hash = ?, updated = ? WHERE number = ?",
            (made, status, digest, self.now, number),
        )
        return int(made)

    def change_status(
        self,
        number: int,
        status: ConceptStatus,
        *,
        kind: str,
        operation: str,
        reason: str,
        superseded_by: int | None = None,
    ) -> int:
        """The new version of the concept, with the same text and another status. One that comes back from invalid counts
        as new text: the caller inserts its vectors again."""
        version, old, body_version, digest, body = self.connection.execute(
            "SELECT v.version, v.status, v.body_version, v.content_hash, v.body FROM concepts c "
            "JOIN concept_versions v ON v.concept = c.number AND v.version = c.version WHERE c.number = ?",
            (number,),
        ).fetchone()
        made = version + 1
        back = old == "invalid" and status != "invalid"
        payload: dict[str, Any] = {"version": made, "status": status, "reason": reason}
        if superseded_by is not None:
            payload["superseded_by"] = f"c{superseded_by}"
        since = self.append_event(kind, concept=number, operation=operation, payload=payload)
        row = self._insert_version(
            number, made, made if back else body_version, since, status, digest, body, superseded_by=superseded_by
        )
        if back:
            self.index_text(row, Concept.model_validate_json(body))
        self.connection.execute(
            "UPDATE concepts SET version = ?, status = ?, updated = ? WHERE number = ?",
            (made, status, self.now, number),
        )
        return int(made)

    def _insert_version(
        self,
        number: int,
        version: int,
        body_version: int,
        since: int,
        status: str,
        digest: str,
        body: str,
        *,
        superseded_by: int | None = None,
    ) -> int:
        cursor = self.connection.execute(
            "INSERT INTO concept_versions (concept, version, body_version, since, status, content_hash, body, time, "
            "superseded_by) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (number, version, body_version, since, status, digest, body, self.now, superseded_by),
        )
        return int(cursor.lastrowid or 0)

    def index_text(self, row: int, concept: Concept) -> None:
        """Makes a body version findable by its words."""
        self.connection.execute(
            "INSERT INTO texts (rowid, name, situation, suggestion, cues) VALUES (?, ?, ?, ?, ?)",
            (row, concept.name, concept.situation, concept.suggestion, "\n".join(concept.cues)),
        )

    def insert_evidence(self, number: int, evidence: Evidence, *, operation: str) -> None:
        """Notes why the concept may be believed; once per concept and operation. Not a change of the memory's version."""
        self.connection.execute(
            "INSERT OR IGNORE INTO evidence (concept, operation, run, task, verdict, verifier, score, note, time) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                number,
                operation,
                evidence.run,
                evidence.task,
                evidence.verdict,
                evidence.verifier,
                evidence.score,
                evidence.note,
                self.now,
            ),
        )

    def insert_vectors(self, fingerprint: int, number: int, version: int, vectors: Vectors) -> None:
        """The views' vectors of a concept's body version; ones that are there already stay, and those of a text that was
        erased while a model worked on it are left out."""
        self.connection.executemany(
            "INSERT OR IGNORE INTO vectors (fingerprint, concept, version, view, vector) SELECT ?1, ?2, ?3, ?4, ?5 "
            "WHERE EXISTS (SELECT 1 FROM concept_versions WHERE concept = ?2 AND version = ?3 AND body_version = ?3)",
            [(fingerprint, number, version, view, row.astype("<f4").tobytes()) for view, row in enumerate(vectors)],
        )

    def outcome(self, kind: str, operation: str) -> Any:
        """What the operation wrote down, or None when it was not committed yet. JSON."""
        row = self.connection.execute(
            "SELECT outcome FROM operations WHERE kind = ? AND id = ?", (kind, operation)
        ).fetchone()
        return None if row is None else json.loads(row[0])

    def record_outcome(self, kind: str, operation: str, outcome: Any) -> None:
        """Makes a repeat of the operation return ``outcome`` (JSON)."""
        self.connection.execute(
            "INSERT INTO operations (kind, id, version, time, outcome) "
            "VALUES (?, ?, (SELECT COALESCE(MAX(version), 0) FROM events), ?, ?)",
            (kind, operation, self.now, json.dumps(outcome, ensure_ascii=False)),
        )
