"""Concepts that are added, what counts as known already, the limits of what is written, and what uses do to a concept.

Vectors are made before the transaction; duplicates are looked for inside it, so two processes that add the same concept at
once end with one. What runs write: memory/learning.py.
"""

from __future__ import annotations

from collections.abc import Sequence

from phronesis.core.concept import Concept, ConceptStatus, Origin
from phronesis.core.errors import ConceptStoreError, ConfigurationError
from phronesis.core.ports import Vectors
from phronesis.core.result import MemoryWrite
from phronesis.index.exact import Scored
from phronesis.memory.finding import VectorSearch
from phronesis.memory.ledger import Ledger
from phronesis.memory.reading import concept_id, concept_number, current_version, stored, valid_with_hash
from phronesis.memory.transaction import Transaction

NEAR_DUPLICATE = 0.93
"""Cosine of first views from which on a new concept of the same kind counts as evidence for the old one."""
NEIGHBOURS = 8
"""Nearest concepts that are looked at for a near duplicate of the same kind."""
MOST_BYTES = 64 * 1024
"""Largest concept, as JSON: what is remembered is to stand in a prompt."""
PROMOTED_AFTER = 2
"""Accepted runs that had it in the prompt, after which a probation concept is active (ArcMemo's usage threshold)."""


def size_of(concept: Concept) -> int:
    """Bytes of the concept as JSON."""
    return len(concept.model_dump_json().encode("utf-8", "surrogatepass"))


def check_sizes(concepts: Sequence[Concept]) -> None:
    """Raises ConfigurationError that names the first concept that is too large to be of use."""
    for place, concept in enumerate(concepts):
        size = size_of(concept)
        if size > MOST_BYTES:
            raise ConfigurationError(
                f"concept {place + 1} takes {size:,} bytes, {MOST_BYTES:,} are allowed: {concept.suggestion[:60]!r} ...",
                mend="keep the idea and leave the material out",
            )


def add(
    ledger: Ledger,
    search: VectorSearch | None,
    concepts: Sequence[Concept],
    *,
    vectors: Sequence[Vectors] | None,
    operation: str | None,
    status: ConceptStatus,
    origin: Origin = "user",
) -> list[int]:
    """The concepts' numbers, in order; a concept that is there word for word keeps its number. Once per operation."""
    with ledger.writing() as transaction:
        if operation is not None and (known := transaction.outcome("add", operation)) is not None:
            return [int(number) for number in known]
        numbers = []
        for place, concept in enumerate(concepts):
            number = valid_with_hash(transaction.connection, concept.content_hash)
            if number is None:
                number = transaction.create_concept(concept, status=status, operation=operation or "", origin=origin)
                if search is not None and vectors is not None:
                    transaction.insert_vectors(search.adopt(transaction), number, 1, vectors[place])
            numbers.append(number)
        if operation is not None:
            transaction.record_outcome("add", operation, numbers)
        return numbers


def known_already(
    transaction: Transaction,
    search: VectorSearch | None,
    concept: Concept,
    *,
    vectors: Vectors | None,
    operation: str,
    recalled: Sequence[int],
) -> MemoryWrite | None:
    """What becomes of a concept that is there: ``duplicate`` word for word, ``evidence`` for a near one; None = it is new."""
    same = valid_with_hash(transaction.connection, concept.content_hash)
    if same is not None:
        return outcome_of("duplicate", concept_id(same), concept, f"{concept_id(same)} says the same word for word")
    if search is None or vectors is None:
        return None
    near = _near_duplicate(transaction, search, concept, vectors[0], recalled)
    if near is None:
        return None
    reason = f"cosine {near.score:.3f} with {concept_id(near.owner)}"
    if near.owner in recalled:
        reason += ", which the run had recalled"
    note_evidence(transaction, near.owner, concept, operation, reason, score=near.score)
    return outcome_of("evidence", concept_id(near.owner), concept, reason)


def create(
    transaction: Transaction,
    search: VectorSearch | None,
    concept: Concept,
    *,
    vectors: Vectors | None,
    operation: str,
    status: ConceptStatus,
    origin: Origin = "run",
) -> MemoryWrite:
    """``written``. The caller has checked that nothing valid says the same word for word."""
    number = transaction.create_concept(concept, status=status, operation=operation, origin=origin)
    if search is not None and vectors is not None:
        transaction.insert_vectors(search.adopt(transaction), number, 1, vectors)
    return outcome_of("written", concept_id(number), concept, "new")


def note_evidence(
    transaction: Transaction, number: int, concept: Concept, operation: str, reason: str, *, score: float | None = None
) -> None:
    """Writes into a concept's history that another one speaks for it."""
    payload = {"score": score, "reason": reason, "concept": concept.model_dump(mode="json")}
    transaction.append_event("evidence", concept=number, operation=operation, payload=payload)


def outcome_of(outcome: str, id: str | None, concept: Concept, reason: str) -> MemoryWrite:
    """What is told of a concept that was to be written."""
    said = {"name": concept.name, "suggestion": concept.suggestion, "situation": concept.situation}
    return MemoryWrite.model_validate({"outcome": outcome, "reason": reason, "id": id, **said})


def _near_duplicate(
    transaction: Transaction, search: VectorSearch, concept: Concept, vector: Vectors, recalled: Sequence[int]
) -> Scored | None:
    """The concept this one is evidence for: the nearest recalled one, else the nearest of all; None = it is new."""
    now = current_version(transaction.connection)
    found = search.nearest_of(vector, recalled, at=now)
    found += search.nearest(vector, NEIGHBOURS, at=now, first_view=True)
    near = [scored for scored in found if scored.score >= NEAR_DUPLICATE]
    bodies = stored(transaction.connection, at=now, numbers=[scored.owner for scored in near])
    return next((scored for scored in near if bodies[scored.owner].concept.kind == concept.kind), None)


def record_use(ledger: Ledger, names: Sequence[str], *, accepted: bool, operation: str) -> None:
    """Counts a use of each concept, once per operation, and promotes what has helped often enough.

    Raises ConceptStoreError, and counts nothing, when an id is unknown."""
    numbers = sorted({concept_number(name) for name in names})
    with ledger.writing() as transaction:
        if transaction.outcome("use", operation) is not None:
            return
        for number in numbers:
            row = transaction.connection.execute("SELECT status FROM concepts WHERE number = ?", (number,)).fetchone()
            if row is None:
                raise ConceptStoreError(f"there is no concept {concept_id(number)!r} in {str(ledger.path)!r}")
            transaction.connection.execute(
                "INSERT INTO uses (concept, operation, accepted, time) VALUES (?, ?, ?, ?)",
                (number, operation, int(accepted), transaction.now),
            )
            helped = transaction.connection.execute(
                "SELECT COUNT(*) FROM uses WHERE concept = ? AND accepted = 1", (number,)
            ).fetchone()[0]
            if row[0] == "probation" and helped >= PROMOTED_AFTER:
                transaction.change_status(
                    number, "active", kind="promoted", operation=operation, reason=f"helped {helped} runs"
                )
        transaction.record_outcome("use", operation, [concept_id(number) for number in numbers])
