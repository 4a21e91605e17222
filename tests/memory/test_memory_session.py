"""A memory through its public door: add, search, get, list, history, versions, refusals."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import closing

import pytest

from phronesis.core.concept import Concept
from phronesis.core.errors import ConceptStoreError, ConfigurationError, EmbedderMismatch, SetupError
from phronesis.core.ports import ConceptMemory, Vectors
from phronesis.core.settings import Settings
from phronesis.index.embedders import HashEmbedder
from phronesis.memory.ledger import FILE_NAME
from phronesis.memory.session import Memory, names

PUMPS = Concept(situation="two pumps fill a tank together", suggestion="add the rates, not the times")
DISCOUNT = Concept(
    situation="a discount on a price", suggestion="multiply by one minus the rate", cues=("percent off",)
)
TRAIN = Concept(situation="a train overtakes a car", suggestion="subtract the speeds")


@pytest.fixture
def memory(settings: Settings) -> Iterator[Memory]:
    with Memory.open("my-session", settings=settings) as opened:
        yield opened


def test_the_port_is_implemented(memory: Memory) -> None:
    port: ConceptMemory = memory
    assert port.version() == 0


def test_what_was_added_is_found_and_survives_reopening(settings: Settings) -> None:
    with Memory.open("s", settings=settings) as memory:
        ids = memory.add([PUMPS, DISCOUNT, TRAIN])
        assert ids == ["c1", "c2", "c3"]
        assert memory.search("a tank filled by two pumps")[0].id == "c1"
    with Memory.open("s", settings=settings) as memory:
        hits = memory.search("a tank filled by two pumps", k=2)
        assert hits[0].id == "c1"
        assert len(hits) == 2
        assert hits[0].concept == PUMPS
        assert hits[0].score >= hits[1].score
        assert [stored.id for stored in memory.list()] == ids
        assert memory.stats().count == 3
        assert memory.stats().version == 3


def test_a_cue_finds_the_concept_once(memory: Memory) -> None:
    memory.add([PUMPS, DISCOUNT])
    hits = memory.search("percent off", k=5)
    assert [hit.id for hit in hits] == ["c2", "c1"]
    assert hits[0].score == pytest.approx(1.0)


def test_an_exact_duplicate_keeps_its_id(memory: Memory) -> None:
    first = memory.add([PUMPS])
    again = PUMPS.model_copy(update={"situation": "Two pumps  fill a tank together".strip(), "source": "user"})
    assert memory.add([DISCOUNT, Concept.model_validate(again.model_dump()), DISCOUNT]) == ["c2", *first, "c2"]
    assert memory.stats().count == 2


def test_ties_go_to_the_older_concept(memory: Memory) -> None:
    memory.add([Concept(situation="same words", suggestion=f"do {n}") for n in range(12)])
    assert [hit.id for hit in memory.search("same words", k=11)] == [f"c{n}" for n in range(1, 12)]


def test_add_is_all_or_nothing_and_once_per_operation(memory: Memory) -> None:
    assert memory.add([PUMPS], operation="import-1") == ["c1"]
    assert memory.add([PUMPS, DISCOUNT], operation="import-1") == ["c1"]
    assert memory.version() == 1


def test_an_older_version_is_searched_as_it_was(memory: Memory) -> None:
    memory.add([PUMPS])
    memory.write([TRAIN], operation="w")
    pinned = memory.version()
    memory.add([Concept(situation="a train overtakes a car slowly", suggestion="wait")])
    for operation in ("u1", "u2"):
        memory.record_use(["c2"], accepted=True, operation=operation)
    assert [hit.status for hit in memory.search("train overtakes", k=1)] == ["active"]
    old = memory.search("train overtakes", k=5, version=pinned)
    assert [(hit.id, hit.status) for hit in old] == [("c2", "probation"), ("c1", "active")]
    assert memory.search("train", version=0) == []
    assert [stored.status for stored in memory.list(version=pinned)] == ["active", "probation"]
    with pytest.raises(ConfigurationError, match="no version 99"):
        memory.search("train", version=99)


def test_refusals_name_the_value(memory: Memory, settings: Settings) -> None:
    with pytest.raises(ConfigurationError, match="empty"):
        memory.search("   ")
    assert memory.recall("   ", k=3) == []
    with pytest.raises(ConfigurationError, match="k = 0"):
        memory.search("x", k=0)
    with pytest.raises(ConceptStoreError, match="'c77'"):
        memory.get("c77")
    with pytest.raises(ConceptStoreError, match="'77'"):
        memory.get("77")
    for name in ("", "..", "../x", "a/b", "Upper", ".hidden", "a..b", "x" * 65, "a\n"):
        with pytest.raises(ConfigurationError, match="memory name"):
            Memory.open(name, settings=settings)
    with pytest.raises(ConceptStoreError, match="no memory 'absent'"):
        Memory.open("absent", settings=settings, create=False)
    assert names(settings) == ["my-session"]


def test_a_closed_memory_says_so(settings: Settings) -> None:
    memory = Memory.open("s", settings=settings)
    memory.close()
    memory.close()
    with pytest.raises(ConceptStoreError, match="closed"):
        memory.version()


def test_namespaces_do_not_see_each_other(settings: Settings) -> None:
    with Memory.open("a", settings=settings) as one, Memory.open("b", settings=settings) as two:
        one.add([PUMPS])
        assert two.search("pumps") == []


class Counting(HashEmbedder):
    def __init__(self, broken: bool = False) -> None:
        self.broken = broken

    def embed_documents(self, texts: Sequence[str]) -> Vectors:
        if self.broken:
            raise OSError("model file vanished")
        return super().embed_documents(texts)


class Stranger(HashEmbedder):
    """Another model under the same name."""

    def embed_documents(self, texts: Sequence[str]) -> Vectors:
        return super().embed_documents([text[::-1] for text in texts])


class Other(Stranger):
    id = "other-model@2"


def test_without_an_embedder_recall_is_lexical_and_vectors_come_later(settings: Settings) -> None:
    with Memory.open("s", settings=settings.model_copy(update={"embedder": "none"})) as memory:
        memory.add([PUMPS, DISCOUNT])
        assert memory.embedder is None
        assert memory.degraded == "recall is lexical: no embedder"
        hits = memory.search('filling "tanks" AND (pumps')
        assert [hit.id for hit in hits] == ["c1"]
        assert 0 < hits[0].score <= 1
        assert memory.search("price", version=1) == []
    with Memory.open("s", settings=settings) as memory:
        assert memory.degraded is None
        assert memory.stats().vectors == 0
        assert memory.search("percent off", k=1)[0].score == pytest.approx(1.0)
        assert memory.stats().vectors == 3


def test_a_failing_embedder_loses_no_concept(settings: Settings) -> None:
    embedder = Counting(broken=True)
    with Memory.open("s", settings=settings, embedder=embedder) as memory:
        assert memory.add([PUMPS]) == ["c1"]
        assert memory.search("tank")[0].id == "c1"
        assert memory.degraded is not None
        assert "model file vanished" in memory.degraded
        embedder.broken = False
        assert memory.search("two pumps fill a tank together")[0].score == pytest.approx(1.0)
        assert memory.degraded is None


def test_a_strange_embedder_is_refused(settings: Settings) -> None:
    with Memory.open("s", settings=settings) as memory:
        memory.add([PUMPS])
    with pytest.raises(EmbedderMismatch, match=r"hash-256@1 .* other-model@2") as caught:
        Memory.open("s", settings=settings, embedder=Other())
    assert "PHRONESIS_EMBEDDER" in str(caught.value)
    with Memory.open("s", settings=settings, embedder=Stranger()) as memory:
        with pytest.raises(EmbedderMismatch):
            memory.search("tank")
        with pytest.raises(EmbedderMismatch):
            memory.add([TRAIN])
        assert memory.stats().count == 1


def test_damage_is_named(settings: Settings) -> None:
    with Memory.open("s", settings=settings) as memory:
        path = memory.folder / FILE_NAME
    path.write_bytes(b"not a database at all, but long enough to be looked at" * 50)
    with pytest.raises(ConceptStoreError, match="damaged") as caught:
        Memory.open("s", settings=settings)
    assert str(path) in str(caught.value)
    assert caught.value.mend


def test_another_programs_database_and_a_newer_schema_are_refused(settings: Settings) -> None:
    with Memory.open("s", settings=settings) as memory:
        path = memory.folder / FILE_NAME
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA user_version = 999")
    with pytest.raises(ConceptStoreError, match="schema 999"):
        Memory.open("s", settings=settings)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA application_id = 7")
    with pytest.raises(ConceptStoreError, match="not a phronesis ledger"):
        Memory.open("s", settings=settings)


def test_events_cannot_be_rewritten(settings: Settings) -> None:
    with Memory.open("s", settings=settings) as memory:
        memory.add([PUMPS])
        path = memory.folder / FILE_NAME
    with closing(sqlite3.connect(path)) as connection:
        for statement in ("DELETE FROM events", "UPDATE events SET kind = 'x'"):
            with pytest.raises(sqlite3.IntegrityError, match="append-only"):
                connection.execute(statement)


def test_a_folder_that_cannot_be_made_is_named(settings: Settings) -> None:
    settings.home.mkdir(parents=True, exist_ok=True)
    settings.memory.write_text("a file where the folder should be")
    with pytest.raises(SetupError, match="memory"):
        Memory.open("s", settings=settings)


def test_threads_share_a_memory(memory: Memory) -> None:
    failures: list[BaseException] = []

    def work(worker: int) -> None:
        try:
            for n in range(10):
                memory.add([Concept(situation=f"worker {worker} item {n}", suggestion="x")])
                assert memory.search(f"worker {worker} item {n}", k=1)[0].score == pytest.approx(1.0)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(worker,)) for worker in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert memory.stats().count == 40


def test_opening_adding_and_listing_import_nothing_heavy(settings: Settings) -> None:
    script = (
        "import sys, json, phronesis\n"
        "with phronesis.Memory.open('s') as m:\n"
        "    m.add([phronesis.Concept(situation='a', suggestion='b')]); m.list(); m.search('a')\n"
        "print(json.dumps([n for n in ('chromadb', 'torch', 'sentence_transformers', 'langgraph') if n in sys.modules]))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == []
