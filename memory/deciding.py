"""What follows from a decision about a step of a consolidation: worked out without a ledger and without a model."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict

from phronesis.core.concept import Concept, StoredConcept
from phronesis.memory import merging
from phronesis.memory.planning import PlanKnobs, Step
from phronesis.memory.writing import MOST_BYTES

CLEARLY = 0.05
"""Difference of two utilities from which on one concept is more useful than the other."""
Verdict = Literal["retire", "compress", "same", "conflict", "different", "failed"]
StepOutcome = Literal["done", "unchanged", "proposed", "stale", "failed"]


class Decision(BaseModel):
    """What is to become of a step's concepts: what the model said, or a rule."""

    model_config = ConfigDict(frozen=True)

    verdict: Verdict
    """``failed``: nobody could tell; nothing changes."""
    numbers: tuple[int, ...] = ()
    """Which of the step's concepts it speaks of, from 1; empty = all."""
    situation: str = ""
    """Of ``same``: the wording for all; empty = that of the best."""
    suggestion: str = ""
    cues: tuple[str, ...] = ()
    """Of ``compress``."""
    implementation: tuple[str, ...] = ()
    reason: str = ""
    """For people."""


class Told(BaseModel):
    """A concept before or after a step."""

    model_config = ConfigDict(frozen=True)

    id: str
    concept: Concept


class Applied(BaseModel):
    """What became of a step."""

    model_config = ConfigDict(frozen=True)

    outcome: StepOutcome
    """``proposed``: it waits for a person; ``stale``: a concept was changed since the plan, nothing was done."""
    reason: str
    before: tuple[Told, ...] = ()
    """Concepts that were changed or became invalid, as they were."""
    after: tuple[Told, ...] = ()
    """Concepts that stand for them now."""


class Change(BaseModel):
    """A decision worked out: what the transaction writes."""

    model_config = ConfigDict(frozen=True)

    outcome: StepOutcome
    reason: str
    invalid: tuple[StoredConcept, ...] = ()
    """What becomes invalid, in favour of ``target``."""
    target: StoredConcept | None = None
    """The concept that stays, or is changed; None = a new one, or (nothing to say) none."""
    text: Concept | None = None
    """What the target says from now on; None = what it says already."""
    kind: str = ""
    """Of the events."""
    proposed: tuple[StoredConcept, ...] = ()
    """Concepts that a person is asked about: whether they may become ``text``, or without one be forgotten."""


def work_out(
    step: Step, decision: Decision, concepts: Sequence[StoredConcept], *, now: datetime, knobs: PlanKnobs
) -> Change:
    """The change that follows from a decision about the step's concepts, which are given as planned. Reads nothing.

    A person's concept never becomes invalid here: where it would, the change is a proposal."""
    chosen = [concepts[number - 1] for number in decision.numbers] if decision.numbers else list(concepts)
    if decision.verdict == "retire":
        return _gives_way(chosen[0], None, "retired", decision.reason)
    if decision.verdict == "compress":
        text = merging.compressed(chosen[0].concept, cues=decision.cues, implementation=decision.implementation)
        if text == chosen[0].concept:
            return Change(outcome="unchanged", reason="nothing to compress")
        return Change(outcome="done", reason=decision.reason, target=chosen[0], text=text, kind="compressed")
    ranked = merging.best_first(chosen, now=now, half_life=knobs.half_life)
    if decision.verdict == "conflict":
        return _against(decision, ranked[0], ranked[1], now=now, knobs=knobs)
    if decision.verdict == "same":
        return _one_for_all(step, decision, chosen, ranked)
    return Change(outcome="unchanged" if decision.verdict == "different" else "failed", reason=decision.reason)


def _against(
    decision: Decision, best: StoredConcept, other: StoredConcept, *, now: datetime, knobs: PlanKnobs
) -> Change:
    """The clearly more useful of two stays, where uses say so and neither is a person's; else a person is asked."""
    reason = f"it advises against {best.id}: {decision.reason}"
    ahead = merging.worth(best, now=now, half_life=knobs.half_life)
    ahead -= merging.worth(other, now=now, half_life=knobs.half_life)
    unused = not best.helped and not other.harmed
    if unused or ahead < CLEARLY or "user" in (best.origin, other.origin):
        return Change(outcome="proposed", reason=reason, proposed=(other,), target=best)
    return _gives_way(other, best, "contradicted", reason)


def _gives_way(item: StoredConcept, heir: StoredConcept | None, kind: str, reason: str) -> Change:
    if item.origin == "user":
        return Change(outcome="proposed", reason=reason, proposed=(item,), target=heir)
    return Change(outcome="done", reason=reason, invalid=(item,), target=heir, kind=kind)


def _one_for_all(
    step: Step, decision: Decision, chosen: Sequence[StoredConcept], ranked: Sequence[StoredConcept]
) -> Change:
    """One concept for several. A person's stays, with its wording; else the best one's wording leads, or the model's."""
    persons = [item for item in chosen if item.origin == "user"]
    first = persons[0] if persons else ranked[0] if step.asks else chosen[0]
    order = [first, *(item for item in chosen if item is not first)]
    text = merging.united([item.concept for item in order])
    if not persons:
        text = merging.reworded(text, situation=decision.situation, suggestion=decision.suggestion)
    if len(text.model_dump_json().encode()) > MOST_BYTES:
        return Change(outcome="failed", reason=f"together they take more than {MOST_BYTES:,} bytes")
    if len(persons) > 1:
        return Change(outcome="proposed", reason=decision.reason, proposed=tuple(chosen), text=text)
    same = [item for item in chosen if item.concept.content_hash == text.content_hash]
    target = persons[0] if persons else next(iter(same), None)
    invalid = tuple(item for item in chosen if item is not target)
    changed = None if target is not None and target in same else text
    return Change(outcome="done", reason=decision.reason, invalid=invalid, target=target, text=changed, kind="merged")
