"""Updates by name: a parameterised concept whose name is taken extends the concept of that name (ArcMemo's WRITE_CONCEPT)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from phronesis.core.concept import Concept, StoredConcept
from phronesis.core.ports import Vectors
from phronesis.memory.ledger import Ledger
from phronesis.memory.merging import merged
from phronesis.memory.naming import by_name
from phronesis.memory.reading import concept_number, current_version
from phronesis.memory.repeats import Views
from phronesis.memory.transaction import Transaction


class Moved(Exception):
    """Somebody changed, made or withdrew the concept of a name since the write was planned. Never leaves this package."""


@dataclass(frozen=True)
class Planned:
    """A concept that is to be written, and what it would make of the concept of its name."""

    concept: Concept
    """As it was wanted."""
    body: Concept
    """As it would be stored: itself, or merged into the concept of its name."""
    number: int | None = None
    """The concept of its name; None = the name is new, or there is none."""
    version: int = 0
    """Of that concept, when it was planned."""
    joins: int | None = None
    """Place of an earlier concept of the same write that has its name and takes it in."""
    vectors: Vectors | None = None
    """Of the body."""


def prepare(ledger: Ledger, concepts: Sequence[Concept], views: Views) -> list[Planned]:
    """One plan per concept, in order. Slow (a model works): call it outside transactions."""
    plan: list[Planned] = []
    named: dict[str, int] = {}
    with ledger.reading() as connection:
        now = current_version(connection)
        for place, concept in enumerate(concepts):
            name = concept.name.casefold()
            if name and name in named:
                first = plan[named[name]]
                plan[named[name]] = replace(first, body=merged(first.body, concept))
                plan.append(Planned(concept, concept, joins=named[name]))
                continue
            target = by_name(connection, concept.name, at=now) if name else None
            named |= {name: place} if name else {}
            if target is None:
                plan.append(Planned(concept, concept))
            else:
                body = merged(target.concept, concept)
                plan.append(Planned(concept, body, number=concept_number(target.id), version=target.version))
    vectors = views([item.body for item in plan])
    if vectors is None:
        return plan
    return [replace(item, vectors=rows) for item, rows in zip(plan, vectors, strict=True)]


def checked_target(transaction: Transaction, planned: Planned, *, insist: bool) -> StoredConcept | None:
    """The concept that the plan updates, as it is now; None = there is none. Raises Moved when it is not what the plan
    was made for, unless ``insist``."""
    if not planned.concept.name:
        return None
    now = current_version(transaction.connection)
    found = by_name(transaction.connection, planned.concept.name, at=now)
    number = None if found is None else concept_number(found.id)
    if not insist and (number != planned.number or (found is not None and found.version != planned.version)):
        raise Moved
    return found


def gained(old: Concept, new: Concept) -> list[str]:
    """What the new text has that the old one had not, in words: ``2 cues``, ``a type`` ..."""
    found = []
    lists = (("parameters", "parameter"), ("cues", "cue"), ("avoid", "sign against it"), ("parts", "part"))
    for field, word in (*lists, ("implementation", "note")):
        more = len(getattr(new, field)) - len(getattr(old, field))
        if more > 0:
            found.append(f"{more} {word}{'s' if more > 1 and ' ' not in word else ''}")
        elif getattr(new, field) != getattr(old, field):
            found.append(f"a better described {word}")
    for field, word in (("situation", "a situation"), ("subtype", "a subtype"), ("typing", "a type")):
        if getattr(new, field) != getattr(old, field):
            found.append(word)
    return found or ["another wording"]
