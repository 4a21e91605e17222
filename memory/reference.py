"""The reference store: the same promises in dictionaries and a loop, short enough to be seen to be right.

It is for tests: what it keeps is gone with the process. Where ``Memory`` answers differently, one of the two is wrong.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from phronesis.core.concept import Concept, ConceptStatus, Evidence, Hit, Origin, StoredConcept
from phronesis.core.errors import ConceptStoreError, ConfigurationError, Conflict
from phronesis.core.ports import Embedder, Vectors
from phronesis.core.result import MemoryWrite
from phronesis.index.embedders import embed
from phronesis.index.fingerprint import Fingerprint
from phronesis.index.lexical import match_expression
from phronesis.memory.ledger import utc_now
from phronesis.memory.reading import LedgerEvent
from phronesis.memory.writing import NEAR_DUPLICATE, PROMOTED_AFTER, check_sizes

# ``list`` is a method, so the builtin is named here.
Ids = list[str]
Hits = list[Hit]
Writes = list[MemoryWrite]
History = list[LedgerEvent]
StoredConcepts = list[StoredConcept]


@dataclass
class Kept:
    """What outlives a store that is closed."""

    lock: threading.RLock = field(default_factory=threading.RLock)
    events: History = field(default_factory=list)
    chains: dict[str, list[tuple[int, StoredConcept]]] = field(default_factory=dict)
    """By id: (first version of the store that has it, the concept without statistics), oldest first."""
    uses: dict[str, dict[str, tuple[bool, str]]] = field(default_factory=dict)
    """By id and operation: whether the run was accepted, and when."""
    evidence: dict[str, dict[str, Evidence]] = field(default_factory=dict)
    outcomes: dict[tuple[str, str], Any] = field(default_factory=dict)
    """What operations came to, by kind and id."""
    fingerprint: Fingerprint | None = None


class ReferenceStore:
    """A concept store in memory; ``ReferenceStores`` opens it by name."""

    def __init__(self, kept: Kept, embedder: Embedder | None) -> None:
        self.degraded: str | None = None if embedder else "recall is lexical: no embedder"
        self._kept: Kept | None = kept
        self._embedder = embedder
        self._own = None if embedder is None else Fingerprint.of(embedder)
        if self._own is not None and kept.fingerprint is not None and not self._own.matches(kept.fingerprint):
            raise kept.fingerprint.refuse(self._own.short, where="the reference store")

    def close(self) -> None:
        self._kept = None

    def version(self) -> int:
        return len(self._open().events)

    def add(
        self,
        concepts: Sequence[Concept],
        *,
        operation: str | None = None,
        status: ConceptStatus = "active",
        origin: Origin = "user",
    ) -> Ids:
        check_sizes(concepts)

        def work() -> Ids:
            return [
                self._same(concept) or self._create(concept, status, origin, operation or "") for concept in concepts
            ]

        found: Ids = self._once("add", operation, work)
        return found

    def write(
        self,
        concepts: Sequence[Concept],
        *,
        operation: str,
        recalled: Sequence[str] = (),
        evidence: Evidence | None = None,
    ) -> Writes:
        check_sizes(concepts)

        def one(concept: Concept) -> MemoryWrite:
            said = {"suggestion": concept.suggestion, "situation": concept.situation}
            if same := self._same(concept):
                return MemoryWrite(outcome="duplicate", reason="word for word", id=same, **said)
            if near := self._near(concept, recalled):
                self._event("evidence", near, operation)
                return MemoryWrite(outcome="evidence", reason="nearly the same", id=near, **said)
            return MemoryWrite(
                outcome="written", reason="new", id=self._create(concept, "probation", "run", operation), **said
            )

        def work() -> Writes:
            found = [one(concept) for concept in concepts]
            for item in found if evidence is not None else ():
                self._open().evidence.setdefault(item.id or "", {}).setdefault(operation, evidence)  # type: ignore[arg-type]
            return found

        outcomes: Writes = self._once("write", operation, work)
        return outcomes

    def record_use(self, ids: Sequence[str], *, accepted: bool, operation: str) -> None:
        def work() -> None:
            for now in [self._now(id) for id in dict.fromkeys(ids)]:
                uses = self._open().uses.setdefault(now.id, {})
                uses[operation] = (accepted, utc_now().isoformat())
                if now.status == "probation" and sum(helped for helped, _ in uses.values()) >= PROMOTED_AFTER:
                    self._change(now, "promoted", operation, status="active")

        self._once("use", operation, work)

    def update(
        self, id: str, concept: Concept, *, reason: str, expect_version: int | None = None, operation: str | None = None
    ) -> StoredConcept:
        check_sizes([concept])

        def work() -> StoredConcept:
            now = self._now(id)
            if now.status == "invalid" or expect_version not in (None, now.version):
                raise Conflict(f"{id} is at version {now.version} and {now.status}")
            if self._same(concept) not in (None, id):
                raise Conflict(f"{self._same(concept)} says the same word for word")
            return now if concept == now.concept else self._change(now, "updated", operation or "", concept=concept)

        return self._counted(self._once("update", operation, work))

    def forget(
        self, ids: Sequence[str], *, reason: str, superseded_by: str | None = None, operation: str | None = None
    ) -> Ids:
        def work() -> Ids:
            if superseded_by is not None and (superseded_by in ids or self._now(superseded_by).status == "invalid"):
                raise Conflict(f"{superseded_by} cannot take their place")
            valid = [now for id in dict.fromkeys(ids) if (now := self._now(id)).status != "invalid"]
            for now in valid:
                self._change(now, "forgotten", operation or "", status="invalid", superseded_by=superseded_by)
            return [now.id for now in valid]

        gone: Ids = self._once("forget", operation, work)
        return gone

    def revive(self, id: str, reason: str) -> StoredConcept:
        with self._open().lock:
            now = self._now(id)
            if now.status == "invalid":
                if self._same(now.concept):
                    raise Conflict(f"{self._same(now.concept)} says the same word for word")
                before = [item.status for _, item in self._open().chains[id] if item.status != "invalid"][-1]
                now = self._change(now, "revived", "", status=before)
            return self._counted(now)

    def get(self, id: str) -> StoredConcept:
        with self._open().lock:
            return self._counted(self._now(id))

    def history(self, id: str) -> History:
        name = self.get(id).id
        return [event for event in self._open().events if event.id == name]

    def list(self, *, version: int | None = None) -> StoredConcepts:
        with self._open().lock:
            at = self.version() if version is None else version
            chains = self._open().chains.values()
            found = [[item for since, item in chain if since <= at][-1:] for chain in chains]
            return [self._counted(item) for items in found for item in items if item.status != "invalid"]

    def search(self, query: str, k: int = 5, *, version: int | None = None) -> Hits:
        if not query.strip():
            raise ConfigurationError("the query is empty")
        if k < 1:
            raise ConfigurationError(f"k = {k} is below 1")
        with self._open().lock:
            if version is not None and not 0 <= version <= self.version():
                raise ConfigurationError(f"there is no version {version}")
            concepts = self.list(version=version)
            scores = [self._score(query, item.concept) for item in concepts]
            best = sorted(range(len(concepts)), key=lambda place: -scores[place])[:k]  # stable: ties go to the oldest
            found = [(concepts[place], scores[place]) for place in best if not self.degraded or scores[place] > 0]
            return [
                Hit(
                    id=item.id,
                    score=score,
                    concept=item.concept,
                    status=item.status,
                    origin=item.origin,
                    helped=item.helped,
                )
                for item, score in found
            ]

    def recall(self, query: str, *, k: int, version: int | None = None) -> Hits:
        return self.search(query, k, version=version) if query.strip() and k > 0 else []

    def _open(self) -> Kept:
        if self._kept is None:
            raise ConceptStoreError("the reference store is closed")
        return self._kept

    def _once(self, kind: str, operation: str | None, work: Callable[[], Any]) -> Any:
        """What the work returns, or returned when the operation was done before."""
        with self._open().lock:
            if operation is None:
                return work()
            outcomes = self._open().outcomes
            if (kind, operation) not in outcomes:
                outcomes[kind, operation] = work()
            return outcomes[kind, operation]

    def _now(self, id: str) -> StoredConcept:
        if id not in self._open().chains:
            raise ConceptStoreError(f"there is no concept {id!r}")
        return self._open().chains[id][-1][1]

    def _counted(self, item: StoredConcept) -> StoredConcept:
        uses = self._open().uses.get(item.id, {})
        helped = sum(accepted for accepted, _ in uses.values())
        counts = {"recalled": len(uses), "helped": helped, "harmed": len(uses) - helped}
        last = max((time for _, time in uses.values()), default=None)
        proofs = tuple(self._open().evidence.get(item.id, {}).values())
        return item.model_copy(update={**counts, "last_used": last, "evidence": proofs})

    def _same(self, concept: Concept) -> str | None:
        return next((item.id for item in self.list() if item.concept.content_hash == concept.content_hash), None)

    def _create(self, concept: Concept, status: ConceptStatus, origin: Origin, operation: str) -> str:
        kept = self._open()
        kept.fingerprint = kept.fingerprint or self._own
        id = f"c{len(kept.chains) + 1}"
        since = self._event("created", id, operation)
        created = kept.events[-1].time
        made = StoredConcept(id=id, version=1, concept=concept, status=status, created=created, origin=origin)
        kept.chains[id] = [(since, made)]
        return id

    def _change(self, now: StoredConcept, kind: str, operation: str, **fields: Any) -> StoredConcept:
        since = self._event(kind, now.id, operation)
        made = now.model_copy(update={"version": now.version + 1, "superseded_by": None, **fields})
        self._open().chains[now.id].append((since, made))
        return made

    def _event(self, kind: str, id: str, operation: str) -> int:
        events = self._open().events
        time = utc_now().isoformat(timespec="milliseconds")
        event = LedgerEvent(version=len(events) + 1, kind=kind, id=id, operation=operation, time=time, payload={})
        events.append(event)
        return event.version

    def _near(self, concept: Concept, recalled: Sequence[str]) -> str | None:
        """The nearest concept of its kind that says nearly the same: a recalled one, else any."""
        alike = [
            (self._alike(item.concept, concept), item) for item in self.list() if item.concept.kind == concept.kind
        ]
        near = sorted((pair for pair in alike if pair[0] >= NEAR_DUPLICATE), key=lambda pair: -pair[0])
        ranked = [item.id for _, item in near if item.id in recalled] + [item.id for _, item in near]
        return ranked[0] if ranked else None

    def _alike(self, one: Concept, other: Concept) -> float:
        """Cosine of the first views; -1 without vectors."""
        rows = self._vectors([one.views[0], other.views[0]])
        return -1.0 if rows is None else _cosine(rows[0], rows[1])

    def _score(self, query: str, concept: Concept) -> float:
        """Cosine of query and best view; without vectors, the share of the query's words that the concept has."""
        rows = self._vectors([query, *concept.views])
        if rows is not None:
            return max(_cosine(row, rows[0]) for row in rows[1:])
        asked = set(match_expression(query).split(" OR "))
        said = " ".join((concept.name, concept.suggestion, *concept.views))
        return len((asked & set(match_expression(said).split(" OR "))) - {""}) / (1 + len(asked))

    def _vectors(self, texts: Sequence[str]) -> Vectors | None:
        """One row per text, queries and documents alike; None when there is no embedder or it fails."""
        if self._embedder is None:
            return None
        try:
            rows = embed(self._embedder, texts)
        except ConceptStoreError as error:
            self.degraded = f"recall is lexical: {error.message}"
            return None
        self.degraded = None
        return rows


def _cosine(one: Vectors, other: Vectors) -> float:
    return float(np.round(one.astype(np.float64) @ other.astype(np.float64), 6))


class ReferenceStores:
    """Opens reference stores by name; what one keeps is there when it is opened again."""

    def __init__(self) -> None:
        self._kept: dict[str, Kept] = {}

    def __call__(self, name: str, *, embedder: Embedder | None) -> ReferenceStore:
        return ReferenceStore(self._kept.setdefault(name, Kept()), embedder)
