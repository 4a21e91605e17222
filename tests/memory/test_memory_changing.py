"""Changes of single concepts: update by compare-and-swap, the version chain, forgetting and coming back, bad input."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator

import pytest

from phronesis.core.concept import Concept, Hit, StoredConcept
from phronesis.core.errors import ConceptStoreError, ConfigurationError, Conflict
from phronesis.core.settings import Settings
from phronesis.memory.session import Memory

PUMPS = Concept(situation="two pumps fill a tank together", suggestion="add the rates, not the times")
BETTER = Concept(situation="several pumps fill one basin", suggestion="add the rates of all", cues=("per hour",))
TRAIN = Concept(situation="a train overtakes a car", suggestion="subtract the speeds")


@pytest.fixture
def memory(settings: Settings) -> Iterator[Memory]:
    with Memory.open("my-session", settings=settings) as opened:
        yield opened


def test_an_update_is_found_by_its_new_text_and_pinned_versions_keep_the_old(memory: Memory) -> None:
    memory.add([PUMPS, TRAIN])
    pinned = memory.version()
    changed = memory.update("c1", BETTER, reason="more general")
    assert (changed.id, changed.version, changed.concept, changed.status) == ("c1", 2, BETTER, "active")
    assert memory.search("per hour", k=1)[0].concept == BETTER
    assert memory.search("two pumps fill a tank together", k=2, version=pinned)[0].concept == PUMPS
    assert memory.get("c1") == changed


def test_the_version_chain_says_what_held_when_and_why(memory: Memory) -> None:
    memory.add([PUMPS, TRAIN])
    memory.update("c1", BETTER, reason="more general")
    memory.forget(["c1"], reason="misled a run", superseded_by="c2")
    memory.revive("c1", "it did not")
    chain = memory.versions("c1")
    assert [(item.version, item.since, item.until) for item in chain] == [(1, 1, 3), (2, 3, 4), (3, 4, 5), (4, 5, None)]
    assert [item.change for item in chain] == ["created", "updated", "forgotten", "revived"]
    assert [item.reason for item in chain] == ["", "more general", "misled a run", "it did not"]
    assert [item.concept for item in chain] == [PUMPS, BETTER, BETTER, BETTER]
    assert [item.status for item in chain] == ["active", "active", "invalid", "active"]
    assert [item.superseded_by for item in chain] == [None, None, "c2", None]
    with pytest.raises(ConceptStoreError, match="'c9'"):
        memory.versions("c9")


def test_whoever_was_slower_is_told_the_version_and_changes_nothing(memory: Memory) -> None:
    memory.add([PUMPS])
    memory.update("c1", BETTER, reason="first", expect_version=1)
    with pytest.raises(Conflict, match="at version 2, not 1") as caught:
        memory.update("c1", TRAIN, reason="second", expect_version=1)
    assert caught.value.details["version"] == 2
    assert "memory show c1" in str(caught.value.mend)
    assert memory.get("c1").concept == BETTER
    assert memory.update("c1", TRAIN, reason="second", expect_version=2).version == 3


def test_two_concepts_never_say_the_same(memory: Memory) -> None:
    memory.add([PUMPS, TRAIN])
    with pytest.raises(Conflict, match="c2 says the same word for word"):
        memory.update("c1", TRAIN.model_copy(update={"suggestion": "Subtract the Speeds"}), reason="x")
    memory.forget(["c2"], reason="twice")
    memory.update("c1", TRAIN, reason="now it is free")
    with pytest.raises(Conflict, match="c1 says the same"):
        memory.revive("c2", "back")


def test_saying_the_same_again_makes_no_version(memory: Memory) -> None:
    memory.add([PUMPS])
    assert memory.update("c1", PUMPS, reason="again").version == 1
    assert memory.version() == 1


def test_a_repeated_operation_returns_what_it_made(memory: Memory) -> None:
    memory.add([PUMPS, TRAIN])
    first = memory.update("c1", BETTER, reason="x", operation="job/1")
    later = PUMPS.model_copy(update={"suggestion": "something else"})
    memory.update("c1", later, reason="y")
    assert memory.update("c1", BETTER, reason="x", operation="job/1") == first
    assert memory.get("c1").concept == later
    assert memory.forget(["c2"], reason="x", operation="job/2") == ["c2"]
    memory.revive("c2", "y")
    assert memory.forget(["c2"], reason="x", operation="job/2") == ["c2"]
    assert memory.get("c2").status == "active"


def test_a_forgotten_concept_is_gone_for_all_but_pinned_readers_and_comes_back(settings: Settings) -> None:
    with Memory.open("s", settings=settings) as writer, Memory.open("s", settings=settings) as reader:
        writer.add([PUMPS, TRAIN])
        writer.write([BETTER], operation="run")
        assert reader.search("pumps tank", k=1)[0].id == "c1"
        pinned = reader.version()
        assert writer.forget(["c1", "c3"], reason="wrong") == ["c1", "c3"]
        assert [hit.id for hit in reader.search("pumps tank", k=3)] == ["c2"]
        assert [hit.id for hit in reader.recall("pumps tank", k=3)] == ["c2"]
        assert [item.id for item in reader.list()] == ["c2"]
        assert reader.search("pumps tank", k=3, version=pinned)[0].id == "c1"
        assert [(item.id, item.reason, item.change) for item in reader.withdrawn()] == [
            ("c1", "wrong", "forgotten"),
            ("c3", "wrong", "forgotten"),
        ]
        vectors = writer.stats().vectors
        assert writer.revive("c1", "right after all").status == "active"
        assert writer.revive("c3", "right after all").status == "probation"
        assert reader.search("two pumps fill a tank together", k=1)[0].score == pytest.approx(1.0)
        assert reader.search("per hour", k=1)[0].id == "c3"
        assert writer.stats().vectors == vectors + 3, "the vectors were copied, not made"
        assert writer.revive("c1", "again").version == 3


def test_forgotten_concepts_leave_lexical_search_too(settings: Settings) -> None:
    plain = settings.model_copy(update={"embedder": "none"})
    with Memory.open("s", settings=plain) as memory:
        memory.add([PUMPS, TRAIN])
        memory.forget(["c1"], reason="wrong")
        assert memory.search("pumps tank") == []
        memory.revive("c1", "right")
        assert [hit.id for hit in memory.search("pumps tank")] == ["c1"]


def test_a_refused_change_changes_nothing(memory: Memory) -> None:
    memory.add([PUMPS, TRAIN])
    with pytest.raises(ConceptStoreError, match="'c9'"):
        memory.forget(["c1", "c9"], reason="x")
    with pytest.raises(Conflict, match="own place"):
        memory.forget(["c1"], reason="x", superseded_by="c1")
    memory.forget(["c2"], reason="x")
    with pytest.raises(Conflict, match="c2 is withdrawn"):
        memory.forget(["c1"], reason="x", superseded_by="c2")
    with pytest.raises(Conflict, match="c2 is withdrawn"):
        memory.update("c2", BETTER, reason="x")
    with pytest.raises(ConfigurationError, match="reason is empty"):
        memory.forget(["c1"], reason="  ")
    with pytest.raises(ConfigurationError, match="no concept is named"):
        memory.forget([], reason="x")
    with pytest.raises(ConceptStoreError, match="'17'"):
        memory.update("17", BETTER, reason="x")
    assert memory.get("c1").version == 1


SWAP = """
import phronesis, sys
with phronesis.Memory.open("s") as memory:
    print("ready", flush=True)
    sys.stdin.readline()
    done = 0
    while done < 20:
        found = memory.get("c1")
        count = int(found.concept.suggestion.split()[-1]) + 1
        new = phronesis.Concept(situation="a counter", suggestion=f"count {count}")
        try:
            memory.update("c1", new, reason="one more", expect_version=found.version)
        except phronesis.core.errors.Conflict:
            continue
        done += 1
"""


def test_processes_that_compare_and_swap_lose_no_update(settings: Settings) -> None:
    with Memory.open("s", settings=settings) as memory:
        memory.add([Concept(situation="a counter", suggestion="count 0")])
        script = "import phronesis.core.errors\n" + SWAP
        children = [
            subprocess.Popen([sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            for _ in range(3)
        ]
        for child in children:
            assert child.stdout is not None and child.stdout.readline() == "ready\n"
        for child in children:
            assert child.stdin is not None
            child.stdin.write("go\n")
            child.stdin.flush()
        for child in children:
            child.communicate()
            assert child.returncode == 0
        assert memory.get("c1").concept.suggestion == "count 60"
        assert len(memory.versions("c1")) == 61
        assert memory.search("count 60 a counter", k=1)[0].concept.suggestion == "count 60"


def test_trust_follows_from_status_and_origin(memory: Memory) -> None:
    memory.add([PUMPS])
    memory.add([TRAIN], origin="import")
    memory.write([BETTER], operation="run")
    assert [item.trust for item in memory.list()] == ["given", "imported", "trial"]
    for operation in ("1", "2"):
        memory.record_use(["c3"], accepted=True, operation=operation)
    assert memory.get("c3").trust == "proven"
    memory.forget(["c1"], reason="x")
    assert memory.get("c1").trust == "withdrawn"
    hit = Hit(id="c1", score=1.0, concept=PUMPS, status="probation", origin="user")
    assert hit.trust == "trial"
    assert "trust" not in json.loads(hit.model_dump_json())


@pytest.mark.parametrize("text", ["", "   ", "\t\n\x00", "\u202e\u2066", "\u2028"])
def test_an_empty_concept_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"empty|at least 1 character"):
        Concept(suggestion=text)


def test_ten_megabytes_are_refused_by_every_door(memory: Memory) -> None:
    huge = Concept(situation="x", suggestion="long words " * 1_000_000)
    memory.add([PUMPS])
    doors = (
        lambda: memory.add([huge]),
        lambda: memory.write([huge], operation="run"),
        lambda: memory.update("c1", huge, reason="x"),
        lambda: memory.propose("add", concept=huge, reason="x"),
    )
    for door in doors:
        with pytest.raises(ConfigurationError, match=r"takes 11,000,\d+ bytes, 65,536 are allowed"):
            door()
    assert memory.version() == 1


def test_control_and_reordering_characters_do_not_get_in(memory: Memory) -> None:
    odd = Concept(situation="a\x00b\x1b[31m\u202ec\u2066", suggestion="one\r\ntwo\u2028three\x07")
    memory.add([odd])
    found = memory.get("c1").concept
    assert found.suggestion == "one two three"
    assert found.situation == "a b [31mc"
    assert memory.update("c1", Concept(suggestion="\u202dfine\x7f"), reason="x").concept.suggestion == "fine"


SCRIPTS = {
    "arabic": "عندما تملأ مضختان خزانًا",
    "devanagari": "जब दो पंप एक टंकी भरते हैं",
    "chinese": "当两个水泵一起注水时",
    "japanese": "二つのポンプがタンクを満たすとき",
    "korean": "두 펌프가 탱크를 채울 때",
    "greek": "όταν δύο αντλίες γεμίζουν",
    "emoji": "family 👩‍👩‍👧‍👦 and flag 🏴‍☠️",
    "combining": "cafe\u0301 n\u0303",
}


@pytest.mark.parametrize("embedder", ["hash", "none"])
def test_many_scripts_round_trip_and_are_found(settings: Settings, embedder: str) -> None:
    chosen = settings.model_copy(update={"embedder": embedder})
    with Memory.open("s", settings=chosen) as memory:
        ids = dict(
            zip(
                SCRIPTS,
                memory.add([Concept(situation=t, suggestion=f"do {n}") for n, t in SCRIPTS.items()]),
                strict=True,
            )
        )
    with Memory.open("s", settings=chosen) as memory:
        for name, text in SCRIPTS.items():
            stored: StoredConcept = memory.get(ids[name])
            assert stored.concept.situation == text
            assert memory.search(text, k=1)[0].id == ids[name], name
            changed = memory.update(ids[name], stored.concept.model_copy(update={"suggestion": text}), reason="x")
            assert changed.concept.suggestion == text
