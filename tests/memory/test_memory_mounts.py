"""Other memories mounted beside one's own: what recall finds, and that nothing of theirs ever changes."""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from phronesis.core.concept import Concept, Hit
from phronesis.core.errors import ConceptStoreError, ConfigurationError, EmbedderMismatch, RecipeError
from phronesis.core.events import read_events
from phronesis.core.ports import ConceptMemory, Vectors
from phronesis.core.settings import Settings
from phronesis.core.task import Task
from phronesis.graphs.recipe import Recipe
from phronesis.graphs.replay import replay_sync
from phronesis.graphs.run import Run
from phronesis.index.embedders import HashEmbedder
from phronesis.memory.mounts import MountedMemory, merged
from phronesis.memory.session import Memory, names
from phronesis.testing import FakeRequest, FakeServer

PUMPS = Concept(situation="two pumps fill a tank together", suggestion="add the rates, not the times")
TAPS = Concept(situation="two taps fill a bath together", suggestion="add what they give in a minute")
TRAIN = Concept(situation="a train overtakes a car", suggestion="subtract the speeds")
FAR = Concept(situation="quite another thing", suggestion="unlike all of it")


def fill(settings: Settings, name: str, *concepts: Concept) -> Path:
    with Memory.open(name, settings=settings) as memory:
        memory.add(concepts)
        return memory.folder


def files(folder: Path) -> dict[str, str]:
    """Digest of every file; SQLite's empty side files, which any reader may make, aside."""
    found = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    return {
        path.name: hashlib.sha256(text).hexdigest()
        for path, text in found.items()
        if not path.name.endswith("-shm") and text
    }


@pytest.fixture
def shared(settings: Settings) -> Path:
    return fill(settings, "shared", TAPS, TRAIN)


@pytest.fixture
def mounted(settings: Settings, shared: Path) -> Iterator[MountedMemory]:
    fill(settings, "mine", PUMPS, FAR)
    with MountedMemory.open("mine", ["shared"], settings=settings) as opened:
        yield opened


def test_recall_reads_all_of_them(mounted: MountedMemory) -> None:
    port: ConceptMemory = mounted
    assert [hit.id for hit in port.recall("two pumps fill a tank together", k=2)] == ["c1", "shared/c1"]
    assert [hit.id for hit in port.recall(TRAIN.situation, k=1)] == ["shared/c2"]
    assert port.recall("  ", k=3) == []
    assert mounted.get("shared/c2").concept == TRAIN
    assert mounted.get("shared/c2").id == "shared/c2"
    assert mounted.get("c1").concept == PUMPS
    assert (mounted.name, mounted.version(), mounted.versions(), mounted.degraded) == ("mine", 2, {"shared": 2}, None)


def test_options_of_recall_go_to_every_memory(mounted: MountedMemory) -> None:
    dense = mounted.recall("fill", k=4, mode="dense")
    assert [hit.score for hit in dense] == sorted((hit.score for hit in dense), reverse=True)
    assert {hit.id for hit in mounted.recall("overtakes", k=4, mode="lexical")} == {"shared/c2"}


def test_the_best_head_goes_first_and_ties_go_to_the_front() -> None:
    def hits(prefix: str, *scores: float) -> list[Hit]:
        return [Hit(id=f"{prefix}{n}", score=score, concept=PUMPS) for n, score in enumerate(scores)]

    lists = [hits("own", 0.5, 0.9), hits("one/", 0.7, 0.5), hits("two/", 0.7)]
    assert [hit.id for hit in merged(lists, 9)] == ["one/0", "two/0", "own0", "own1", "one/1"]
    assert [hit.id for hit in merged(lists, 2)] == ["one/0", "two/0"]
    assert merged([], 3) == merged(lists, 0) == []


def test_what_two_memories_say_is_shown_once(settings: Settings, shared: Path) -> None:
    fill(settings, "mine", TRAIN)
    fill(settings, "third", TAPS)
    with MountedMemory.open("mine", ["shared", "third"], settings=settings) as memory:
        assert [hit.id for hit in memory.recall("a train overtakes a car", k=9)] == ["c1", "shared/c1"]


def test_writes_and_uses_go_to_the_own_memory_alone(mounted: MountedMemory, settings: Settings, shared: Path) -> None:
    before = files(shared)
    recalled = [hit.id for hit in mounted.recall("fill", k=9)]
    written = mounted.write([Concept(suggestion="new")], operation="w", recalled=recalled)
    assert [item.id for item in written] == ["c3"]
    mounted.record_use(recalled, accepted=True, operation="u")
    mounted.record_use(["shared/c1"], accepted=True, operation="v")
    assert [mounted.get(name).helped for name in ("c1", "c2", "shared/c1", "shared/c2")] == [1, 1, 0, 0]
    with Memory.open("shared", settings=settings, read_only=True) as memory:
        for refused in (
            lambda: memory.add([PUMPS]),
            lambda: memory.record_use(["c1"], accepted=True, operation="x"),
            lambda: memory.snapshot("x"),
        ):
            with pytest.raises(ConceptStoreError, match="'shared' is opened to be read"):
                refused()
        memory.reindex()
    mounted.close()
    assert files(shared) == before


def test_mounts_are_pinned(mounted: MountedMemory, settings: Settings) -> None:
    fill(settings, "shared", Concept(situation="three pipes fill a pool", suggestion="add them"))
    assert "shared/c3" not in [hit.id for hit in mounted.recall("three pipes fill a pool", k=9)]
    assert mounted.versions() == {"shared": 2}
    with MountedMemory.open("mine", ["shared"], settings=settings, versions={"shared": 1}) as older:
        assert [hit.id for hit in older.recall("train", k=9) if "/" in hit.id] == ["shared/c1"]
    with MountedMemory.open("mine", ["shared"], settings=settings) as newer:
        assert newer.recall("three pipes fill a pool", k=1)[0].id == "shared/c3"
    with pytest.raises(ConfigurationError, match="'shared' has no version 9"):
        MountedMemory.open("mine", ["shared"], settings=settings, versions={"shared": 9})


def test_refusals(settings: Settings, shared: Path) -> None:
    for mounts, message in (
        (["absent"], "cannot mount 'absent'"),
        (["mine"], "'mine' cannot be mounted in itself"),
        (["shared", "shared"], "'shared' is mounted twice"),
        (["../shared"], "cannot mount '../shared'"),
    ):
        with pytest.raises(ConfigurationError, match=re.escape(message)):
            MountedMemory.open("mine", mounts, settings=settings)
    assert names(settings) == ["shared"], "a memory is not made for a mount that cannot be"


class Other(HashEmbedder):
    id = "other-model@2"

    def embed_documents(self, texts: list[str]) -> Vectors:  # type: ignore[override]  # a list is enough here
        return super().embed_documents([text[::-1] for text in texts])


def test_a_mount_of_another_embedder_is_refused(settings: Settings, shared: Path) -> None:
    with Memory.open("foreign", settings=settings, embedder=Other()) as memory:
        memory.add([PUMPS])
    with pytest.raises(EmbedderMismatch, match="other-model@2"):
        MountedMemory.open("mine", ["foreign"], settings=settings)


def test_a_mount_without_vectors_is_found_by_words_and_says_so(settings: Settings) -> None:
    lexical = settings.model_copy(update={"embedder": "none"})
    folder = fill(lexical, "plain", TRAIN)
    before = files(folder)
    with MountedMemory.open("mine", ["plain"], settings=settings) as memory:
        assert [hit.id for hit in memory.recall("a train", k=3)] == ["plain/c1"]
        assert memory.degraded == "mount plain: some concepts have no vectors and are found by their words alone"
    assert files(folder) == before
    with MountedMemory.open("mine", ["plain"], settings=lexical) as memory:
        assert memory.degraded == "recall is lexical: no embedder"


# Runs


def solve(request: FakeRequest, index: int) -> str:
    if "subtract the speeds" in request.user:
        return "90 - 60 = 30. The answer is \\boxed{30}."
    return "The answer is \\boxed{150}."


QUESTION = "A train overtakes a car. The train does 90, the car 60. How fast does it come nearer?"


def recipe(**memory: object) -> Recipe:
    overrides = {"memory.session": "mine", "memory.mounts": ["shared"], "answer.format": "number"}
    return Recipe.load("direct", overrides={**overrides, **{f"memory.{key}": value for key, value in memory.items()}})


@pytest.mark.parametrize("mode", ["read", "frozen", "write"])
def test_a_run_recalls_from_its_mounts_and_pins_them(
    settings: Settings, shared: Path, monkeypatch: pytest.MonkeyPatch, mode: str
) -> None:
    before = files(shared)
    with FakeServer(solve) as server:
        monkeypatch.setenv("OPENAI_BASE_URL", server.url)
        result = recipe(mode=mode).run(QUESTION)
    assert result.answer == "30"
    assert result.memory is not None
    assert [item.id for item in result.memory.recalled if item.rendered] == ["shared/c2"]
    started = next(event for event in read_events(Path(result.journal)) if event.type == "run_started")
    assert started.data["memory_mounts"] == {"shared": 2}
    assert started.data["memory_version"] == (0 if mode == "frozen" else None)
    replayed = replay_sync(result.run_id)[0]
    assert replayed.answer == "30"
    again = next(event for event in read_events(Path(replayed.journal)) if event.type == "run_started")
    assert again.data["memory_mounts"] == {"shared": 2}
    assert files(shared) == before


def test_a_resumed_run_reads_the_pinned_mounts(
    settings: Settings, shared: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def interrupted() -> str:
        async with await Run.start(recipe(mode="read")) as run:
            run.announce([Task.model_validate({"id": "t", "messages": QUESTION})])
            return run.id

    async def resumed(run_id: str) -> tuple[str | None, dict[str, int]]:
        async with await Run.resume(run_id) as run:
            result = await run.solve(run.tasks[0])
            return result.answer, run.mounts

    with FakeServer(solve) as server:
        monkeypatch.setenv("OPENAI_BASE_URL", server.url)
        run_id = asyncio.run(interrupted())
        with Memory.open("shared", settings=settings) as memory:
            memory.restore(0)  # by now it has forgotten everything
        assert asyncio.run(resumed(run_id)) == ("30", {"shared": 2})


def test_a_missing_mount_is_said_before_anything_is_paid(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    with FakeServer(solve) as server:
        monkeypatch.setenv("OPENAI_BASE_URL", server.url)
        with pytest.raises(ConfigurationError, match="cannot mount 'shared'"):
            recipe(mode="read").run(QUESTION)
        assert server.calls == 0
    assert not settings.runs.exists() or not list(settings.runs.iterdir())


def test_a_recipe_cannot_mount_its_own_session() -> None:
    with pytest.raises(RecipeError, match="mounted in itself"):
        recipe(session="shared")
    with pytest.raises(RecipeError, match="mounted twice"):
        recipe(mounts=["a", "a"])
