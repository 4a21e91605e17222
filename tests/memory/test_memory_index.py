"""The Chroma index beside the ledger: same results, lease, damage, rebuilding."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as profile
from hypothesis import strategies as st
from ties import assert_same_but_for_ties

from phronesis.core.concept import Concept, Hit
from phronesis.core.errors import IndexDamaged
from phronesis.core.settings import Settings
from phronesis.index.chroma import ChromaIndex
from phronesis.memory.session import Memory

WORDS = ["pumps", "tank", "rate", "train", "speed", "price", "discount", "angle", "circle", "coins"]
SENTENCE = st.lists(st.sampled_from(WORDS), min_size=1, max_size=4).map(" ".join)


def numbered(count: int, *, start: int = 0) -> list[Concept]:
    return [
        Concept(situation=f"{WORDS[n % 10]} {WORDS[n // 10 % 10]} case {n}", suggestion=f"do {n}")
        for n in range(start, start + count)
    ]


def found(memory: Memory, k: int = 6) -> dict[str, list[tuple[str, float]]]:
    return {word: pairs(memory.search(f"{word} case", k=k)) for word in WORDS}


def pairs(hits: list[Hit]) -> list[tuple[str, float]]:
    return [(hit.id, hit.score) for hit in hits]


def assert_alike(hits: dict[str, list[tuple[str, float]]], exact: dict[str, list[tuple[str, float]]]) -> None:
    for word in WORDS:
        assert_same_but_for_ties(hits[word], exact[word], missed=1)


def exactly(settings: Settings, k: int = 6) -> dict[str, list[tuple[str, float]]]:
    with Memory.open("s", settings=settings) as plain:
        return found(plain, k)


@profile(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    steps=st.lists(
        st.tuples(st.sampled_from(["add", "write", "index"]), st.lists(SENTENCE, min_size=1, max_size=6)), max_size=6
    ),
    query=SENTENCE,
    k=st.integers(1, 8),
)
def test_through_the_index_equals_exact(
    settings: Settings, steps: list[tuple[str, list[str]]], query: str, k: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    here = settings.model_copy(update={"home": tmp_path_factory.mktemp("home")})
    with Memory.open("s", settings=here) as memory, Memory.open("s", settings=here) as plain:
        memory.add(numbered(25))
        assert memory.reindex() == "ready"
        for place, (step, sentences) in enumerate(steps):
            concepts = [
                Concept(situation=text, suggestion=f"{place} {text}", cues=(f"cue {text}",)) for text in sentences
            ]
            if step == "add":
                memory.add(concepts)
            elif step == "write":
                memory.write(concepts, operation=f"operation {place}")
            else:
                memory.reindex()
            assert pairs(memory.search(query, k=k)) == pairs(plain.search(query, k=k))
        half = memory.version() // 2
        assert pairs(memory.search(query, k=k, version=half)) == pairs(plain.search(query, k=k, version=half))
        assert memory.stats().index == "ready"


def test_only_the_leaseholder_opens_the_index_and_others_find_the_same(settings: Settings) -> None:
    with Memory.open("s", settings=settings) as first, Memory.open("s", settings=settings) as second:
        first.add(numbered(60))
        assert first.reindex() == "ready"
        assert second.reindex() == "another process holds the index"
        assert first.stats().indexed == 60
        second.add(numbered(5, start=100))
        assert found(first) == found(second)
        first.close()
        assert second.reindex() == "ready"
        assert second.stats().indexed == 65


def delete_graph(folder: Path) -> None:
    for path in folder.rglob("*.bin"):
        path.unlink()


def cut_graph(folder: Path) -> None:
    for path in folder.rglob("data_level0.bin"):
        path.write_bytes(path.read_bytes()[:1000])


def scribble_over_database(folder: Path) -> None:
    for path in folder.rglob("chroma.sqlite3"):
        path.write_bytes(b"scribble" * 1000)


def delete_everything(folder: Path) -> None:
    import shutil

    shutil.rmtree(folder)


@pytest.mark.parametrize("damage", [delete_graph, cut_graph, scribble_over_database, delete_everything])
def test_a_damaged_index_is_rebuilt_and_search_never_notices(
    settings: Settings, damage: Callable[[Path], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    with Memory.open("s", settings=settings) as memory:
        memory.add(numbered(1200))
        memory.reindex()
        assert memory.stats().indexed == 1200
        folder = memory.folder / "index"
    expected = exactly(settings)
    damage(folder)
    with Memory.open("s", settings=settings) as memory:
        assert found(memory) == expected
        assert memory.reindex() == "ready"
        assert memory.stats().indexed == 1200
        assert_alike(found(memory), expected)


def test_a_killed_indexing_process_leaves_a_usable_memory(settings: Settings) -> None:
    script = (
        "import phronesis, os\nfrom phronesis.core.concept import Concept\n"
        "with phronesis.Memory.open('s') as memory:\n"
        "    memory.add([Concept(situation=f'case {n}', suggestion='x') for n in range(300)])\n"
        "    memory.reindex()\n"
        "    memory.add([Concept(situation=f'later {n}', suggestion='x') for n in range(30)])\n"
        "    memory.reindex()\n"
        "    os.kill(os.getpid(), 9)\n"
    )
    assert subprocess.run([sys.executable, "-c", script]).returncode == -9
    expected = exactly(settings)
    with Memory.open("s", settings=settings) as memory:
        assert memory.reindex() == "ready"
        assert memory.stats().indexed == 330
        for word, hits in found(memory).items():
            assert_same_but_for_ties(hits, expected[word], missed=1)


def test_without_chromadb_search_is_exact(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "chromadb", None)
    with Memory.open("s", settings=settings) as memory:
        memory.add(numbered(30))
        assert memory.reindex() == "chromadb is not installed"
        assert found(memory) == exactly(settings)
        assert memory.degraded is None


def test_a_large_memory_gets_its_index_in_the_background(settings: Settings) -> None:
    with Memory.open("s", settings=settings) as memory:
        memory.add(numbered(2100))
        expected = exactly(settings)
        assert found(memory) == expected
        deadline = time.monotonic() + 60
        while memory.stats().indexed < 2100 and time.monotonic() < deadline:
            memory.search("pumps")
            time.sleep(0.02)
        assert memory.stats().index == "ready"
        assert_alike(found(memory), expected)
        memory.add(numbered(1100, start=3000))
        while memory.stats().indexed < 3200 and time.monotonic() < deadline:
            memory.search("pumps")
            time.sleep(0.02)
        assert memory.stats().indexed == 3200
        assert_alike(found(memory), exactly(settings))


def test_an_index_that_fails_in_use_is_replaced_by_exact_search(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> list[int]:
        raise IndexDamaged("Chroma failed")

    with Memory.open("s", settings=settings) as memory:
        memory.add(numbered(80))
        memory.reindex()
        with monkeypatch.context() as patch:
            patch.setattr(ChromaIndex, "candidates", fail)
            assert_alike(found(memory), exactly(settings))
        assert memory.stats().index == "damaged: Chroma failed"
        assert memory.degraded is None
        assert memory.reindex() == "ready"
        assert_alike(found(memory), exactly(settings))
        assert memory.stats().indexed == 80
