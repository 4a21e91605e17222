"""What a step of a consolidation changes in the ledger, inside one transaction."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

from phronesis.core.concept import ConceptStatus, StoredConcept
from phronesis.core.ports import Vectors
from phronesis.memory.deciding import Applied, Change, Told
from phronesis.memory.finding import VectorSearch
from phronesis.memory.planning import STEP_DONE, Step, step_id
from phronesis.memory.proposals import insert_proposal
from phronesis.memory.reading import concept_id, concept_number, valid_with_hash
from phronesis.memory.transaction import Transaction
from phronesis.memory.writing import PROMOTED_AFTER


def still_so(connection: sqlite3.Connection, step: Step) -> str | None:
    """Which concept of the step is no longer as planned; None = all are."""
    for pinned in step.concepts:
        row = connection.execute(
            "SELECT version, status FROM concepts WHERE number = ?", (concept_number(pinned.id),)
        ).fetchone()
        if row is None or int(row[0]) != pinned.version or row[1] == "invalid":
            return f"{pinned.id} was changed since"
    return None


def carry_out(
    transaction: Transaction,
    search: VectorSearch | None,
    step: Step,
    change: Change,
    *,
    vectors: Vectors | None,
    operation: str,
) -> Applied:
    """Writes a change whose concepts are still as planned. ``vectors``: of the new text, None = they are filled in later."""
    if change.outcome == "proposed":
        insert_proposal(
            transaction,
            "forget" if change.text is None else "merge",
            bases={item.id: item.version for item in change.proposed},
            concept=change.text,
            superseded_by=None if change.target is None else change.target.id,
            evidence=None,
            reason=change.reason,
            operation=operation,
        )
        note_done(transaction, step.id)
        return Applied(outcome="proposed", reason=change.reason, before=_told(change.proposed))
    if change.outcome != "done":
        if change.outcome == "unchanged":
            note_done(transaction, step.id)
        return Applied(outcome=change.outcome, reason=change.reason)
    heir_number = None if change.target is None else concept_number(change.target.id)
    if change.text is not None:
        twin = valid_with_hash(transaction.connection, change.text.content_hash)
        ours = [item.id for item in (change.target, *change.invalid) if item is not None]
        if twin is not None and concept_id(twin) not in ours:
            return Applied(outcome="failed", reason=f"{concept_id(twin)} says that already, word for word")
    if change.target is None and change.text is not None:
        heir_number = transaction.create_concept(change.text, status="probation", operation=operation, origin="merge")
        _insert(transaction, search, heir_number, 1, vectors)
    for item in change.invalid:
        transaction.change_status(
            concept_number(item.id),
            "invalid",
            kind=change.kind,
            operation=operation,
            reason=change.reason,
            superseded_by=heir_number,
        )
    if change.target is not None and change.text is not None:
        number = concept_number(change.target.id)
        made = transaction.change_concept(
            number, change.text, kind=change.kind, operation=operation, reason=change.reason
        )
        _insert(transaction, search, number, made, vectors)
        if change.kind == "compressed":
            note_done(transaction, step_id("compress", [(change.target.id, change.text.content_hash)]))
    if change.kind == "merged":
        assert heir_number is not None
        inherit(transaction, heir_number, change.invalid, operation=operation)
    note_done(transaction, step.id)
    changed = [change.target] if change.target is not None and change.text is not None else []
    text = change.text or (None if change.target is None else change.target.concept)
    after = () if heir_number is None or text is None else (Told(id=concept_id(heir_number), concept=text),)
    return Applied(outcome="done", reason=change.reason, before=_told([*changed, *change.invalid]), after=after)


def _insert(
    transaction: Transaction, search: VectorSearch | None, number: int, version: int, vectors: Vectors | None
) -> None:
    if search is not None and vectors is not None:
        transaction.insert_vectors(search.adopt(transaction), number, version, vectors)


def inherit(transaction: Transaction, heir: int, gone: Sequence[StoredConcept], *, operation: str) -> None:
    """The heir has the evidence and uses of those it stands for, beside its own. They are copied, so that the old ones
    keep theirs should they come back; what several were in the prompt of, or spoke for, counts once."""
    for item in gone:
        number = concept_number(item.id)
        transaction.connection.execute(
            "INSERT OR IGNORE INTO uses (concept, operation, accepted, time) "
            "SELECT ?, operation, accepted, time FROM uses WHERE concept = ?",
            (heir, number),
        )
        transaction.connection.execute(
            "INSERT OR IGNORE INTO evidence (concept, operation, run, task, verdict, verifier, score, note, time) "
            "SELECT ?, operation, run, task, verdict, verifier, score, note, time FROM evidence WHERE concept = ? "
            "ORDER BY seq",
            (heir, number),
        )
    status: ConceptStatus = transaction.connection.execute(
        "SELECT status FROM concepts WHERE number = ?", (heir,)
    ).fetchone()[0]
    helped = transaction.connection.execute(
        "SELECT COUNT(*) FROM uses WHERE concept = ? AND accepted = 1", (heir,)
    ).fetchone()[0]
    if status == "probation" and (helped >= PROMOTED_AFTER or any(item.status == "active" for item in gone)):
        reason = f"helped {helped} runs" if helped >= PROMOTED_AFTER else "one of those it stands for was active"
        transaction.change_status(heir, "active", kind="promoted", operation=operation, reason=reason)


def note_done(transaction: Transaction, step: str) -> None:
    """The step is not planned again."""
    if transaction.outcome(STEP_DONE, step) is None:
        transaction.record_outcome(STEP_DONE, step, True)


def _told(concepts: Sequence[StoredConcept]) -> tuple[Told, ...]:
    return tuple(Told(id=item.id, concept=item.concept) for item in concepts)
