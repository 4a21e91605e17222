"""What runs do with a memory: write once, evidence for near duplicates, uses and promotion."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from phronesis.core.concept import Concept
from phronesis.core.errors import ConceptStoreError
from phronesis.core.settings import Settings
from phronesis.memory.session import Memory

PUMPS = Concept(situation="two pumps fill a tank together", suggestion="add the rates")
PUMPS_AGAIN = Concept(situation="two pumps fill a tank together!", suggestion="sum up the rates")
TRAIN = Concept(situation="a train overtakes a car", suggestion="subtract the speeds")


@pytest.fixture
def memory(settings: Settings) -> Iterator[Memory]:
    with Memory.open("my-session", settings=settings) as opened:
        yield opened


def test_a_new_concept_is_on_probation(memory: Memory) -> None:
    (outcome,) = memory.write([PUMPS], operation="run/write")
    assert (outcome.outcome, outcome.id, outcome.situation) == ("written", "c1", PUMPS.situation)
    assert memory.get("c1").status == "probation"
    assert memory.search("pumps")[0].status == "probation"


def test_a_repeated_operation_returns_what_was_recorded(settings: Settings) -> None:
    with Memory.open("s", settings=settings) as memory:
        first = memory.write([PUMPS, TRAIN], operation="run/write")
        version = memory.version()
    with Memory.open("s", settings=settings) as memory:
        assert memory.write([PUMPS, TRAIN], operation="run/write") == first
        assert memory.write([], operation="run/write") == first
        assert memory.version() == version


def test_word_for_word_is_a_duplicate_and_nearly_is_evidence(memory: Memory) -> None:
    memory.add([PUMPS])
    assert [outcome.outcome for outcome in memory.write([PUMPS], operation="1")] == ["duplicate"]
    (near,) = memory.write([PUMPS_AGAIN], operation="2")
    assert (near.outcome, near.id) == ("evidence", "c1")
    assert "cosine" in near.reason
    assert memory.stats().count == 1
    assert [event.kind for event in memory.history("c1")] == ["created", "evidence"]
    assert memory.history("c1")[1].payload["concept"]["suggestion"] == "sum up the rates"
    assert memory.history("c1")[1].operation == "2"


def test_another_kind_is_no_evidence(memory: Memory) -> None:
    memory.add([PUMPS])
    pitfall = PUMPS.model_copy(update={"kind": "pitfall", "suggestion": "do not add the times"})
    assert memory.write([pitfall], operation="1")[0].outcome == "written"


def test_recalled_concepts_are_compared_first(memory: Memory) -> None:
    longer = "two pumps fill one large round tank together with a third pump over many hours of the day number"
    memory.add([Concept(situation=f"{longer} 1", suggestion="a"), Concept(situation=f"{longer} 2", suggestion="b")])
    new = Concept(situation=f"{longer} 1", suggestion="c")
    assert memory.write([new], operation="1")[0].id == "c1"
    (outcome,) = memory.write([new], operation="2", recalled=["c2"])
    assert (outcome.outcome, outcome.id) == ("evidence", "c2")
    assert "recalled" in outcome.reason


def test_two_alike_in_one_write_become_one(memory: Memory) -> None:
    outcomes = memory.write([PUMPS, PUMPS_AGAIN, PUMPS], operation="1")
    assert [outcome.outcome for outcome in outcomes] == ["written", "evidence", "duplicate"]
    assert {outcome.id for outcome in outcomes} == {"c1"}


def test_a_write_that_fails_leaves_nothing(memory: Memory) -> None:
    memory.add([PUMPS])

    class Unwritable(Concept):
        @property
        def content_hash(self) -> str:
            raise RuntimeError("no hash")

    with pytest.raises(RuntimeError):
        memory.write([TRAIN, Unwritable(situation="x y z", suggestion="z")], operation="1")
    assert memory.version() == 1
    assert [hit.id for hit in memory.search("train", k=5)] == ["c1"]
    assert memory.write([TRAIN], operation="1")[0].id == "c2"
    assert memory.search(TRAIN.situation, k=1)[0].id == "c2"


def test_uses_count_once_per_operation_and_promote(memory: Memory) -> None:
    memory.write([PUMPS], operation="w")
    memory.record_use(["c1"], accepted=False, operation="a")
    memory.record_use(["c1", "c1"], accepted=True, operation="b")
    memory.record_use(["c1"], accepted=True, operation="b")
    stored = memory.get("c1")
    assert (stored.recalled, stored.helped, stored.harmed, stored.status) == (2, 1, 1, "probation")
    version = memory.version()
    memory.record_use(["c1"], accepted=True, operation="c")
    stored = memory.get("c1")
    assert (stored.helped, stored.status, stored.version) == (2, "active", 2)
    assert memory.version() == version + 1
    assert memory.history("c1")[-1].kind == "promoted"
    assert memory.search(PUMPS.situation, k=3)[0].id == "c1"


def test_an_unknown_id_counts_nothing(memory: Memory) -> None:
    memory.add([PUMPS])
    with pytest.raises(ConceptStoreError, match="'c9'"):
        memory.record_use(["c1", "c9"], accepted=True, operation="a")
    assert memory.get("c1").recalled == 0
    memory.record_use(["c1"], accepted=True, operation="a")
    assert memory.get("c1").recalled == 1


def test_without_an_embedder_only_word_for_word_is_seen(settings: Settings) -> None:
    with Memory.open("s", settings=settings.model_copy(update={"embedder": "none"})) as memory:
        outcomes = memory.write([PUMPS, PUMPS_AGAIN, PUMPS], operation="1")
        assert [outcome.outcome for outcome in outcomes] == ["written", "written", "duplicate"]
