"""Knowledge bases: adding by content, searching, filters, equal texts, embedders, damage."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from kb_files import Stranger, jsonl, written

import phronesis
from phronesis.core.errors import ConfigurationError, EmbedderMismatch, PhronesisError, RetrievalError
from phronesis.core.ports import Vectors
from phronesis.core.retrieval import SearchRequest
from phronesis.core.settings import Settings
from phronesis.index.embedders import HashEmbedder
from phronesis.tools.knowledge.base import KnowledgeBase, delete, open_searcher, rehearse
from phronesis.tools.knowledge.names import knowledge_base_folder, knowledge_base_names
from phronesis.tools.knowledge.search import Searcher, SearchOptions
from phronesis.tools.knowledge.store import Store


class Counting(HashEmbedder):
    """Counts what it is asked for."""

    def __init__(self) -> None:
        self.documents = 0
        self.batches: list[int] = []

    def embed_documents(self, texts: Sequence[str]) -> Vectors:
        self.documents += len(texts)
        return super().embed_documents(texts)

    def embed_queries(self, texts: Sequence[str]) -> Vectors:
        self.batches.append(len(texts))
        return super().embed_documents(texts)


@pytest.fixture
def embedder() -> Counting:
    return Counting()


@pytest.fixture
def base(settings: Settings, embedder: Counting) -> Iterator[KnowledgeBase]:
    with KnowledgeBase.open("kb", settings=settings, embedder=embedder) as opened:
        yield opened


@pytest.fixture
def docs(tmp_path: Path) -> Path:
    folder = tmp_path / "docs"
    written(folder / "pump.md", "# Pump\n\nThe pump moves water.\n\n## Filter\n\nChange the filter every year.\n")
    written(folder / "tank.txt", "The tank holds water.")
    return folder


def test_it_is_exported() -> None:
    assert phronesis.KnowledgeBase is KnowledgeBase


@pytest.mark.parametrize(
    "name", ["", ".", "..", "a/b", "../x", "/etc", "a..b", ".hidden", "a b", "é", "x" * 65, "a\0", "a\n"]
)
def test_a_name_that_could_lead_elsewhere_is_refused(settings: Settings, name: str) -> None:
    with pytest.raises(ConfigurationError, match="is not allowed"):
        knowledge_base_folder(settings, name)


def test_one_that_is_not_there_is_not_made_by_looking(settings: Settings) -> None:
    for how in ({"create": False}, {"read_only": True}):
        with pytest.raises(ConfigurationError, match="there is no knowledge base 'nowhere'"):
            KnowledgeBase.open("nowhere", settings=settings, **how)
    assert knowledge_base_names(settings) == []


def test_passages_are_spans_of_their_document(base: KnowledgeBase, docs: Path) -> None:
    base.add(docs, chunk_size=40, overlap=10)
    hits = base.search("filter water pump", 10)
    assert len(hits) >= 3
    for hit in hits:
        assert base.document(hit.source)[hit.start : hit.end] == hit.text
        assert base.get(hit.id).text == hit.text
    assert hits[0].title.startswith("Pump")


def test_what_is_unchanged_is_left_alone(base: KnowledgeBase, docs: Path, embedder: Counting) -> None:
    first = base.add(docs)
    assert (first.added, first.documents, first.embedded) == (2, 2, 2)
    asked = embedder.documents
    again = base.add(docs)
    assert (again.unchanged, again.documents, again.embedded, embedder.documents) == (2, 0, 0, asked)
    written(docs / "tank.txt", "The tank holds oil.")
    changed = base.add(docs)
    assert (changed.changed, changed.unchanged, changed.documents, embedder.documents) == (1, 1, 1, asked + 1)
    assert [hit.text for hit in base.search("tank", mode="lexical")] == ["The tank holds oil."]


def test_chunks_that_stay_keep_ids_and_vectors(base: KnowledgeBase, tmp_path: Path, embedder: Counting) -> None:
    file = written(tmp_path / "a.txt", "The first sentence stands here. The second one stands behind it.")
    base.add(file, chunk_size=40, overlap=0)
    ids = {hit.text: hit.id for hit in base.search("sentence second", 9)}
    asked = embedder.documents
    written(file, "The first sentence stands here. The second is another one.")
    base.add(file)
    after = {hit.text: hit.id for hit in base.search("sentence second", 9)}
    assert after["The first sentence stands here."] == ids["The first sentence stands here."]
    assert "The second one stands behind it." not in after
    assert embedder.documents == asked + 1


def test_rows_are_compared_one_by_one(base: KnowledgeBase, tmp_path: Path) -> None:
    file = tmp_path / "c.jsonl"
    base.add(jsonl(file, *({"id": f"p{n}", "text": f"row number {n}"} for n in range(30))))
    rows = [{"id": f"p{n}", "text": f"row number {n if n else 'zero'}"} for n in range(29)]
    report = base.add(jsonl(file, *rows, {"id": "new", "text": "a new row"}))
    assert (report.changed, report.documents, report.removed) == (1, 2, 1)
    with pytest.raises(ConfigurationError, match="no passage 'p29'"):
        base.get("p29")


def test_two_files_may_not_share_an_id_or_a_source(base: KnowledgeBase, tmp_path: Path) -> None:
    base.add(jsonl(tmp_path / "a.jsonl", {"id": "p1", "text": "one"}))
    (problem,) = base.add(
        jsonl(tmp_path / "b.jsonl", {"id": "p1", "text": "other"}, {"id": "p2", "text": "two"})
    ).problems
    assert problem.reason == "the id 'p1' is taken by 'a.jsonl#p1'"
    assert base.get("p1").text == "one" and base.get("p2").text == "two"
    first, second = written(tmp_path / "x" / "n.txt", "pump"), written(tmp_path / "y" / "n.txt", "tank")
    base.add(first)
    (problem,) = base.add(second).problems
    assert "'n.txt' is taken by" in problem.reason
    assert not base.add([tmp_path / "x", tmp_path / "y"]).problems
    first.rename(tmp_path / "n.txt")
    assert not base.add(tmp_path / "n.txt").problems, "a file that was moved is the same source"


def test_removing(base: KnowledgeBase, docs: Path, tmp_path: Path) -> None:
    rows = jsonl(tmp_path / "c.jsonl", {"id": "p1", "text": "first row"}, {"id": "p2", "text": "second row"})
    base.add([docs, rows])
    assert base.remove("docs/tank.txt", "c.jsonl#p1") == {"docs/tank.txt": 1, "c.jsonl#p1": 1}
    assert base.search("tank", mode="lexical") == () and [hit.id for hit in base.search("row", mode="lexical")] == [
        "p2"
    ]
    with pytest.raises(ConfigurationError, match=r"no source 'docs/gone\.md'"):
        base.remove("docs/pump.md", "docs/gone.md")
    assert base.search("pump", mode="lexical"), "nothing was removed"
    assert base.add([docs, rows]).documents == 2, "adding brings back what was removed"


def test_a_whole_one_is_deleted(settings: Settings, base: KnowledgeBase, docs: Path) -> None:
    base.add(docs)
    base.close()
    delete("kb", settings)
    assert knowledge_base_names(settings) == []


def test_a_rehearsal_writes_nothing(settings: Settings, base: KnowledgeBase, docs: Path) -> None:
    base.add(docs / "tank.txt")
    assert rehearse("new", docs, settings).added == 2
    assert knowledge_base_names(settings) == ["kb"]
    report = rehearse("kb", [docs, docs / "tank.txt"], settings)
    assert (report.added, report.unchanged) == (2, 1)
    assert [file.source for file in base.list()] == ["tank.txt"]


def test_chunking_is_settled_by_the_first_add(base: KnowledgeBase, docs: Path) -> None:
    base.add(docs, chunk_size=100, overlap=20)
    assert base.add(docs).unchanged == 2
    with pytest.raises(ConfigurationError, match="chunks of 100 characters with an overlap of 20"):
        base.add(docs, chunk_size=200)
    with pytest.raises(ConfigurationError, match="overlap of 90"):
        KnowledgeBase.open("other").add(docs, chunk_size=100, overlap=90)


def test_filters(base: KnowledgeBase, tmp_path: Path, docs: Path) -> None:
    base.add([docs, jsonl(
        tmp_path / "c.jsonl",
        {"id": "a", "text": "a water pump", "kind": "pump", "year": 1998, "old": True},
        {"id": "b", "text": "water tank", "kind": "tank", "year": 2001, "old": False, "title": "Tank"},
    )])  # fmt: skip
    for mode in ("lexical", "dense", "hybrid"):

        def found(mode: str = mode, **where: Sequence[str]) -> set[str]:
            return {
                hit.id if len(hit.id) == 1 else hit.source for hit in base.search("water", 9, where=where, mode=mode)
            }

        assert found(kind=["pump"]) == {"a"}
        assert found(kind=["pump", "tank"]) == {"a", "b"}
        assert found(kind=["pump", "tank"], year=["2001"]) == {"b"}
        assert found(old=["true"]) == {"a"}
        assert found(source=["c.jsonl"]) == {"a", "b"} and found(source=["c.jsonl#a", "docs/tank.txt"]) == {
            "a",
            "docs/tank.txt",
        }
        assert found(title=["Tank"]) == {"b"} and found(title=["Pump"]) == {"docs/pump.md"}
        assert found(kind=["valve"]) == found(nonsense=["x"]) == set()


def test_equal_texts_are_found_once(base: KnowledgeBase, tmp_path: Path) -> None:
    rows = [{"id": f"p{n:03}", "text": "the very same water", "title": "water" if n == 7 else ""} for n in range(120)]
    base.add(jsonl(tmp_path / "c.jsonl", *rows, {"id": "q", "text": "other water"}, {"id": "r", "text": "no match"}))
    for mode in ("lexical", "dense", "hybrid"):
        hits = base.search("water", 2, mode=mode, candidates=5)
        assert len({hit.text for hit in hits}) == len(hits) == 2, mode
    assert base.search("water water", 1, mode="lexical")[0].id == "p007", "the better placed one stays"


def test_nothing_found_is_empty(base: KnowledgeBase, docs: Path) -> None:
    assert base.search("anything") == ()
    base.add(docs)
    assert base.search("zebra", mode="lexical") == base.search("  ") == base.search("?!", mode="lexical") == ()


@pytest.mark.parametrize(
    ("options", "words"),
    [({"mode": "both"}, "mode"), ({"modes": "x"}, "no option 'modes'"), ({"candidates": 0}, "candidates")],
)
def test_wrong_options_are_named(base: KnowledgeBase, options: dict[str, object], words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        base.search("x", **options)
    with pytest.raises(ConfigurationError, match="k = 0"):
        base.search("x", 0)


def test_another_embedder_is_refused_until_all_is_embedded_anew(
    settings: Settings, base: KnowledgeBase, docs: Path
) -> None:
    base.add(docs)
    with KnowledgeBase.open("kb", settings=settings, embedder=Stranger()) as other:
        written(docs / "new.txt", "new words")
        for act in (lambda: other.add(docs), lambda: other.search("pump"), lambda: other.search("pump", mode="dense")):
            with pytest.raises(EmbedderMismatch, match="phronesis kb reembed kb"):
                act()
        assert len(other.list()) == 2, "nothing was written"
        assert other.search("pump", mode="lexical")
        assert other.add(docs, new_embedder=True).embedded == 3
        assert other.search("pump", mode="dense")[0].source == "docs/pump.md"
        assert other.reembed() == 0
    with pytest.raises(EmbedderMismatch):
        base.search("pump")
    assert base.reembed() == 3 and base.search("pump")


def test_without_an_embedder_the_search_is_lexical_and_says_so(settings: Settings, docs: Path) -> None:
    bare = settings.model_copy(update={"embedder": "none"})
    with KnowledgeBase.open("kb", settings=bare) as base:
        assert base.add(docs).embedded == 0
        assert base.search("filter")[0].source == "docs/pump.md"
        assert base.degraded() == "there is no embedder: the search is lexical"
        assert base.degraded(mode="lexical") is None
        with pytest.raises(ConfigurationError, match="no embedder"):
            base.reembed()
    with KnowledgeBase.open("kb", settings=settings) as base:
        assert "phronesis kb reembed kb" in str(base.degraded())
        assert base.search("filter")
        assert base.add(docs).embedded == 2, "an add fills what lacks"
        assert base.degraded() is None


def test_several_queries_are_one_batch(settings: Settings, base: KnowledgeBase, docs: Path, embedder: Counting) -> None:
    base.add(docs)
    searcher = open_searcher("kb", SearchOptions(), settings, embedder)
    embedder.batches.clear()
    asked = ["water", "filter", "water", "", "tank"]
    found = searcher.search([SearchRequest(query=query, k=2) for query in asked])
    searcher.close()
    assert embedder.batches == [3], "each text once, an empty one never"
    assert [[hit.id for hit in hits] for hits in found] == [
        [hit.id for hit in base.search(query, 2)] if query else [] for query in asked
    ]


class ByLength:
    """Likes short passages."""

    id = "by-length"

    def scores(self, query: str, passages: Sequence[str]) -> list[float]:
        return [-float(len(passage)) for passage in passages]


def test_a_reranker_has_the_last_word(settings: Settings, base: KnowledgeBase, tmp_path: Path) -> None:
    rows = [{"id": f"p{n}", "text": "water " * (9 - n)} for n in range(8)]
    base.add(jsonl(tmp_path / "c.jsonl", *rows, {"id": "q", "text": "dry"}))
    store = Store.open_to_read(knowledge_base_folder(settings, "kb") / "kb.sqlite3")
    searcher = Searcher(store, SearchOptions(mode="lexical"), None, ByLength())
    plain = Searcher(store, SearchOptions(mode="lexical"), None)
    (found,) = searcher.search([SearchRequest(query="water", k=2)])
    assert [(hit.id, hit.score) for hit in found] == [("p7", -11.0), ("p6", -17.0)]
    assert searcher.fingerprint != plain.fingerprint
    assert searcher.search([SearchRequest(query="zebra")]) == ((),)
    searcher.close()


def test_added_documents_are_found_at_once(base: KnowledgeBase, docs: Path) -> None:
    base.add(docs / "tank.txt")
    assert base.search("filter", mode="lexical") == ()
    base.add(docs)
    assert base.search("filter", mode="lexical")


def test_a_damaged_file_is_named(settings: Settings, base: KnowledgeBase, docs: Path) -> None:
    base.add(docs)
    base.close()
    path = knowledge_base_folder(settings, "kb") / "kb.sqlite3"
    path.write_bytes(path.read_bytes()[:100] + b"\xff" * 8000)
    for act in (
        lambda: KnowledgeBase.open("kb", settings=settings),
        lambda: KnowledgeBase.open("kb", settings=settings, read_only=True),
    ):
        with pytest.raises(RetrievalError, match=r"kb\.sqlite3' is damaged.*\n.*kb remove kb --yes"):
            act()
    delete("kb", settings)


def test_a_database_of_something_else_is_not_touched(settings: Settings) -> None:
    folder = knowledge_base_folder(settings, "kb")
    folder.mkdir(parents=True)
    with sqlite3.connect(folder / "kb.sqlite3") as connection:
        connection.execute("CREATE TABLE theirs (x)")
    connection.close()
    with pytest.raises(RetrievalError, match="is no knowledge base"):
        KnowledgeBase.open("kb", settings=settings)


def test_one_of_a_newer_phronesis_is_refused(settings: Settings, base: KnowledgeBase) -> None:
    with sqlite3.connect(knowledge_base_folder(settings, "kb") / "kb.sqlite3") as connection:
        connection.execute("PRAGMA user_version = 99")
    connection.close()
    with pytest.raises(RetrievalError, match="schema 99"):
        KnowledgeBase.open("kb", settings=settings)


def test_a_closed_one_says_so(base: KnowledgeBase) -> None:
    base.close()
    with pytest.raises(RetrievalError, match="'kb' is closed"):
        base.list()


def test_a_damaged_vector_is_named_and_mended(settings: Settings, base: KnowledgeBase, docs: Path) -> None:
    base.add(docs)
    base.close()
    with sqlite3.connect(knowledge_base_folder(settings, "kb") / "kb.sqlite3") as connection:
        connection.execute("UPDATE vectors SET vector = x'00' WHERE chunk = 1")
    connection.close()
    with KnowledgeBase.open("kb", settings=settings) as again:
        with pytest.raises(RetrievalError, match=r"vector of chunk 1 .* damaged"):
            again.search("pump")
        again.remove("docs/pump.md")
        again.add(docs)
        assert again.search("pump")


def test_it_is_read_from_a_copy_nobody_may_write_to(settings: Settings, base: KnowledgeBase, docs: Path) -> None:
    base.add(docs)
    base.close()
    folder = knowledge_base_folder(settings, "kb")
    shutil.copytree(folder, folder.with_name("still"))
    still = folder.with_name("still")
    still.chmod(0o500)
    try:
        with KnowledgeBase.open("still", settings=settings, read_only=True) as copy:
            assert copy.search("filter")[0].source == "docs/pump.md"
            with pytest.raises(PhronesisError):
                copy.add(docs)
    finally:
        still.chmod(0o700)
