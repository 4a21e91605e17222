"""Carries an accepted proposal out, in the transaction that decides it."""

from __future__ import annotations

from phronesis.core.concept import Concept
from phronesis.core.errors import ConceptStoreError
from phronesis.core.ports import Vectors
from phronesis.memory.applying import inherit
from phronesis.memory.finding import VectorSearch
from phronesis.memory.ledger import Ledger
from phronesis.memory.proposals import Proposal, check_open, decide, proposal
from phronesis.memory.reading import concept_id, concept_number, current_version, stored, valid_with_hash
from phronesis.memory.revisions import change, check_heir, check_version, standing, withdraw
from phronesis.memory.transaction import Transaction
from phronesis.memory.writing import create, known_already


def accept(ledger: Ledger, search: VectorSearch | None, number: int, *, vectors: Vectors | None) -> None:
    """Applies the proposal by compare-and-swap and notes it; one that was accepted before is left as it is.

    Raises Conflict, and leaves the proposal open, when a concept it is about changed since, or was withdrawn."""
    if search is not None:
        search.warm()
    try:
        with ledger.writing() as transaction:
            item = proposal(transaction.connection, number)
            if check_open(item, "accepted"):
                operation = f"proposal/{number}"
                id, outcome = _carry_out(transaction, search, item, vectors, operation)
                if item.evidence is not None and id is not None and item.action != "forget":
                    transaction.insert_evidence(concept_number(id), item.evidence, operation=operation)
                decide(transaction, number, "accepted", outcome=outcome, id=id)
    except BaseException:
        # What was searched inside the undone transaction may not be remembered.
        if search is not None:
            search.forget()
        raise


def reject(ledger: Ledger, number: int, *, reason: str) -> None:
    """Notes the refusal; one that was rejected before is left as it is. Raises Conflict for an accepted one."""
    with ledger.writing() as transaction:
        if check_open(proposal(transaction.connection, number), "rejected"):
            decide(transaction, number, "rejected", outcome=reason, id=None)


def _carry_out(
    transaction: Transaction, search: VectorSearch | None, item: Proposal, vectors: Vectors | None, operation: str
) -> tuple[str | None, str]:
    """(id of the concept it wrote or changed, what it came to)."""
    bases = {concept_number(name): version for name, version in item.bases.items()}
    for number, version in bases.items():
        check_version(number, standing(transaction.connection, number), version)
    if item.action == "forget":
        heir = None if item.superseded_by is None else concept_number(item.superseded_by)
        _withdraw_all(transaction, bases, heir, item.reason, operation)
        return item.superseded_by, f"forgot {', '.join(item.bases)}"
    concept = _concept(item)
    if item.action == "update":
        ((number, version),) = bases.items()
        change(
            transaction,
            search,
            number,
            concept,
            vectors=vectors,
            expected=version,
            reason=item.reason,
            operation=operation,
        )
        return concept_id(number), f"changed {concept_id(number)}"
    if item.action == "merge":
        return _merge(transaction, search, item, bases, vectors, operation)
    known = known_already(transaction, search, concept, vectors=vectors, operation=operation, recalled=())
    made = known or create(transaction, search, concept, vectors=vectors, operation=operation, status="active")
    return made.id, f"{made.outcome} {made.id}: {made.reason}"


def _merge(
    transaction: Transaction,
    search: VectorSearch | None,
    item: Proposal,
    bases: dict[int, int],
    vectors: Vectors | None,
    operation: str,
) -> tuple[str, str]:
    """One concept takes the place of several, and has their uses and evidence; where one of them, or another, says it
    already, that one does."""
    concept = _concept(item)
    heir = valid_with_hash(transaction.connection, concept.content_hash)
    if heir is None:
        made = create(
            transaction, search, concept, vectors=vectors, operation=operation, status="active", origin="merge"
        )
        heir = concept_number(made.id or "")
    gone = {number: version for number, version in bases.items() if number != heir}
    told = stored(transaction.connection, at=current_version(transaction.connection), numbers=list(gone))
    _withdraw_all(transaction, gone, heir, item.reason, operation)
    inherit(transaction, heir, list(told.values()), operation=operation)
    return concept_id(heir), f"{concept_id(heir)} took the place of {', '.join(map(concept_id, gone))}"


def _withdraw_all(
    transaction: Transaction, bases: dict[int, int], heir: int | None, reason: str, operation: str
) -> None:
    if heir is not None:
        check_heir(transaction.connection, heir, list(bases))
    for number, version in bases.items():
        withdraw(transaction, number, expected=version, reason=reason, heir=heir, operation=operation)


def _concept(item: Proposal) -> Concept:
    if item.concept is None:
        raise ConceptStoreError(
            f"proposal {item.number} has no concept to {item.action}", mend="reject it and propose it again"
        )
    return item.concept
