"""Random operations against Memory and the reference store: they answer alike, always."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings as profile
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from ties import assert_same_but_for_ties

from phronesis.core.concept import Concept, Evidence
from phronesis.core.errors import PhronesisError
from phronesis.core.settings import Settings, load_settings
from phronesis.index.embedders import HashEmbedder
from phronesis.memory.conformance import ConceptStore
from phronesis.memory.reference import Kept, ReferenceStore
from phronesis.memory.session import Memory

SITUATIONS = (
    "two pumps fill a tank together",
    "two pumps fill a tank together!",  # the same words: a near duplicate of the one before
    "a train overtakes a car",
    "a discount on a price",
    "两个水泵一起注满水箱",
)
CUES = ((), ("percent off",), ("a train", "pumps"))
CONCEPTS = st.builds(
    lambda situation, suggestion, kind, cues: Concept(
        situation=situation, suggestion=suggestion, kind="pitfall" if kind else "lesson", cues=cues
    ),
    st.sampled_from(SITUATIONS),
    st.sampled_from(["do this", "do that"]),
    st.booleans(),
    st.sampled_from(CUES),
)
IDS = st.integers(1, 12).map(lambda number: f"c{number}")
OPERATIONS = st.integers(0, 15).map(lambda number: f"operation {number}")
QUERIES = st.sampled_from([*SITUATIONS, "percent off", "pumps", "nothing of the kind"])
PROOF = Evidence(run="r", task="t", verdict="accepted", verifier="agreement/1")


def told(answer: Any) -> Any:
    """An answer as both stores give it: without times and words of their own."""
    if isinstance(answer, PhronesisError):
        return type(answer).__name__
    if isinstance(answer, list):
        return [told(item) for item in answer]
    if hasattr(answer, "model_dump"):
        own = {"created", "last_used", "reason", "why", "suggestion", "name"}
        data = answer.model_dump(exclude=own - ({"suggestion", "name"} if hasattr(answer, "content_hash") else set()))
        return data | {"concept": answer.concept} if hasattr(answer, "concept") else data
    return answer


class Alike(RuleBasedStateMachine):
    """Every rule asks both and compares what they say, refusals by type."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.settings = load_settings().model_copy(update={"home": Path(self.folder.name)})
        self.kept = Kept()
        self.stores: tuple[ConceptStore, ...] = ()

    @initialize()
    def open(self) -> None:
        self.memory = Memory.open("s", settings=self.settings)
        self.stores = (self.memory, ReferenceStore(self.kept, HashEmbedder()))

    def teardown(self) -> None:
        for store in self.stores:
            store.close()
        self.folder.cleanup()

    def answers(self, call: Callable[[ConceptStore], Any]) -> list[Any]:
        found = []
        for store in self.stores:
            try:
                found.append(told(call(store)))
            except PhronesisError as error:
                found.append(told(error))
        return found

    def both(self, call: Callable[[ConceptStore], Any]) -> None:
        found, wanted = self.answers(call)
        assert found == wanted

    def same_hits(self, found: Any, wanted: Any) -> None:
        assert found == wanted

    @rule(concepts=st.lists(CONCEPTS, max_size=3), operation=st.none() | OPERATIONS, trial=st.booleans())
    def add(self, concepts: Sequence[Concept], operation: str | None, trial: bool) -> None:
        self.both(lambda store: store.add(concepts, operation=operation, status="probation" if trial else "active"))

    @rule(concepts=st.lists(CONCEPTS, max_size=3), operation=OPERATIONS, recalled=st.lists(IDS, max_size=2))
    def write(self, concepts: Sequence[Concept], operation: str, recalled: Sequence[str]) -> None:
        self.both(lambda store: store.write(concepts, operation=operation, recalled=recalled, evidence=PROOF))

    @rule(ids=st.lists(IDS, min_size=1, max_size=3), accepted=st.booleans(), operation=OPERATIONS)
    def use(self, ids: Sequence[str], accepted: bool, operation: str) -> None:
        self.both(lambda store: store.record_use(ids, accepted=accepted, operation=operation))

    @rule(id=IDS, concept=CONCEPTS, expected=st.none() | st.integers(1, 4), operation=st.none() | OPERATIONS)
    def update(self, id: str, concept: Concept, expected: int | None, operation: str | None) -> None:
        # An operation is of one concept: what it means for another is a test of its own, below.
        named = operation and f"{operation} of {id}"
        self.both(
            lambda store: told(store.update(id, concept, reason="x", expect_version=expected, operation=named))[
                "version"
            ]
        )

    @rule(ids=st.lists(IDS, min_size=1, max_size=2), heir=st.none() | IDS, operation=st.none() | OPERATIONS)
    def forget(self, ids: Sequence[str], heir: str | None, operation: str | None) -> None:
        self.both(lambda store: store.forget(ids, reason="x", superseded_by=heir, operation=operation))

    @rule(id=IDS)
    def revive(self, id: str) -> None:
        self.both(lambda store: store.revive(id, "x"))

    @rule(query=QUERIES, k=st.integers(0, 8), back=st.none() | st.integers(-1, 30))
    def search(self, query: str, k: int, back: int | None) -> None:
        """Of now, or of a version that many changes ago."""
        version = None if back is None else self.memory.version() - back
        self.same_hits(*self.answers(lambda store: store.search(query, k, version=version)))

    @rule(id=IDS)
    def look(self, id: str) -> None:
        self.both(lambda store: store.get(id))
        self.both(lambda store: [(event.version, event.kind) for event in store.history(id)])

    @rule(back=st.integers(0, 30))
    def look_back(self, back: int) -> None:
        version = max(0, self.memory.version() - back)
        self.both(lambda store: list(store.list(version=version)))

    @rule()
    def reopen(self) -> None:
        for store in self.stores:
            store.close()
        self.open()

    @invariant()
    @precondition(lambda self: bool(self.stores))
    def same_state(self) -> None:
        self.both(lambda store: store.version())
        self.both(lambda store: list(store.list()))


class AlikeThroughChroma(Alike):
    """The same with the Chroma index brought up to date now and then. Of several that tie for the last place it may know
    another one than the oldest."""

    def same_hits(self, found: Any, wanted: Any) -> None:
        if found and wanted and isinstance(wanted, list):
            pairs = [[(hit["id"], hit["score"]) for hit in hits] for hits in (found, wanted)]
            assert_same_but_for_ties(*pairs)
        else:
            assert found == wanted

    @rule()
    def reindex(self) -> None:
        self.memory.reindex()
        assert self.memory.stats().index in ("ready", "not opened")


class Longer(Alike):
    """For the soak."""


TestExact = Alike.TestCase
TestExact.settings = profile(max_examples=40, stateful_step_count=30, deadline=None)
TestThroughChroma = AlikeThroughChroma.TestCase
TestThroughChroma.settings = profile(max_examples=10, stateful_step_count=30, deadline=None)
TestLonger = pytest.mark.soak(Longer.TestCase)
TestLonger.settings = profile(max_examples=1000, stateful_step_count=50, deadline=None)


def test_an_operation_of_another_concept_is_no_bare_key_error(settings: Settings) -> None:
    first, second = (Concept(situation=text, suggestion="x") for text in SITUATIONS[2:4])
    with Memory.open("s", settings=settings) as memory:
        memory.add([first])
        memory.update("c1", first, reason="x", operation="operation")
        with pytest.raises(PhronesisError):
            memory.update("c2", second, reason="x", operation="operation")
