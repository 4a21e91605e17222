"""What a run searches and calls, when it is resumed; and what a retriever brings twice."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
from agent_runs import answer, calls
from pydantic import BaseModel
from strategy_runs import boxed, journal_of, recipe_of, resume, solve
from toy_documents import documents

from phronesis.core.errors import ReplayDiverged
from phronesis.core.retrieval import Passage, RetrieverEntry, SearchRequest
from phronesis.core.settings import Settings, load_settings
from phronesis.core.task import Task
from phronesis.testing import FakeRequest, FakeServer
from phronesis.tools.knowledge.base import KnowledgeBase

TASK = Task(messages="Which river flows through Brunn?", id="river")


def test_documents_that_changed_are_no_result_of_a_tool() -> None:
    """The agent is not told of it and does not go on over other documents."""

    def agent(request: FakeRequest, index: int) -> str:
        done = "search returned" in request.text or "search failed" in request.text
        return answer("Ister") if done else calls(("search", {"queries": ["river"]}))

    kb = documents({"p": "The river Ister flows through Brunn."})
    with FakeServer(agent) as server:
        result = solve(recipe_of("react", server, answer__format="text", retrieval__kb=kb, tools__use=["search"]), TASK)
        kept = [event["key"] for event in journal_of(result)].index("s1#agent.0.c0>")
        path = Path(result.journal)
        path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:kept]))
        more = load_settings().home / "more.txt"
        more.write_text("Brunn is an old town.", encoding="utf-8")
        with KnowledgeBase.open(kb) as base:
            base.add(more)
        before = server.calls
        with pytest.raises(ReplayDiverged, match="not what it was when the run began"):
            resume(result.run_id)
        assert server.calls == before


class Options(BaseModel):
    """None."""


class Twice:
    """Brings its best passage again at the end."""

    name, fingerprint = "twice", "twice/1"

    async def search(self, requests: Sequence[SearchRequest]) -> tuple[tuple[Passage, ...], ...]:
        found = tuple(Passage(id=id, text=f"text of {id}") for id in ("a", "b", "c", "a"))
        return (found,) * len(requests)

    async def close(self) -> None:
        pass


def opened(options: Options, settings: Settings) -> Twice:
    return Twice()


ENTRY = RetrieverEntry(name="twice", summary="for a test", options=Options, open=opened)


def test_a_passage_that_is_brought_twice_keeps_its_first_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    info = tmp_path / "site" / "twice-1.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: twice\nVersion: 1\n", encoding="utf-8")
    (info / "entry_points.txt").write_text(f"[phronesis.retrievers]\ntwice = {__name__}:ENTRY\n", encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    with FakeServer(lambda request, index: boxed("a", "It says so [1].")) as server:
        result = solve(recipe_of("rag", server, answer__format="text", retrieval__retriever="twice", k=2), TASK)
    assert result.retrieval is not None
    assert [(item.id, item.cited) for item in result.retrieval.passages] == [("a", True), ("b", False)]
