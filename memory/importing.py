"""What becomes of the concepts of an archive: new ones join on probation, known ones keep their ids and gain evidence."""

from __future__ import annotations

import math
import sqlite3
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal, NamedTuple

import orjson
from pydantic import BaseModel, ConfigDict, ValidationError

from phronesis.core.concept import Concept, ConceptStatus, Evidence, StoredConcept
from phronesis.core.errors import ConceptStoreError
from phronesis.core.ports import Vectors
from phronesis.memory.archive_file import ArchiveReader
from phronesis.memory.finding import VectorSearch
from phronesis.memory.reading import concept_id, concept_number, stored, valid_with_hash
from phronesis.memory.restoring import KIND
from phronesis.memory.transaction import Transaction
from phronesis.memory.writing import MOST_BYTES

ImportStatus = Literal["probation", "active", "archived"]
"""Status of what is new: on probation, active, or as in the archive."""
Kind = Literal["added", "duplicate"]
MOST_CONCEPTS = 1_000_000


class Record(NamedTuple):
    """One line of an archive."""

    line: int
    id: str
    """Its id in the archive; ``line 7`` for a plain concept."""
    concept: Concept
    status: ConceptStatus
    superseded_by: str | None
    evidence: tuple[Evidence, ...]


class ImportedConcept(BaseModel):
    """What became of one line."""

    model_config = ConfigDict(frozen=True)

    line: int
    archived: str
    """Id in the archive."""
    outcome: Kind
    id: str | None
    """Id here; None in a dry run for one that would be added."""
    status: ConceptStatus
    """In the archive."""
    suggestion: str


def read_records(path: Path) -> tuple[list[Record], ArchiveReader]:
    """The whole archive, checked, and where it was read from; nothing is believed before the last line is.

    A line is a stored concept or a plain concept. Raises ConceptStoreError that names the line."""
    reader = ArchiveReader(path)
    records: list[Record] = []
    lines: dict[str, int] = {}
    for number, line in reader:
        if len(records) == MOST_CONCEPTS:
            raise reader.refuse(f"more than {MOST_CONCEPTS:,} concepts", mend="split it")
        try:
            record = _record(number, line)
        except ValidationError as error:
            first = error.errors()[0]
            raise reader.refuse(f"line {number}: {'.'.join(map(str, first['loc']))} {first['msg']}") from None
        except (ValueError, ConceptStoreError) as error:
            reason = error.message if isinstance(error, ConceptStoreError) else str(error)
            raise reader.refuse(f"line {number}: {reason}") from None
        if record.id in lines:
            raise reader.refuse(f"line {number}: the id {record.id!r} stands in line {lines[record.id]} already")
        lines[record.id] = number
        records.append(record)
    return records, reader


def _record(number: int, line: bytes) -> Record:
    data = orjson.loads(line)
    if not isinstance(data, dict):
        raise ValueError("no JSON object")
    if "concept" in data:
        item = StoredConcept.model_validate(data)
        concept_number(item.id)
        record = Record(number, item.id, item.concept, item.status, item.superseded_by, item.evidence)
    else:
        record = Record(number, f"line {number}", Concept.model_validate(data), "probation", None, ())
    size = len(record.concept.model_dump_json().encode("utf-8", "surrogatepass"))
    if size > MOST_BYTES:
        raise ValueError(f"the concept takes {size:,} bytes, {MOST_BYTES:,} are allowed")
    for proof in record.evidence:
        if proof.score is not None and not (math.isfinite(proof.score) and 0 <= proof.score <= 1):
            raise ValueError(f"the score {proof.score} of its evidence is not in [0, 1]")
    return record


def in_order(records: Sequence[Record]) -> list[Record]:
    """Valid ones first: an invalid one with the same text is no concept of its own then."""
    return sorted(records, key=lambda record: (record.status == "invalid", record.line))


class Known:
    """The concepts here, by what they say word for word."""

    def __init__(self, connection: sqlite3.Connection, records: Sequence[Record]) -> None:
        self._connection = connection
        self._invalid: dict[str, int] = {}
        if any(record.status == "invalid" for record in records):
            rows = connection.execute(
                "SELECT content_hash, number FROM concepts WHERE status = 'invalid' ORDER BY number DESC"
            )
            self._invalid = dict(rows.fetchall())

    def number(self, record: Record) -> int | None:
        """The valid one that says the same; for an invalid record an invalid one is the same too, the oldest."""
        digest = record.concept.content_hash
        valid = valid_with_hash(self._connection, digest)
        return self._invalid.get(digest) if valid is None and record.status == "invalid" else valid


def plan(connection: sqlite3.Connection | None, records: Sequence[Record]) -> list[ImportedConcept]:
    """What an import would do, by line; without a connection, to an empty memory."""
    found, coming = [], set()
    known = None if connection is None else Known(connection, records)
    for record in in_order(records):
        number = None if known is None else known.number(record)
        same = number is not None or record.concept.content_hash in coming
        coming.add(record.concept.content_hash)
        found.append(_imported(record, "duplicate" if same else "added", number))
    return sorted(found, key=lambda item: item.line)


def operation_of(connection: sqlite3.Connection, sha256: str) -> str:
    """Operation id: the archive's concepts, and the last restore, which may have taken an earlier import back."""
    row = connection.execute("SELECT COALESCE(MAX(version), 0) FROM events WHERE kind = ?", (KIND,)).fetchone()
    return f"import/{sha256[:32]}@{row[0]}"


def put(
    transaction: Transaction,
    search: VectorSearch | None,
    records: Sequence[Record],
    *,
    sha256: str,
    status: ImportStatus,
    vectors: Mapping[Concept, Vectors],
) -> tuple[list[ImportedConcept], bool]:
    """(what became of each line, whether this archive was imported before and nothing was done)."""
    connection = transaction.connection
    operation = operation_of(connection, sha256)
    before = transaction.outcome("import", operation)
    if before is not None:
        done = zip(records, before, strict=True)
        return [_imported(record, outcome, number) for record, (outcome, number) in done], True
    numbers: dict[str, int] = {}
    found: dict[str, ImportedConcept] = {}
    known = Known(connection, records)
    for record in in_order(records):
        number = known.number(record)
        outcome: Kind = "added" if number is None else "duplicate"
        if number is None:
            given = record.status if status == "archived" and record.status != "invalid" else status
            number = transaction.create_concept(
                record.concept,
                status="active" if given == "active" else "probation",
                operation=operation,
                origin="import",
            )
            if search is not None and record.concept in vectors:
                transaction.insert_vectors(search.adopt(transaction), number, 1, vectors[record.concept])
        numbers[record.id] = number
        found[record.id] = _imported(record, outcome, number)
    for record in records:
        if record.status == "invalid" and found[record.id].outcome == "added":
            _invalidate(transaction, numbers, record, operation)
        _join_evidence(transaction, numbers[record.id], record, operation)
    outcomes = [found[record.id] for record in records]
    transaction.record_outcome("import", operation, [(item.outcome, numbers[item.archived]) for item in outcomes])
    return outcomes, False


def _invalidate(transaction: Transaction, numbers: Mapping[str, int], record: Record, operation: str) -> None:
    heir = numbers.get(record.superseded_by or "")
    transaction.change_status(
        numbers[record.id],
        "invalid",
        kind="imported",
        operation=operation,
        reason="invalid in the archive",
        superseded_by=None if heir == numbers[record.id] else heir,
    )


def _join_evidence(transaction: Transaction, number: int, record: Record, operation: str) -> None:
    """Adds what is not there yet; the same evidence counts once."""
    if not record.evidence:
        return
    there = stored(transaction.connection, at=2**62, numbers=[number])[number].evidence
    for place, proof in enumerate(dict.fromkeys(record.evidence)):
        if proof not in there:
            transaction.insert_evidence(number, proof, operation=f"{operation}/{record.id}/{place}")


def _imported(record: Record, outcome: Kind, number: int | None) -> ImportedConcept:
    return ImportedConcept(
        line=record.line,
        archived=record.id,
        outcome=outcome,
        id=None if number is None else concept_id(number),
        status=record.status,
        suggestion=record.concept.suggestion,
    )
