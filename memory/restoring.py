"""Brings the concepts of an older version back, as new changes: history only grows."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Mapping, Sequence

from phronesis.core.concept import Concept, ConceptStatus, StoredConcept
from phronesis.core.ports import Vectors
from phronesis.memory.differences import MemoryDiff, difference
from phronesis.memory.finding import VectorSearch
from phronesis.memory.ledger import Ledger
from phronesis.memory.reading import concept_number, current_version, erasures, fingerprint_id, stored, valid_with_hash
from phronesis.memory.transaction import Transaction

Views = Callable[[Sequence[Concept]], Sequence[Vectors] | None]
KIND = "restored"
"""Kind of the events that a restore writes."""


def compare(connection: sqlite3.Connection, before: int, after: int) -> MemoryDiff:
    """What differs between two versions of a memory."""
    return difference(
        stored(connection, at=before),
        stored(connection, at=after),
        versions=(before, after),
        erased=erasures(connection, after=min(before, after)),
    )


def restore(
    ledger: Ledger, search: VectorSearch | None, version: int, *, views: Views | None, operation: str | None
) -> MemoryDiff:
    """What was changed. Once per operation id; one transaction.

    Vectors are copied from the text's earlier version. The ones that are lacking there are made before the transaction,
    which looks again at what has to be done; whatever somebody changed in between gets its vectors at the next search."""
    made = _missing_vectors(ledger, version, views)
    with ledger.writing() as transaction:
        connection = transaction.connection
        known = None if operation is None else transaction.outcome("restore", operation)
        if known is not None:
            done = compare(connection, known["before"], known["after"])
            return done.model_copy(update={"erased": tuple(known["erased"])})
        plan = compare(connection, current_version(connection), version)
        _apply(transaction, search, plan, version, made, operation or "")
        after = current_version(connection)
        back = stored(connection, at=after, numbers=[concept_number(item.id) for item in plan.added])
        if operation is not None:
            outcome = {"before": plan.before, "after": after, "erased": plan.erased}
            transaction.record_outcome("restore", operation, outcome)
        return plan.model_copy(update={"after": after, "added": tuple(back.values())})


def _missing_vectors(ledger: Ledger, version: int, views: Views | None) -> Mapping[Concept, Vectors]:
    """Vectors of the texts that would come back and have none."""
    if views is None:
        return {}
    with ledger.reading() as connection:
        plan = compare(connection, current_version(connection), version)
        known = fingerprint_id(connection)
        coming = _coming(connection, plan, version)
        lacking = [
            item.concept
            for number, item in coming.items()
            if not connection.execute(
                "SELECT 1 FROM vectors WHERE concept = ? AND version = ? AND fingerprint = ?",
                (number, _body_version(connection, number, item.version), known),
            ).fetchone()
        ]
    rows = views(lacking) if lacking else None
    return {} if rows is None else dict(zip(lacking, rows, strict=True))


def _coming(connection: sqlite3.Connection, plan: MemoryDiff, version: int) -> dict[int, StoredConcept]:
    """Concepts that get a text back, by number, as they were at the version."""
    ids = [item.id for item in plan.added] + [item.id for item in plan.changed]
    numbers = [concept_number(id) for id in ids]
    return stored(connection, at=version, numbers=numbers)


def _body_version(connection: sqlite3.Connection, number: int, version: int) -> int:
    row = connection.execute(
        "SELECT body_version FROM concept_versions WHERE concept = ? AND version = ?", (number, version)
    ).fetchone()
    return int(row[0])


def _apply(
    transaction: Transaction,
    search: VectorSearch | None,
    plan: MemoryDiff,
    version: int,
    made: Mapping[Concept, Vectors],
    operation: str,
) -> None:
    reason = f"restored to version {version}"

    def set_status(id: str, status: ConceptStatus) -> None:
        transaction.change_status(concept_number(id), status, kind=KIND, operation=operation, reason=reason)

    for item in plan.removed:
        set_status(item.id, "invalid")
    waiting = _coming(transaction.connection, plan, version)
    while waiting:
        # A text may still be another concept's, which gets its own back first; two that swapped theirs need a third step.
        holders = {n: valid_with_hash(transaction.connection, waiting[n].concept.content_hash) for n in waiting}
        ready = [number for number, holder in holders.items() if holder in (None, number)]
        if not ready:
            set_status(f"c{next(iter(holders.values()))}", "invalid")
        for number in ready:
            _bring_back(transaction, search, waiting.pop(number), made, operation=operation, reason=reason)
    for change in plan.statuses:
        if change.id not in {item.id for item in plan.changed}:
            set_status(change.id, change.after)


def _bring_back(
    transaction: Transaction,
    search: VectorSearch | None,
    item: StoredConcept,
    made: Mapping[Concept, Vectors],
    *,
    operation: str,
    reason: str,
) -> None:
    number, connection = concept_number(item.id), transaction.connection
    body = _body_version(connection, number, item.version)
    version = transaction.change_concept(
        number, item.concept, kind=KIND, operation=operation, reason=reason, status=item.status
    )
    connection.execute(
        "INSERT INTO vectors (fingerprint, concept, version, view, vector) "
        "SELECT fingerprint, concept, ?, view, vector FROM vectors WHERE concept = ? AND version = ? "
        "ORDER BY fingerprint, view",
        (version, number, body),
    )
    if search is not None and item.concept in made:
        transaction.insert_vectors(search.adopt(transaction), number, version, made[item.concept])
