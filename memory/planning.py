"""What a memory could do about its repetitions and dead wood: a plan, made without a model and without a change.

Each concept is in one step at most, so steps do not depend on one another. A step's id is a hash of what it is about: the
same memory gives the same plan, and a step that was done once is not planned again while its concepts say the same.
"""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from phronesis.core.concept import StoredConcept
from phronesis.core.ports import Vectors
from phronesis.memory.ledger import Ledger
from phronesis.memory.merging import retirement
from phronesis.memory.reading import concept_number, current_version, fingerprint, stored, vectors_of

StepKind = Literal["compress", "merge", "retire"]
STEP_DONE = "consolidated"
"""Kind of the operations that say a step need not be planned again."""
_BLOCK = 1024
"""Rows of one matrix product."""
_MARGIN = 1e-6


class PlanKnobs(BaseModel):
    """What is worth a step."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    merge_above: float = Field(default=0.85, ge=0, le=1)
    """Cosine of two situations from which on a model is asked whether the concepts are the same (ours)."""
    cluster_most: int = Field(default=6, ge=2, le=12)
    """Concepts of one question; what is nearest stays together (ours)."""
    compress_uses: int = Field(default=2, ge=0)
    """Accepted runs a concept must have been used in before its lists are compressed (ArcMemo: 2)."""
    half_life: float = Field(default=180.0, gt=0)
    """Days without a use that halve a concept's utility (ours)."""
    retire_below: float = Field(default=0.15, ge=0, le=1)
    """Utility under which a concept retires: 5 uses that harmed and none that helped give 0.14 (ours)."""
    retire_recalled: int = Field(default=5, ge=0)
    """Uses before which nobody judges its utility (ours)."""
    probation_days: float = Field(default=90.0, ge=0)
    """Days on probation after which a concept that never helped retires (ours)."""


class Pinned(BaseModel):
    """A concept as the plan saw it."""

    model_config = ConfigDict(frozen=True)

    id: str
    version: int


class Step(BaseModel):
    """One thing to do."""

    model_config = ConfigDict(frozen=True)

    id: str
    """16 hex digits over the kind, the concepts' ids and what they say."""
    kind: StepKind
    concepts: tuple[Pinned, ...]
    """By number, oldest first."""
    reason: str
    """Why, for people."""
    asks: bool
    """Whether a model has to be asked: 1 call, 2 after a re-ask."""


class Plan(BaseModel):
    """Steps, and the version of the memory they are about."""

    model_config = ConfigDict(frozen=True)

    session: str
    version: int
    """Ledger version that was looked at."""
    knobs: PlanKnobs
    steps: tuple[Step, ...]
    """Those without a model first, then by kind and concept."""
    note: str = ""
    """What could not be looked for, for people."""

    @property
    def calls(self) -> tuple[int, int]:
        """Fewest and most calls: one for each step that asks, two where each has to be asked again."""
        asking = sum(step.asks for step in self.steps)
        return asking, 2 * asking


def plan(ledger: Ledger, *, session: str, now: datetime, knobs: PlanKnobs, note: str = "") -> Plan:
    """What could be done at the memory's present version; changes nothing. ``Memory.plan`` is the door to it.

    Retire: see ``merging.retirement``; a person's concepts only come up for review. Merge: parameterised concepts of one
    kind and name (no model), and near duplicates of one kind, as connected components cut to ``cluster_most``. Compress:
    concepts used in enough accepted runs with more than one cue or note. What retires is neither merged nor compressed.
    Costs one read of the memory and n * n / 2 products of vectors."""
    with ledger.reading() as connection:
        version = current_version(connection)
        concepts = [item for item in stored(connection, at=version).values() if item.status != "invalid"]
        vectors = _first_views(connection, [concept_number(item.id) for item in concepts], at=version)
        done = {str(row[0]) for row in connection.execute("SELECT id FROM operations WHERE kind = ?", (STEP_DONE,))}
    steps = [step for step in _steps(concepts, vectors, now, knobs) if step.id not in done]
    return Plan(session=session, version=version, knobs=knobs, steps=tuple(steps), note=note)


def _steps(
    concepts: Sequence[StoredConcept], vectors: Mapping[int, Vectors], now: datetime, knobs: PlanKnobs
) -> list[Step]:
    found: list[Step] = []
    rest: list[StoredConcept] = []
    for item in concepts:
        why = retirement(
            item,
            now=now,
            half_life=knobs.half_life,
            below=knobs.retire_below,
            recalled=knobs.retire_recalled,
            probation_days=knobs.probation_days,
        )
        if why is None:
            rest.append(item)
        else:
            found.append(make_step("retire", [item], why, asks=False))
    for group in _of_one_name(rest):
        found.append(make_step("merge", group, f"all are called {group[0].concept.name!r}", asks=False))
    taken = {pinned.id for step in found for pinned in step.concepts}
    asking = []
    for group, least in _near(
        [item for item in rest if item.id not in taken], vectors, above=knobs.merge_above, most=knobs.cluster_most
    ):
        asking.append(make_step("merge", group, f"near duplicates: cosine {least:.3f} or more", asks=True))
        taken.update(item.id for item in group)
    for item in rest:
        cues, notes = len(item.concept.cues), len(item.concept.implementation)
        if item.id not in taken and item.helped >= knobs.compress_uses and max(cues, notes) > 1:
            why = f"used in {item.helped} accepted runs, {cues} cues and {notes} notes"
            asking.append(make_step("compress", [item], why, asks=True))
    return [*found, *asking]


def make_step(kind: StepKind, concepts: Sequence[StoredConcept], reason: str, *, asks: bool) -> Step:
    """The step with its id."""
    said = [(item.id, item.concept.content_hash) for item in concepts]
    pinned = tuple(Pinned(id=item.id, version=item.version) for item in concepts)
    return Step(id=step_id(kind, said), kind=kind, concepts=pinned, reason=reason, asks=asks)


def step_id(kind: StepKind, said: Sequence[tuple[str, str]]) -> str:
    """The id of a step about concepts, given as (id, content hash)."""
    text = "\x00".join([kind, *(f"{name} {digest}" for name, digest in said)])
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()


def _of_one_name(concepts: Iterable[StoredConcept]) -> list[list[StoredConcept]]:
    """Groups of two and more with a kind and a name in common, case aside."""
    groups: dict[tuple[str, str], list[StoredConcept]] = {}
    for item in concepts:
        if item.concept.name:
            groups.setdefault((item.concept.kind, item.concept.name.casefold()), []).append(item)
    return [group for group in groups.values() if len(group) > 1]


def _first_views(connection: sqlite3.Connection, numbers: Sequence[int], *, at: int) -> dict[int, Vectors]:
    """The vector of each concept's first view, where there is one."""
    theirs = fingerprint(connection)
    if theirs is None:
        return {}
    rows = vectors_of(connection, theirs[0], numbers, theirs[1].dimension)
    valid = np.flatnonzero((rows.view == 0) & (rows.since <= at) & (rows.until > at))
    return {int(rows.owner[row]): rows.vectors[row] for row in valid}


def _near(
    concepts: Sequence[StoredConcept], vectors: Mapping[int, Vectors], *, above: float, most: int
) -> list[tuple[list[StoredConcept], float]]:
    """Clusters of near duplicates with the lowest cosine that joined them, by their oldest member.

    Pairs are joined from the nearest down, ties by number, unless the cluster would grow past ``most``."""
    found: list[tuple[list[StoredConcept], float]] = []
    for kind in sorted({item.concept.kind for item in concepts}):
        known = [item for item in concepts if item.concept.kind == kind and concept_number(item.id) in vectors]
        if len(known) > 1:
            table = np.stack([vectors[concept_number(item.id)] for item in known])
            for members, least in _joined(near_pairs(table, above=above, partners=2 * most), most=most):
                found.append(([known[place] for place in members], least))
    return sorted(found, key=lambda cluster: concept_number(cluster[0][0].id))


def near_pairs(table: Vectors, *, above: float, partners: int) -> list[tuple[float, int, int]]:
    """(cosine, row, row) of two unit rows at least that near, nearest first, ties by row; of each row with those behind
    it at most ``partners``, the nearest ones. Works block by block, so memory grows with the rows times one block."""
    pairs: list[tuple[float, int, int]] = []
    for start in range(0, len(table), _BLOCK):
        products = table[start : start + _BLOCK] @ table[start:].T
        for place in np.flatnonzero((products >= above - _MARGIN).sum(axis=1) > 1).tolist():
            behind = place + 1
            cosines = np.round(products[place, behind:].astype(np.float64), 6)
            near = np.flatnonzero(cosines >= above)
            nearest = near[np.argsort(-cosines[near], kind="stable")[:partners]]
            pairs += [(float(cosines[at]), start + place, start + behind + int(at)) for at in nearest]
    return sorted(pairs, key=lambda pair: (-pair[0], pair[1], pair[2]))


def _joined(pairs: Sequence[tuple[float, int, int]], *, most: int) -> list[tuple[list[int], float]]:
    """Clusters of two and more, members in order, each with the lowest cosine that joined it."""
    cluster: dict[int, tuple[list[int], float]] = {}
    for cosine, one, two in pairs:
        left = cluster.setdefault(one, ([one], 1.0))
        right = cluster.setdefault(two, ([two], 1.0))
        if left is right or len(left[0]) + len(right[0]) > most:
            continue
        both = (sorted((*left[0], *right[0])), cosine)
        for member in both[0]:
            cluster[member] = both
    found = {members[0]: (members, least) for members, least in cluster.values() if len(members) > 1}
    return [found[first] for first in sorted(found)]
