"""How concepts become one, and what a concept is worth: the rules, without a ledger and without a model.

The merge is ArcMemo's WRITE_CONCEPT (arXiv 2509.04439 and its code). One thing is ours: a repeated parameter takes the place
of the old one, but cannot blank a type or a description that was there.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from functools import reduce

from phronesis.core.concept import Concept, Parameter, StoredConcept


def merged(first: Concept, second: Concept) -> Concept:
    """``first``, extended by ``second``. Doing it twice changes nothing.

    Situation, suggestion, name, typing, subtype and source: the first that says something stands for good. Parameters: by
    name, a later one replaces an earlier one. Cues, signs to avoid, parts and notes: appended, exact repeats dropped, in
    order. The kind is the first's."""
    return Concept(
        kind=first.kind,
        suggestion=first.suggestion,
        situation=first.situation or second.situation,
        name=first.name or second.name,
        subtype=first.subtype or second.subtype,
        typing=first.typing or second.typing,
        parameters=_parameters((*first.parameters, *second.parameters)),
        cues=(*first.cues, *second.cues),
        avoid=(*first.avoid, *second.avoid),
        parts=(*first.parts, *second.parts),
        implementation=(*first.implementation, *second.implementation),
        source=first.source or second.source,
    )


def united(concepts: Sequence[Concept]) -> Concept:
    """All of them as one, merged in the order given. At least one."""
    return reduce(merged, concepts[1:], concepts[0])


def reworded(concept: Concept, *, situation: str, suggestion: str) -> Concept:
    """The concept with another situation and suggestion; an empty one leaves the old."""
    said = {"situation": situation or concept.situation, "suggestion": suggestion or concept.suggestion}
    return Concept.model_validate({**concept.model_dump(), **said})


def compressed(concept: Concept, *, cues: Sequence[str], implementation: Sequence[str]) -> Concept:
    """The concept with these two lists instead of its own. Nothing else of it changes."""
    lists = {"cues": tuple(cues), "implementation": tuple(implementation)}
    return Concept.model_validate({**concept.model_dump(), **lists})


def _parameters(parameters: Sequence[Parameter]) -> tuple[Parameter, ...]:
    """One for each name, where it first stood, as it was last described."""
    found: dict[str, Parameter] = {}
    for new in parameters:
        old = found.get(new.name, new)
        found[new.name] = Parameter(
            name=new.name, typing=new.typing or old.typing, description=new.description or old.description
        )
    return tuple(found.values())


def utility(helped: int, harmed: int, age_days: float, half_life: float) -> float:
    """``(helped + 1) / (helped + harmed + 2) * 2 ** (-age_days / half_life)``, in (0, 1).

    The share of uses that went well (Laplace's rule: 1/2 without a use), halved with every ``half_life`` days that passed
    since the last use, or since it was written when there was none. Ages below 0 count as 0."""
    share = (helped + 1) / (helped + harmed + 2)
    return float(share * 2.0 ** (-max(0.0, age_days) / half_life))


def idle_days(concept: StoredConcept, now: datetime) -> float:
    """Days since the concept was last in a prompt; since it was written when it never was."""
    return _days(concept.last_used or concept.created, now)


def worth(concept: StoredConcept, *, now: datetime, half_life: float) -> float:
    """The concept's utility now."""
    return utility(concept.helped, concept.harmed, idle_days(concept, now), half_life)


def retirement(
    concept: StoredConcept, *, now: datetime, half_life: float, below: float, recalled: int, probation_days: float
) -> str | None:
    """Why the concept should retire, or None when it should not.

    It should when its utility is below ``below`` and it was recalled ``recalled`` times or more; or when it is on
    probation, has never helped and was written more than ``probation_days`` ago."""
    if concept.status == "invalid":
        return None
    value = worth(concept, now=now, half_life=half_life)
    if value < below and concept.recalled >= recalled:
        return f"utility {value:.3f} is below {below:g}: helped {concept.helped}, harmed {concept.harmed} times"
    age = _days(concept.created, now)
    if concept.status == "probation" and concept.helped == 0 and age > probation_days:
        return f"{age:.0f} days on probation without having helped"
    return None


def best_first(concepts: Sequence[StoredConcept], *, now: datetime, half_life: float) -> list[StoredConcept]:
    """By utility, highest first; ties by age, oldest first."""
    return sorted(concepts, key=lambda item: (-worth(item, now=now, half_life=half_life), int(item.id[1:])))


def _days(since: str, now: datetime) -> float:
    return (now - datetime.fromisoformat(since)).total_seconds() / 86_400
