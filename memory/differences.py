"""What differs between two states of a memory."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from pydantic import BaseModel, ConfigDict

from phronesis.core.concept import Concept, ConceptStatus, StoredConcept


class _Value(BaseModel):
    model_config = ConfigDict(frozen=True)


class ConceptChange(_Value):
    """A concept that is there in both states and says something else."""

    id: str
    fields: tuple[str, ...]
    """Fields of the concept that differ, in the order a concept has them."""
    before: Concept
    after: Concept


class StatusChange(_Value):
    """A concept that is there in both states, once on probation and once active."""

    id: str
    before: ConceptStatus
    after: ConceptStatus


class MemoryDiff(_Value):
    """Every list is ordered by id, oldest concept first. An invalid concept counts as one that is not there."""

    before: int
    """Version of the first state."""
    after: int
    """Version of the second."""
    added: tuple[StoredConcept, ...] = ()
    """Only in the second state, as they are there."""
    removed: tuple[StoredConcept, ...] = ()
    """Only in the first state, as they were there."""
    changed: tuple[ConceptChange, ...] = ()
    statuses: tuple[StatusChange, ...] = ()
    """A concept whose text changed as well stands in ``changed`` too."""
    erased: tuple[str, ...] = ()
    """Concepts that were erased since the older of the two: what they said is gone, so they are in no other list."""

    @property
    def empty(self) -> bool:
        """Whether nothing differs, erased concepts apart."""
        return not (self.added or self.removed or self.changed or self.statuses)


def difference(
    before: Mapping[int, StoredConcept],
    after: Mapping[int, StoredConcept],
    *,
    versions: tuple[int, int],
    erased: Collection[int] = (),
) -> MemoryDiff:
    """What became of ``before`` in ``after``: two states by number, as ``reading.stored`` gives them.

    ``erased``: numbers of the concepts that were erased since the older of the two."""
    gone = set(erased)
    left = {number: item for number, item in before.items() if item.status != "invalid"}
    right = {number: item for number, item in after.items() if item.status != "invalid"}
    both = [(left[number], right[number]) for number in sorted((left.keys() & right.keys()) - gone)]
    return MemoryDiff(
        before=versions[0],
        after=versions[1],
        added=tuple(right[number] for number in sorted(right.keys() - left.keys() - gone)),
        removed=tuple(left[number] for number in sorted(left.keys() - right.keys() - gone)),
        changed=tuple(
            ConceptChange(id=one.id, fields=_fields(one.concept, two.concept), before=one.concept, after=two.concept)
            for one, two in both
            if one.concept != two.concept
        ),
        statuses=tuple(
            StatusChange(id=one.id, before=one.status, after=two.status)
            for one, two in both
            if one.status != two.status
        ),
        erased=tuple(f"c{number}" for number in sorted(gone & (before.keys() | after.keys()))),
    )


def _fields(before: Concept, after: Concept) -> tuple[str, ...]:
    return tuple(name for name in Concept.model_fields if getattr(before, name) != getattr(after, name))
