"""Proposals: what waits for a person, what it would change, accepted once and by compare-and-swap."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from phronesis.core.concept import Concept, Evidence
from phronesis.core.errors import ConceptStoreError, ConfigurationError, Conflict
from phronesis.core.settings import Settings
from phronesis.memory.session import Memory

PUMPS = Concept(situation="two pumps fill a tank together", suggestion="add the rates")
PUMPS_AGAIN = Concept(situation="two pumps fill a tank together!", suggestion="sum up the rates")
TRAIN = Concept(situation="a train overtakes a car", suggestion="subtract the speeds")
PROOF = Evidence(run="r", task="t", verdict="accepted", verifier="agreement/1", score=0.9)


@pytest.fixture
def memory(settings: Settings) -> Iterator[Memory]:
    with Memory.open("my-session", settings=settings) as opened:
        yield opened


def test_a_proposed_concept_is_not_remembered_until_it_is_accepted(memory: Memory) -> None:
    item = memory.propose("add", concept=PUMPS, reason="seen twice", evidence=PROOF)
    assert (item.number, item.status, item.stale) == (1, "open", "")
    assert [(line.field, line.old, line.new) for line in item.difference] == [
        ("suggestion", "", "add the rates"),
        ("situation", "", "two pumps fill a tank together"),
        ("kind", "", "lesson"),
    ]
    assert memory.list() == [] and memory.search("pumps") == [] and memory.version() == 0
    done = memory.accept(1)
    assert (done.status, done.id, done.outcome) == ("accepted", "c1", "written c1: new")
    assert done.decided is not None
    found = memory.get("c1")
    assert (found.concept, found.status, found.origin, found.evidence) == (PUMPS, "active", "run", (PROOF,))
    assert memory.history("c1")[0].operation == "proposal/1"
    assert memory.search("two pumps fill a tank together", k=1)[0].score == pytest.approx(1.0)
    assert memory.proposals() == []
    assert memory.proposals(None) == [done] == memory.proposals("accepted")


def test_accepting_twice_and_at_once_applies_it_once(settings: Settings) -> None:
    with Memory.open("s", settings=settings) as memory, Memory.open("s", settings=settings) as other:
        memory.propose("add", concept=PUMPS, reason="x")
        outcomes = []
        threads = [threading.Thread(target=lambda m=m: outcomes.append(m.accept(1))) for m in (memory, other)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert [item.outcome for item in outcomes] == ["written c1: new"] * 2
        assert memory.accept(1) == outcomes[0]
        assert memory.stats().count == 1 and memory.version() == 1


def test_duplicates_are_looked_for_again_when_it_is_accepted(memory: Memory) -> None:
    memory.propose("add", concept=PUMPS, reason="x")
    memory.propose("add", concept=PUMPS_AGAIN, reason="x", evidence=PROOF)
    memory.add([PUMPS])
    assert memory.accept(1).outcome == "duplicate c1: c1 says the same word for word"
    near = memory.accept(2)
    assert near.id == "c1" and near.outcome.startswith("evidence c1: cosine")
    assert [event.kind for event in memory.history("c1")] == ["created", "evidence"]
    assert memory.get("c1").evidence == (PROOF,)
    assert memory.stats().count == 1


def test_an_update_shows_old_and_new_and_swaps_them(memory: Memory) -> None:
    memory.add([PUMPS])
    item = memory.propose("update", ids=["c1"], concept=PUMPS_AGAIN, reason="clearer")
    assert item.bases == {"c1": 1}
    assert [(line.id, line.field, line.old, line.new) for line in item.difference] == [
        ("c1", "suggestion", "add the rates", "sum up the rates"),
        ("c1", "situation", "two pumps fill a tank together", "two pumps fill a tank together!"),
    ]
    assert memory.accept(1).outcome == "changed c1"
    assert memory.get("c1").concept == PUMPS_AGAIN
    assert memory.versions("c1")[-1].reason == "clearer"


def test_a_concept_that_changed_since_leaves_the_proposal_open_and_stale(memory: Memory) -> None:
    memory.add([PUMPS, TRAIN])
    memory.propose("update", ids=["c1"], concept=PUMPS_AGAIN, reason="x")
    memory.propose("forget", ids=["c1"], reason="x")
    memory.update("c1", PUMPS.model_copy(update={"cues": ("per hour",)}), reason="first")
    for number in (1, 2):
        with pytest.raises(Conflict, match="c1 is at version 2, not 1"):
            memory.accept(number)
        item = memory.proposal(number)
        assert item.status == "open" and "at version 2, not 1" in item.stale
    assert item.difference[0].old == "add the rates"
    assert memory.reject(1, "overtaken").outcome == "overtaken"
    assert memory.get("c1").version == 2


def test_a_rejected_one_stays_rejected(memory: Memory) -> None:
    memory.propose("add", concept=PUMPS, reason="x")
    assert memory.reject(1, "too narrow").status == "rejected"
    assert memory.reject(1, "again").outcome == "too narrow"
    with pytest.raises(Conflict, match="proposal 1 was rejected"):
        memory.accept(1)
    memory.propose("add", concept=PUMPS, reason="better now")
    memory.accept(2)
    with pytest.raises(Conflict, match="proposal 2 was accepted"):
        memory.reject(2, "late")
    assert memory.stats().count == 1


def test_forgetting_and_merging(memory: Memory) -> None:
    memory.add([PUMPS, PUMPS_AGAIN, TRAIN])
    both = Concept(situation="pumps", suggestion="rates add up")
    item = memory.propose("merge", ids=["c1", "c2"], concept=both, reason="the same")
    assert {line.id for line in item.difference} == {"c1", "c2", ""}
    memory.propose("forget", ids=["c3"], superseded_by="c1", reason="x")
    merged = memory.accept(1)
    assert (merged.id, merged.outcome) == ("c4", "c4 took the place of c1, c2")
    assert [(item.id, item.superseded_by) for item in memory.withdrawn()] == [("c1", "c4"), ("c2", "c4")]
    assert (memory.get("c4").origin, memory.get("c4").concept) == ("merge", both)
    with pytest.raises(Conflict, match="c1 is withdrawn itself"):
        memory.accept(2)
    assert memory.get("c3").status == "active" and memory.proposal(2).status == "open"
    memory.add([TRAIN.model_copy(update={"suggestion": "speeds differ"})])
    memory.propose("merge", ids=["c3", "c5"], concept=TRAIN, reason="keep the first")
    assert memory.accept(3).outcome == "c3 took the place of c5"
    memory.propose("forget", ids=["c3", "c4"], reason="both")
    assert memory.accept(4).outcome == "forgot c3, c4"
    assert memory.list() == []


def test_once_per_operation(memory: Memory) -> None:
    first = memory.propose("add", concept=PUMPS, reason="x", operation="job/1")
    assert memory.propose("add", concept=TRAIN, reason="y", operation="job/1") == first
    assert len(memory.proposals()) == 1


def test_misshapen_proposals_are_refused(memory: Memory) -> None:
    memory.add([PUMPS])
    with pytest.raises(ConfigurationError, match="needs a concept"):
        memory.propose("add", reason="x")
    with pytest.raises(ConfigurationError, match="has no concept"):
        memory.propose("forget", ids=["c1"], concept=PUMPS, reason="x")
    with pytest.raises(ConfigurationError, match="merge is about 2"):
        memory.propose("merge", ids=["c1", "c1"], concept=PUMPS, reason="x")
    with pytest.raises(ConfigurationError, match="'swap' cannot be proposed"):
        memory.propose("swap", concept=PUMPS, reason="x")  # type: ignore[arg-type]  # that is the test
    with pytest.raises(ConceptStoreError, match="'c9'"):
        memory.propose("forget", ids=["c9"], reason="x")
    with pytest.raises(ConceptStoreError, match="no proposal 7"):
        memory.accept(7)
    assert memory.proposals(None) == []


def test_a_run_that_proposes_writes_nothing_and_repeats_return_the_same(settings: Settings) -> None:
    with Memory.open("s", settings=settings) as memory:
        memory.add([PUMPS])
        outcomes = memory.write([TRAIN, PUMPS, PUMPS_AGAIN], operation="run/w", evidence=PROOF, propose=True)
        assert [(item.outcome, item.id) for item in outcomes] == [
            ("proposed", None),
            ("duplicate", "c1"),
            ("evidence", "c1"),
        ]
        assert "proposal 1 waits" in outcomes[0].reason and outcomes[0].suggestion == TRAIN.suggestion
        assert memory.stats().count == 1
    with Memory.open("s", settings=settings) as memory:
        assert memory.write([TRAIN], operation="run/w", propose=True) == outcomes
        assert [item.outcome for item in memory.write([TRAIN], operation="run/2", propose=True)] == ["duplicate"]
        (waiting,) = memory.proposals()
        assert (waiting.concept, waiting.evidence, waiting.operation) == (TRAIN, PROOF, "run/w#0")
        memory.accept(1)
        assert memory.get("c2").concept == TRAIN and memory.get("c2").evidence == (PROOF,)


def test_a_run_that_extends_a_named_concept_proposes_the_update(memory: Memory) -> None:
    routine = Concept(name="rate-sum", kind="routine", situation="rates", suggestion="adds rates")
    memory.add([routine])
    longer = routine.model_copy(update={"cues": ("per hour",)})
    (outcome,) = memory.write([longer], operation="run/w", propose=True)
    assert (outcome.outcome, outcome.id) == ("proposed", "c1")
    assert memory.get("c1").version == 1
    (waiting,) = memory.proposals()
    assert (waiting.action, waiting.bases) == ("update", {"c1": 1})
    memory.accept(1)
    assert memory.get("c1").concept.cues == ("per hour",)


def test_without_an_embedder_proposals_work_and_vectors_come_later(settings: Settings) -> None:
    with Memory.open("s", settings=settings.model_copy(update={"embedder": "none"})) as memory:
        memory.propose("add", concept=PUMPS, reason="x")
        memory.accept(1)
        assert [hit.id for hit in memory.search("pumps")] == ["c1"]
    with Memory.open("s", settings=settings) as memory:
        assert memory.search("two pumps fill a tank together")[0].score == pytest.approx(1.0)
