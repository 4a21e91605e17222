"""What becomes of concepts that a run learned: new, an update of the concept of that name, a duplicate, or evidence.

Vectors are made before the transaction; duplicates and names are looked for inside it, so two processes that write the same
concept at once end with one, and an update that another was faster than is planned again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from phronesis.core.concept import Concept, Evidence, StoredConcept
from phronesis.core.result import MemoryRecall, MemoryWrite
from phronesis.memory.finding import VectorSearch
from phronesis.memory.ledger import Ledger
from phronesis.memory.merging import merged
from phronesis.memory.proposals import Action, insert_proposal, open_with
from phronesis.memory.reading import concept_id, concept_number, valid_with_hash
from phronesis.memory.repeats import Guard, Repeat, Views
from phronesis.memory.transaction import Transaction
from phronesis.memory.updating import Moved, Planned, checked_target, gained, prepare
from phronesis.memory.writing import (
    MOST_BYTES,
    NEAR_DUPLICATE,
    create,
    known_already,
    note_evidence,
    outcome_of,
    size_of,
)

ATTEMPTS = 5
"""Times that a write is planned anew because others changed what it updates; after that it updates without vectors, which
are then filled in by the next search."""


def write(
    ledger: Ledger,
    search: VectorSearch | None,
    concepts: Sequence[Concept],
    *,
    views: Views,
    operation: str,
    recalled: Sequence[int],
    evidence: Evidence | None = None,
    prompted: Sequence[MemoryRecall] = (),
    propose: bool = False,
) -> list[MemoryWrite]:
    """One outcome per concept, in order: ``written`` on probation, ``updated``, ``duplicate``, ``evidence`` or ``refused``.
    Once per operation. ``views``: vectors of concepts; it works outside the transaction. ``propose``: what would be written
    or updated is ``proposed``."""
    guard = Guard.of(concepts, prompted, views, near=NEAR_DUPLICATE)
    for _ in range(ATTEMPTS):
        try:
            plan = prepare(ledger, concepts, views)
            return _write_planned(ledger, search, plan, guard, operation, recalled, evidence, propose=propose)
        except Moved:
            continue
    plan = prepare(ledger, concepts, views)
    return _write_planned(ledger, search, plan, guard, operation, recalled, evidence, propose=propose, insist=True)


def _write_planned(
    ledger: Ledger,
    search: VectorSearch | None,
    plan: Sequence[Planned],
    guard: Guard,
    operation: str,
    recalled: Sequence[int],
    evidence: Evidence | None,
    *,
    propose: bool,
    insist: bool = False,
) -> list[MemoryWrite]:
    if search is not None:
        search.warm()
    try:
        return _write_all(ledger, search, plan, guard, operation, recalled, evidence, propose=propose, insist=insist)
    except BaseException:
        # What was searched inside the undone transaction may not be remembered.
        if search is not None:
            search.forget()
        raise


def _write_all(
    ledger: Ledger,
    search: VectorSearch | None,
    plan: Sequence[Planned],
    guard: Guard,
    operation: str,
    recalled: Sequence[int],
    evidence: Evidence | None,
    *,
    propose: bool,
    insist: bool,
) -> list[MemoryWrite]:
    with ledger.writing() as transaction:
        known = transaction.outcome("write", operation)
        if known is not None:
            return [MemoryWrite.model_validate(item) for item in known]
        outcomes: list[MemoryWrite] = []
        for place, planned in enumerate(plan):
            if planned.joins is not None:
                first = outcomes[planned.joins]
                reason = "joined with the one of its name in the same write"
                outcomes.append(first.model_copy(update={"reason": reason, "suggestion": planned.concept.suggestion}))
                continue
            waits = _Waits(evidence, f"{operation}#{place}") if propose else None
            one = _write_one(transaction, search, planned, guard, place, operation, recalled, waits, insist=insist)
            outcomes.append(one)
        if evidence is not None:
            for outcome in outcomes:
                speaks = outcome.outcome not in ("refused", "proposed")
                if outcome.id is not None and speaks and "/" not in outcome.id:
                    transaction.insert_evidence(concept_number(outcome.id), evidence, operation=operation)
        transaction.record_outcome("write", operation, [outcome.model_dump(mode="json") for outcome in outcomes])
        return outcomes


def _write_one(
    transaction: Transaction,
    search: VectorSearch | None,
    planned: Planned,
    guard: Guard,
    place: int,
    operation: str,
    recalled: Sequence[int],
    waits: _Waits | None,
    *,
    insist: bool,
) -> MemoryWrite:
    concept, vectors = planned.body, planned.vectors
    same = valid_with_hash(transaction.connection, concept.content_hash)
    if same is not None and planned.number in (None, same):
        return _known(transaction, planned, same, operation)
    target = checked_target(transaction, planned, insist=insist)
    if target is not None:
        return _update(transaction, search, planned, target, operation, waits, insist=insist)
    if planned.number is not None:  # the concept of that name was withdrawn: what it said does not come back
        concept, vectors = planned.concept, None
    repeat = guard.repeated(place)
    if repeat is not None:
        return _repeats(transaction, repeat, concept, operation)
    known = known_already(transaction, search, concept, vectors=vectors, operation=operation, recalled=recalled)
    if known is not None:
        return known
    if waits is not None:
        return _propose(transaction, "add", {}, concept, concept, "new", waits)
    return create(transaction, search, concept, vectors=vectors, operation=operation, status="probation")


def _known(transaction: Transaction, planned: Planned, number: int, operation: str) -> MemoryWrite:
    """Of a concept that is there word for word, or of one that adds nothing to the concept of its name."""
    name = concept_id(number)
    if planned.number is None or planned.concept.content_hash == planned.body.content_hash:
        return outcome_of("duplicate", name, planned.concept, f"{name} says the same word for word")
    reason = f"{name} has this name and says as much already"
    note_evidence(transaction, number, planned.concept, operation, reason)
    return outcome_of("evidence", name, planned.concept, reason)


def _update(
    transaction: Transaction,
    search: VectorSearch | None,
    planned: Planned,
    target: StoredConcept,
    operation: str,
    waits: _Waits | None,
    *,
    insist: bool,
) -> MemoryWrite:
    number, vectors = concept_number(target.id), planned.vectors
    own = planned.body if planned.number is None else planned.concept
    body = merged(target.concept, own) if insist else planned.body
    if insist and body.content_hash == target.concept.content_hash:
        reason = f"{target.id} has this name and says as much already"
        note_evidence(transaction, number, planned.concept, operation, reason)
        return outcome_of("evidence", target.id, planned.concept, reason)
    twin = valid_with_hash(transaction.connection, body.content_hash)
    if twin is not None and twin != number:  # people gave one name twice: the other of that name says all of it
        reason = f"{concept_id(twin)} says word for word what {target.id} would say with it"
        note_evidence(transaction, twin, planned.concept, operation, reason)
        return outcome_of("evidence", concept_id(twin), planned.concept, reason)
    size = size_of(body)
    if size > MOST_BYTES:
        reason = f"with it {target.id} would take {size:,} bytes, {MOST_BYTES:,} are allowed"
        return outcome_of("refused", target.id, planned.concept, reason)
    gains = ", ".join(gained(target.concept, body))
    reason = f"{target.id} has this name and gains {gains}"
    if waits is not None:
        return _propose(transaction, "update", {target.id: target.version}, body, planned.concept, reason, waits)
    made = transaction.change_concept(number, body, kind="updated", operation=operation, reason=reason)
    if search is not None and vectors is not None and not insist:
        transaction.insert_vectors(search.adopt(transaction), number, made, vectors)
    return outcome_of("updated", target.id, planned.concept, reason)


class _Waits(NamedTuple):
    """That a write is to wait for a person, and what belongs to it."""

    evidence: Evidence | None
    operation: str


def _propose(
    transaction: Transaction,
    action: Action,
    bases: Mapping[str, int],
    body: Concept,
    wanted: Concept,
    reason: str,
    waits: _Waits,
) -> MemoryWrite:
    """``proposed``, or ``duplicate`` when an open proposal says the same."""
    waiting = open_with(transaction.connection, action, body)
    if waiting is not None:
        return outcome_of("duplicate", None, wanted, f"proposal {waiting} says the same word for word")
    number = insert_proposal(
        transaction,
        action,
        bases=bases,
        concept=body,
        superseded_by=None,
        evidence=waits.evidence,
        reason=f"learned by a run: {reason}",
        operation=waits.operation,
    )
    id = next(iter(bases), None)
    return outcome_of("proposed", id, wanted, f"{reason}; proposal {number} waits: phronesis memory review")


def _repeats(transaction: Transaction, repeat: Repeat, concept: Concept, operation: str) -> MemoryWrite:
    """Of a concept that says what the run's prompt said."""
    reason = f"{repeat.reason}, which stood in the run's prompt"
    if "/" in repeat.id:
        return outcome_of("duplicate", repeat.id, concept, reason)
    number = concept_number(repeat.id)
    row = transaction.connection.execute("SELECT status FROM concepts WHERE number = ?", (number,)).fetchone()
    if row is None or row[0] == "invalid":
        return outcome_of("refused", repeat.id, concept, f"{reason} and was withdrawn since")
    note_evidence(transaction, number, concept, operation, reason)
    return outcome_of("evidence", repeat.id, concept, reason)
