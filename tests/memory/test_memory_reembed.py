"""Another embedder: refused, then taken over side by side, whatever happens in the middle."""

from __future__ import annotations

import hashlib
import math
import subprocess
import sys
import threading
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from ties import assert_same_but_for_ties

from phronesis.core.concept import Concept
from phronesis.core.errors import ConceptStoreError, ConfigurationError, EmbedderMismatch
from phronesis.core.ports import Vectors
from phronesis.core.settings import Settings
from phronesis.index.embedders import HashEmbedder
from phronesis.memory.ledger import Ledger
from phronesis.memory.reembedding import reembed
from phronesis.memory.session import Memory

COUNT = 150


class Words:
    """Another hashing embedder: whole words alone, in as many dimensions as asked for."""

    def __init__(self, dimension: int) -> None:
        self.id = f"words-{dimension}@words"
        self.dimension = dimension
        self.texts = 0

    def embed_documents(self, texts: Sequence[str]) -> Vectors:
        self.texts += len(texts)
        rows = np.zeros((len(texts), self.dimension), dtype=np.float32)
        for row, text in zip(rows, texts, strict=True):
            for word in text.casefold().split():
                number = int.from_bytes(hashlib.sha256(word.encode()).digest()[:8], "big")
                row[number % self.dimension] += 1.0 if number >> 63 else -1.0
            length = math.sqrt(float(row @ row))
            row[:] = row / length if length else np.eye(self.dimension, dtype=np.float32)[0]
        return rows

    def embed_queries(self, texts: Sequence[str]) -> Vectors:
        return self.embed_documents(texts)


def concepts(count: int = COUNT, *, start: int = 0) -> list[Concept]:
    return [
        Concept(situation=f"pump {n % 7} tank {n % 11} case {n}", suggestion=f"do {n}", cues=(f"cue {n}",))
        for n in range(start, start + count)
    ]


def found(memory: Memory) -> list[list[tuple[str, float]]]:
    return [[(hit.id, hit.score) for hit in memory.search(f"pump {n} tank case {n}", k=8)] for n in range(12)]


def fresh(settings: Settings, folder: Path, embedder: Words, *, count: int = COUNT) -> list[list[tuple[str, float]]]:
    here = settings.model_copy(update={"home": folder})
    with Memory.open("s", settings=here, embedder=embedder) as memory:
        memory.add(concepts(count))
        return found(memory)


@pytest.mark.parametrize("dimension", [256, 64])
def test_a_changed_embedder_is_refused_then_migrated_then_as_a_fresh_build(
    settings: Settings, tmp_path: Path, dimension: int
) -> None:
    with Memory.open("s", settings=settings) as memory:
        memory.add(concepts())
        memory.reindex()
        version = memory.version()
    other = Words(dimension)
    with pytest.raises(EmbedderMismatch, match="hash-256") as refused:
        Memory.open("s", settings=settings, embedder=other)
    assert "phronesis memory reembed --session s" in str(refused.value.mend)
    heard: list[tuple[int, int]] = []
    report = reembed(settings, "s", other, batch=40, progress=lambda done, of: heard.append((done, of)))
    assert (report.switched, report.embedded, report.deleted) == (True, COUNT, 2 * COUNT)
    assert (report.version, report.index) == (version + 1, "ready")
    assert heard == [(0, 150), (40, 150), (80, 150), (120, 150), (150, 150)]
    with Memory.open("s", settings=settings, embedder=other) as memory:
        expected = fresh(settings, tmp_path / "fresh", Words(dimension))
        assert found(memory) == expected
        assert memory.reindex() == "ready"
        for hits, exact in zip(found(memory), expected, strict=True):
            assert_same_but_for_ties(hits, exact)
        assert memory.verify().problems == ()
        assert memory.stats().embedder == report.after
    with pytest.raises(EmbedderMismatch):
        Memory.open("s", settings=settings)
    again = reembed(settings, "s", other)
    assert (again.switched, again.embedded, again.deleted, again.version) == (False, 0, 0, version + 1)


def test_an_open_memory_changes_its_embedder_and_others_refuse_at_their_next_search(
    settings: Settings, tmp_path: Path
) -> None:
    with Memory.open("s", settings=settings) as memory, Memory.open("s", settings=settings) as other:
        memory.add(concepts())
        assert memory.reindex() == "ready"
        assert found(other)
        memory.reembed(Words(64))
        for hits, exact in zip(found(memory), fresh(settings, tmp_path / "fresh", Words(64)), strict=True):
            assert_same_but_for_ties(hits, exact)
        with pytest.raises(EmbedderMismatch, match="words-64"):
            other.search("pump")
        with pytest.raises(EmbedderMismatch, match="words-64"):
            other.add([Concept(suggestion="with old vectors")])
        assert memory.stats().count == COUNT
        assert other.get("c1").concept == memory.get("c1").concept
        memory.add(concepts(5, start=500))
        assert memory.search("pump 3 tank 5 case 500", k=1)[0].id == "c151"
        assert memory.verify().sound


def test_old_vectors_may_be_kept_and_make_the_way_back_short(settings: Settings) -> None:
    with Memory.open("s", settings=settings) as memory:
        memory.add(concepts())
        before = found(memory)
        report = memory.reembed(Words(64), keep_old=True)
        assert report.deleted == 0
        memory.add(concepts(3, start=900))
        back = memory.reembed(HashEmbedder())
        assert (back.switched, back.embedded, back.deleted) == (True, 3, 2 * (COUNT + 3))
        # The three are no nearer than what was found before, or they are found.
        assert len(found(memory)) == len(before)
        assert memory.verify().problems == ()


KILLED = """
import os, sys
sys.path.insert(0, sys.argv[1])
from test_memory_reembed import Words
from phronesis.core.settings import load_settings
from phronesis.memory.reembedding import reembed

def killed(done, of):
    if done >= int(sys.argv[2]):
        os.kill(os.getpid(), 9)

reembed(load_settings(), "s", Words(64), batch=20, progress=killed)
"""


@pytest.mark.parametrize("point", [0, 60, 150])
def test_a_kill_in_the_middle_changes_nothing_and_the_next_attempt_goes_on(
    settings: Settings, tmp_path: Path, point: int
) -> None:
    with Memory.open("s", settings=settings) as memory:
        memory.add(concepts())
        before = found(memory)
    child = subprocess.run([sys.executable, "-c", KILLED, str(Path(__file__).parent), str(point)])
    assert child.returncode == -9
    with Memory.open("s", settings=settings) as memory:
        assert found(memory) == before
        assert memory.verify().sound
    other = Words(64)
    report = reembed(settings, "s", other, batch=20)
    assert report.switched
    assert report.embedded == COUNT - point
    with Memory.open("s", settings=settings, embedder=Words(64)) as memory:
        assert found(memory) == fresh(settings, tmp_path / "fresh", Words(64))
        assert memory.verify().sound


def test_concepts_added_meanwhile_are_caught(settings: Settings, tmp_path: Path) -> None:
    with Memory.open("s", settings=settings) as memory:
        memory.add(concepts(60))
        left = concepts(90, start=60)

        def meanwhile(done: int, of: int) -> None:
            if left:
                memory.add([left.pop(0), left.pop(0), left.pop(0)])

        report = reembed(settings, "s", Words(64), batch=10, progress=meanwhile)
        assert report.switched
    assert report.embedded == COUNT - len(left)
    with Memory.open("s", settings=settings, embedder=Words(64)) as memory:
        assert memory.verify().problems == ()
        memory.add(left)
        assert found(memory) == fresh(settings, tmp_path / "fresh", Words(64))


def test_writers_and_searches_go_on_until_they_are_refused(settings: Settings) -> None:
    """A thread that adds all the while either has its concept, with new vectors after the switch, or is refused."""
    with Memory.open("s", settings=settings) as memory:
        memory.add(concepts(40))
        added: list[str] = []
        ended: list[Exception] = []

        def write() -> None:
            try:
                for n in range(100_000):
                    added.extend(memory.add([Concept(situation=f"later {n}", suggestion=f"do later {n}")]))
            except Exception as error:
                ended.append(error)

        thread = threading.Thread(target=write)
        thread.start()
        reembed(settings, "s", Words(64), batch=10)
        thread.join()
        assert [type(error) for error in ended] == [EmbedderMismatch], ended
    with Memory.open("s", settings=settings, embedder=Words(64)) as memory:
        assert memory.stats().count == 40 + len(added)
        assert memory.verify().problems == ()


def test_a_memory_without_vectors_gets_its_first(settings: Settings) -> None:
    plain = settings.model_copy(update={"embedder": "none"})
    with Memory.open("s", settings=plain) as memory:
        memory.add(concepts(5))
    report = reembed(settings, "s", Words(64))
    assert (report.before, report.embedded) == (None, 5)
    with Memory.open("s", settings=settings, embedder=Words(64)) as memory:
        assert memory.search("case 3")[0].id == "c4"


class Failing(Words):
    def embed_documents(self, texts: Sequence[str]) -> Vectors:
        if self.texts > 30:
            raise RuntimeError("out of memory")
        return super().embed_documents(texts)


def test_an_embedder_that_fails_leaves_the_old_vectors_in_force(settings: Settings) -> None:
    with Memory.open("s", settings=settings) as memory:
        memory.add(concepts())
        before = found(memory)
        with pytest.raises(ConceptStoreError, match="out of memory"):
            memory.reembed(Failing(64), batch=10)
        assert found(memory) == before
        assert memory.verify().sound
        with pytest.raises(ConfigurationError, match="batch = 0"):
            memory.reembed(Words(64), batch=0)
    with pytest.raises(ConceptStoreError, match="there is no memory 'nowhere'"):
        reembed(settings, "nowhere", Words(64))


def test_past_versions_are_searched_with_the_new_vectors_too(settings: Settings) -> None:
    with Memory.open("s", settings=settings) as memory:
        memory.add(concepts(20))
        memory.reembed(Words(64))
        assert memory.search("case 3", k=1, version=10)[0].id == "c4"
        memory.close()
    with closing(Ledger.open(settings.memory / "s")) as ledger, ledger.reading() as connection:
        assert connection.execute("SELECT kind FROM events ORDER BY version DESC").fetchone() == ("reembedded",)
        assert connection.execute("SELECT COUNT(DISTINCT fingerprint) FROM vectors").fetchone() == (1,)
