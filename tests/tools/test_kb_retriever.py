"""The retriever ``kb`` behind its port, and retrievers by name."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from kb_files import Stranger, jsonl, written

from phronesis.core.errors import ConfigurationError, EmbedderMismatch, ModelMissing
from phronesis.core.retrieval import SearchRequest
from phronesis.core.settings import Settings
from phronesis.tools.knowledge.base import KnowledgeBase
from phronesis.tools.knowledge.retriever import KnowledgeBaseRetriever
from phronesis.tools.retrievers import find_retriever, open_retriever, retriever_names


@pytest.fixture
def docs(tmp_path: Path, settings: Settings) -> Path:
    folder = tmp_path / "docs"
    jsonl(
        folder / "c.jsonl",
        {"id": "p1", "text": "The pump moves water.", "kind": "pump"},
        {"id": "p2", "text": "The tank holds water.", "kind": "tank"},
        {"id": "p3", "text": "The tank holds water.", "kind": "copy"},
    )
    with KnowledgeBase.open("kb", settings=settings) as base:
        base.add(folder)
    return folder


def opened(text: str, settings: Settings) -> KnowledgeBaseRetriever:
    found = open_retriever(text, settings)
    assert isinstance(found, KnowledgeBaseRetriever)
    return found


def test_it_is_found_by_name_and_checks_its_options(settings: Settings, docs: Path) -> None:
    assert "kb" in retriever_names() and find_retriever("kb").name == "kb"
    for text, words in (
        ("kbs(name=x)", "unknown retriever 'kbs'"),
        ("kb", "needs the option 'name'"),
        ("kb(name=kb, mode=both)", "mode = 'both'"),
        ("kb(name=kb, rank=none)", "no option 'rank'"),
        ("kb(name=nowhere)", "no knowledge base 'nowhere'"),
        ('kb(name="../kb")', "is not allowed"),
    ):
        with pytest.raises(ConfigurationError, match=words):
            open_retriever(text, settings)


def test_it_searches_several_at_once_and_finds_nothing_where_there_is_nothing(settings: Settings, docs: Path) -> None:
    async def go() -> None:
        retriever = opened('kb(name="kb", mode="lexical")', settings)
        assert retriever.name == "kb"
        requests = [
            SearchRequest(query="pump"),
            SearchRequest(query="zebra"),
            SearchRequest(query=" "),
            SearchRequest(query="water", k=0),
            SearchRequest(query="water", k=9),
            SearchRequest(query="water", where={"kind": ("copy",)}),
        ]
        found = await retriever.search(requests)
        assert [[hit.id for hit in hits] for hits in found] == [["p1"], [], [], [], ["p1", "p2"], ["p3"]]
        assert await retriever.search([]) == ()
        await retriever.close()

    asyncio.run(go())


def test_searches_side_by_side_find_the_same(settings: Settings, docs: Path) -> None:
    async def go() -> None:
        retriever = opened("kb(name=kb)", settings)
        request = [SearchRequest(query="water tank")]
        first = await retriever.search(request)
        assert all(found == first for found in await asyncio.gather(*(retriever.search(request) for _ in range(40))))
        await retriever.close()

    asyncio.run(go())


def test_an_open_one_stays_at_its_version(settings: Settings, docs: Path) -> None:
    async def go() -> None:
        retriever = opened("kb(name=kb)", settings)
        before = await retriever.search([SearchRequest(query="tank", k=9)])
        written(docs / "new.txt", "A new tank.")
        jsonl(docs / "c.jsonl", {"id": "p1", "text": "The pump is gone."})
        with KnowledgeBase.open("kb", settings=settings) as base:
            base.add(docs)
        assert await retriever.search([SearchRequest(query="tank", k=9)]) == before
        later = opened("kb(name=kb)", settings)
        assert later.fingerprint != retriever.fingerprint
        assert {hit.source for hit in (await later.search([SearchRequest(query="tank", k=9)]))[0]} >= {"docs/new.txt"}
        await retriever.close()
        await later.close()

    asyncio.run(go())


def test_the_fingerprint_is_of_contents_and_options(settings: Settings, docs: Path) -> None:
    def fingerprint(text: str) -> str:
        retriever = open_retriever(text, settings)
        asyncio.run(retriever.close())
        return retriever.fingerprint

    first = fingerprint("kb(name=kb)")
    others = [fingerprint(f"kb(name=kb, {option})") for option in ("mode=lexical", "mode=dense", "candidates=7")]
    assert len({first, *others}) == 4
    written(docs / "new.txt", "A new tank.")
    with KnowledgeBase.open("kb", settings=settings) as base:
        base.add(docs)
        changed = fingerprint("kb(name=kb)")
        base.remove("docs/new.txt")
    (docs / "new.txt").unlink()
    with KnowledgeBase.open("twin", settings=settings) as base:
        base.add(docs)
    assert changed != first and fingerprint("kb(name=kb)") == first == fingerprint("kb(name=twin)")


def test_it_says_when_it_is_less_than_asked_for(settings: Settings, docs: Path) -> None:
    bare = settings.model_copy(update={"embedder": "none"})
    assert opened("kb(name=kb)", bare).degraded == "there is no embedder: the search is lexical"
    assert opened("kb(name=kb)", bare).fingerprint == opened("kb(name=kb, mode=lexical)", bare).fingerprint
    assert opened("kb(name=kb)", settings).degraded is None


def test_an_embedder_or_reranker_that_is_none_is_refused(settings: Settings, docs: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelMissing, match="is no cross-encoder"):
        open_retriever("kb(name=kb, rerank=nowhere)", settings)
    with KnowledgeBase.open("kb", settings=settings, embedder=Stranger()) as base:
        base.reembed()
    with pytest.raises(EmbedderMismatch, match="phronesis kb reembed kb"):
        open_retriever("kb(name=kb)", settings)
    assert opened("kb(name=kb, mode=lexical)", settings).degraded is None
