"""Every store that ships passes the conformance suite; a store that breaks a law is told which one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from chroma_servers import chroma_server

from phronesis.core.concept import Concept, Hit, StoredConcept
from phronesis.core.errors import ConceptStoreError, EmbedderMismatch
from phronesis.core.ports import Embedder
from phronesis.core.settings import Settings
from phronesis.index.embedders import HashEmbedder
from phronesis.memory.conformance import Check, checks, run
from phronesis.memory.reference import Kept, ReferenceStore, ReferenceStores
from phronesis.memory.session import Memory

CHECKS = checks()


class Indexed(Memory):
    """Brings its Chroma index up to date before every other search, so that index and tail both take part."""

    searches = 0

    def search(self, query: str, k: int = 5, **options: Any) -> list[Hit]:
        self.searches += 1
        if self.searches % 2:
            try:
                self.reindex()
            except EmbedderMismatch:
                raise
            except ConceptStoreError:
                """A closed memory or a failing embedder: the search is to meet it, too."""
        return super().search(query, k, **options)


def opened(kind: type[Memory], settings: Settings, name: str, embedder: Embedder | None) -> Memory:
    chosen = settings.model_copy(update={"embedder": "none"}) if embedder is None else settings
    return kind.open(name, settings=chosen, embedder=embedder)


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with chroma_server(tmp_path_factory.mktemp("chroma")) as url:
        yield url


@pytest.mark.parametrize("check", CHECKS, ids=str)
def test_the_reference_conforms(check: Check) -> None:
    check(ReferenceStores())


@pytest.mark.parametrize("check", CHECKS, ids=str)
def test_the_ledger_with_exact_search_conforms(check: Check, settings: Settings) -> None:
    check(lambda name, *, embedder: opened(Memory, settings, name, embedder))


@pytest.mark.parametrize("check", CHECKS, ids=str)
def test_embedded_chroma_conforms(check: Check, settings: Settings) -> None:
    check(lambda name, *, embedder: opened(Indexed, settings, name, embedder))


@pytest.mark.parametrize("check", CHECKS, ids=str)
def test_a_chroma_server_conforms(check: Check, settings: Settings, server: str) -> None:
    shared = settings.model_copy(update={"chroma_url": server})
    check(lambda name, *, embedder: opened(Indexed, shared, name, embedder))


def test_the_index_takes_part(settings: Settings, server: str) -> None:
    """What the two tests above stand on: their searches do go through Chroma."""
    for n, place in enumerate((settings, settings.model_copy(update={"chroma_url": server}))):
        with opened(Indexed, place, f"s{n}", HashEmbedder()) as memory:
            memory.add([Concept(situation=f"case {n}", suggestion="x") for n in range(30)])
            memory.search("case 3")
            assert memory.stats().index == "ready"
            assert memory.stats().indexed == 30


class Forgetful(ReferenceStores):
    """Keeps nothing."""

    def __call__(self, name: str, *, embedder: Embedder | None) -> ReferenceStore:
        return ReferenceStore(Kept(), embedder)


class NewestFirst(ReferenceStore):
    """Ties go the wrong way."""

    def search(self, query: str, k: int = 5, **options: Any) -> list[Hit]:
        hits = super().search(query, 10_000, **options)
        return sorted(hits[::-1], key=lambda hit: -hit.score)[:k] if k > 0 else super().search(query, k)


class Blunt(ReferenceStore):
    """Overwrites what somebody else changed first."""

    def update(self, id: str, concept: Concept, *, expect_version: int | None = None, **options: Any) -> StoredConcept:
        return super().update(id, concept, **options)


class Erasing(ReferenceStore):
    """Search sees the present whatever version is asked for."""

    def search(self, query: str, k: int = 5, *, version: int | None = None) -> list[Hit]:
        super().search(query, k, version=version)
        return super().search(query, k)


class Repeating(ReferenceStore):
    """Counts a use each time it is told of it."""

    def record_use(self, ids: Sequence[str], *, accepted: bool, operation: str) -> None:
        super().record_use(ids, accepted=accepted, operation=f"{operation} {len(self._open().outcomes)}")


class Stale(ReferenceStore):
    """Remembers an empty answer."""

    def search(self, query: str, k: int = 5, **options: Any) -> list[Hit]:
        hits = [] if getattr(self, "empty", False) else super().search(query, k, **options)
        self.empty = not hits
        return hits


@pytest.mark.parametrize(
    ("broken", "law"),
    [
        (NewestFirst, "ties_go_to_the_oldest"),
        (Blunt, "an_update_of_another_version_is_a_conflict"),
        (Erasing, "an_older_version_is_searched_as_it_was"),
        (Repeating, "uses_count_once"),
        (Stale, "an_add_is_seen_by_every_handle"),
    ],
)
def test_a_broken_law_is_named(broken: type[ReferenceStore], law: str) -> None:
    kept: dict[str, Kept] = {}
    report = run(lambda name, *, embedder: broken(kept.setdefault(name, Kept()), embedder))
    assert not report.ok
    assert law in report.failed
    assert report.failed[law].startswith("AssertionError: ")
    assert len(report.passed) + len(report.failed) == len(CHECKS)
    assert f"{len(report.passed)} of {len(CHECKS)} checks passed" in str(report)


def test_a_store_that_keeps_nothing_is_found_out() -> None:
    report = run(Forgetful(), only=["an_add_is_durable", "an_operation_is_done_once", "an_empty_store_finds_nothing"])
    assert sorted(report.failed) == ["an_add_is_durable", "an_operation_is_done_once"]
    assert report.passed == ("an_empty_store_finds_nothing",)


def test_every_check_says_its_law() -> None:
    assert len({check.name for check in CHECKS}) == len(CHECKS) >= 45
    for check in CHECKS:
        assert check.law.endswith(".") and len(check.name) < 60
