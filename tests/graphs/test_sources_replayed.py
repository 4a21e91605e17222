"""Replays and borrowed replies of runs with documents and tools: what was found and called is served and not done anew."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from agent_runs import answer, calls, look
from strategy_runs import boxed, go, journal_of, recipe_of
from toy_documents import documents
from toy_tools import CALLED, install

from phronesis.core.errors import ConfigurationError
from phronesis.core.result import Result
from phronesis.core.settings import load_settings
from phronesis.core.task import Task
from phronesis.graphs.recipe import Recipe
from phronesis.graphs.replay import Changes, Replay, start_replay
from phronesis.graphs.run import Run
from phronesis.testing import FakeRequest, FakeServer
from phronesis.tools.knowledge.base import KnowledgeBase

TASK = Task(messages="Which river flows through Brunn?", id="river")
TEXTS = {"p1": "The river Ister flows through Brunn.", "p2": "Brunn is an old town."}


@pytest.fixture(autouse=True)
def toys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(tmp_path, monkeypatch)


def reader(request: FakeRequest, index: int) -> str:
    return boxed("Ister", "It says so [1].")


def agent(request: FakeRequest, index: int) -> str:
    """Looks two keys up, posts, and answers."""
    if "sent as" in request.text:
        return answer(3)
    return calls(("post", {"text": "x"})) if "a is 1" in request.text else look("a", "bb")


def rag(server: FakeServer, kb: str, **keys: Any) -> Recipe:
    return recipe_of("rag", server, answer__format="text", retrieval__kb=kb, **{"k": 1, **keys})


def react(server: FakeServer, *tools: str) -> Recipe:
    return recipe_of("react", server, tools__use=list(tools or ("lookup", "post")))


def replayed(run_id: str, **changes: Any) -> tuple[Replay, Result]:
    async def work() -> tuple[Replay, Result]:
        opened = await start_replay(run_id, Changes(**changes))
        async with opened.run as run:
            (result,) = [result async for result in run.solve_all(opened.tasks)]
        return opened, result

    found = go(work())
    assert isinstance(found, tuple)
    return found


def borrowed(recipe: Recipe, source: str, task: Task = TASK) -> Result:
    async def work() -> Result:
        async with await Run.start(recipe, draws_from=source) as run:
            return await run.solve(task)

    found = go(work())
    assert isinstance(found, Result)
    return found


def add(kb: str, text: str) -> None:
    file = load_settings().home / "more.jsonl"
    file.write_text(f'{{"id": "more", "text": "{text}"}}\n', encoding="utf-8")
    with KnowledgeBase.open(kb) as base:
        base.add(file)


def without(result: Result, what: bytes) -> None:
    """Takes the journal's lines that hold this away."""
    path = Path(result.journal)
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(line for line in lines if what not in line))


class TestReplays:
    def test_recorded_searches_are_served_whatever_became_of_the_documents(self) -> None:
        kb = documents(TEXTS)
        with FakeServer(reader) as server:
            first = rag(server, kb).run(TASK)
            add(kb, "Ister Brunn river")
            server.stop()
            opened, again = replayed(first.run_id)
        assert again.comparable() == first.comparable() and again.retrieval == first.retrieval
        assert opened.served["search"] == 1 and not opened.lacking

    def test_a_search_that_was_not_recorded_is_a_failure_that_says_so(self) -> None:
        kb = documents(TEXTS)
        with FakeServer(reader) as server:
            first = rag(server, kb).run(TASK)
            opened, again = replayed(first.run_id, overrides={"knobs.k": 2})
        told = [failure for failure in again.failures if "search" in failure.where]
        assert [failure.error for failure in told] == ["RetrievalError"]
        assert "a replay does not search" in told[0].message
        assert opened.lacking["search"] == 1 and not opened.made
        assert again.retrieval is not None and again.retrieval.passages == ()

    def test_recorded_tool_results_are_served_and_no_tool_is_called(self) -> None:
        with FakeServer(agent) as server:
            first = react(server).run(TASK)
            CALLED.clear()
            server.stop()
            opened, again = replayed(first.run_id)
        assert again.comparable() == first.comparable() and CALLED == []
        assert (opened.served["tool lookup"], opened.served["tool post"]) == (1, 1)

    @pytest.mark.parametrize("name", ["lookup", "post"])
    def test_a_result_that_was_not_recorded_is_a_failure_that_says_so(self, name: str) -> None:
        with FakeServer(agent) as server:
            first = react(server).run(TASK)
            CALLED.clear()
            without(first, b'"value":{"call":{"id":"call_0","name":"%s"' % name.encode())
            opened, again = replayed(first.run_id)
            assert CALLED == [] and server.calls == 3
        assert again.status == "failed" and again.answer is None
        assert any("the recording has no result of" in failure.message for failure in again.failures)
        assert opened.lacking == {f"tool {name}": 1} and not opened.made and not opened.missing
        assert replayed(again.run_id)[1].status == "failed", "what a replay lacked is no recording"

    @pytest.mark.parametrize("key", ["retrieval.kb", "tools.use"])
    def test_documents_and_tools_cannot_be_changed(self, key: str) -> None:
        with FakeServer(agent) as server:
            first = react(server).run(TASK)
        with pytest.raises(ConfigurationError, match=f"a replay cannot change '{key}'"):
            replayed(first.run_id, overrides={key: ["calculator"]})


class TestBorrowedReplies:
    def test_the_same_documents_lend_their_searches(self) -> None:
        kb = documents(TEXTS)
        with FakeServer(reader) as server:
            first = rag(server, kb).run(TASK)
            again = borrowed(rag(server, kb), first.run_id)
            assert server.calls == 1
        assert again.retrieval == first.retrieval
        assert any(event.get("role") == "search" and event.get("replayed") for event in journal_of(again))

    def test_changed_documents_are_searched_anew(self) -> None:
        kb = documents(TEXTS)
        with FakeServer(reader) as server:
            first = rag(server, kb).run(TASK)
            add(kb, "Which river flows through Brunn? Which river? Brunn.")
            again = borrowed(rag(server, kb), first.run_id)
            assert server.calls == 2, "another passage is another prompt"
        assert again.retrieval is not None and [item.id for item in again.retrieval.passages] == ["more"]
        assert not any(event.get("role") == "search" and event.get("replayed") for event in journal_of(again))

    def test_tools_are_the_borrowers_own(self) -> None:
        with FakeServer(agent) as server:
            first = react(server).run(TASK)
            CALLED.clear()
            again = borrowed(react(server), first.run_id)
        assert [name for name, _ in CALLED] == ["lookup", "post"] and again.status == "ok"
