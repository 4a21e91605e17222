"""Benches over documents: what was found is graded, changed documents are refused, workers search too, nobody is asked."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import orjson
import pytest
from typer.testing import CliRunner, Result

from phronesis.bench.dataset import Example
from phronesis.bench.graders.qa import ByOverlap
from phronesis.bench.running.folder import BenchFolder
from phronesis.bench.running.grading import grade_item
from phronesis.bench.running.plan import Cell
from phronesis.cli.main import app
from phronesis.core.errors import ConfigurationError
from phronesis.core.result import Candidate, FoundPassage, RetrievalReport
from phronesis.core.result import Result as Solved
from phronesis.core.task import Task
from phronesis.testing import FakeRequest, FakeServer
from phronesis.tools.knowledge.base import KnowledgeBase

RIVERS = {"a": ("Brunn", "Ister"), "b": ("Altdorf", "Reuss"), "c": ("Lund", "Hoje")}


def written(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_bytes(b"".join(orjson.dumps(row) + b"\n" for row in rows))
    return path


@pytest.fixture
def kb(tmp_path: Path) -> str:
    rows = [
        {"id": name, "title": town, "text": f"The river {river} flows through {town}."}
        for name, (town, river) in RIVERS.items()
    ]
    with KnowledgeBase.open("rivers") as base:
        base.add(written(tmp_path / "rivers.jsonl", rows))
    return "rivers"


@pytest.fixture
def data(tmp_path: Path) -> Path:
    rows = [
        {
            "id": name,
            "question": f"Which river flows through {town}?",
            "answer": river,
            "answer_format": "text",
            "gold_pids": [name] if name != "c" else [name, "nowhere"],
        }
        for name, (town, river) in RIVERS.items()
    ]
    return written(tmp_path / "questions.jsonl", rows)


def reader(request: FakeRequest, index: int) -> str:
    """Names the right river for two towns and the wrong one for Lund."""
    asked = request.user.rsplit("through ", 1)[-1]
    known = {"Brunn": "Ister", "Altdorf": "Reuss"}
    river = next((river for town, river in known.items() if asked.startswith(town)), "Rhine")
    return f"It says so [1].\n\\boxed{{{river}}}"


def bench(out: Path, data: Path, *more: str) -> Result:
    arguments = ["bench", "run", "--recipe", "rag", "--dataset", str(data), "--grader", "qa", "--out", str(out)]
    return CliRunner().invoke(app, [*arguments, "--set", "retrieval.kb=rivers", "--set", "knobs.k=1", *more])


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Any:
    with FakeServer(reader) as running:
        monkeypatch.setenv("OPENAI_BASE_URL", running.url)
        yield running


def test_found_paragraphs_are_figures_of_items_summary_and_report(
    server: FakeServer, kb: str, data: Path, tmp_path: Path
) -> None:
    out = tmp_path / "bench"
    done = bench(out, data, "--json")
    assert done.exit_code == 0, done.output
    (row,) = json.loads(done.stdout)
    assert row["figures"]["em"][0] == row["figures"]["f1"][0] == pytest.approx(2 / 3, abs=1e-4)
    assert row["figures"]["recall"][0] == pytest.approx((1 + 1 + 0.5) / 3, abs=1e-4)
    assert row["figures"]["all_found"][0] == pytest.approx(2 / 3, abs=1e-4)
    value, low, high = row["figures"]["recall"]
    assert low <= value <= high and low < high
    items = {item.task: item for item in BenchFolder(out).items()}
    assert items["c"].figures == {"em": 0.0, "f1": 0.0, "recall": 0.5, "all_found": 0.0}
    page, markdown = tmp_path / "page.html", tmp_path / "page.md"
    report = CliRunner().invoke(app, ["bench", "report", str(out), "--out", str(page), "--markdown", str(markdown)])
    assert report.exit_code == 0, report.output
    for path in (page, markdown):
        text = path.read_text(encoding="utf-8")
        assert "recall, %" in text and "83.3 [" in text
    shown = CliRunner().invoke(app, ["bench", "show", str(out), "--task", "c"]).stdout
    assert "figures   em 0, f1 0, recall 0.5, all_found 0" in shown


def test_the_same_command_again_asks_nothing_and_changed_documents_are_refused(
    server: FakeServer, kb: str, data: Path, tmp_path: Path
) -> None:
    out = tmp_path / "bench"
    assert bench(out, data).exit_code == 0
    calls, items = server.calls, (out / "items.jsonl").read_bytes()
    assert bench(out, data).exit_code == 0
    assert server.calls == calls and (out / "items.jsonl").read_bytes() == items
    with KnowledgeBase.open("rivers") as base:
        base.add(written(tmp_path / "more.jsonl", [{"id": "d", "title": "Town", "text": "Another river."}]))
    refused = bench(out, data)
    assert isinstance(refused.exception, ConfigurationError) and server.calls == calls
    assert 'the documents of kb(name="rivers") are not what they were (fingerprint ' in str(refused.exception)


def test_workers_search_the_same_documents(server: FakeServer, kb: str, data: Path, tmp_path: Path) -> None:
    assert bench(tmp_path / "one", data).exit_code == 0
    done = bench(tmp_path / "two", data, "--executor", "processes(n=2)")
    assert done.exit_code == 0, done.output
    one, two = ({item.task: item.figures for item in BenchFolder(tmp_path / name).items()} for name in ("one", "two"))
    assert one == two and set(one) == set(RIVERS)


def test_a_kb_that_is_not_there_is_refused_before_anything_is_paid(
    server: FakeServer, data: Path, tmp_path: Path
) -> None:
    done = bench(tmp_path / "bench", data)
    assert isinstance(done.exception, ConfigurationError) and "'rivers'" in str(done.exception) and server.calls == 0


def test_a_bench_that_would_ask_a_person_is_refused(server: FakeServer, data: Path, tmp_path: Path) -> None:
    arguments = ["bench", "run", "--recipe", "react", "--dataset", str(data), "--grader", "qa"]
    tools = ["--set", 'tools.use=["calculator"]', "--set", "tools.approve=all", "--out", str(tmp_path / "bench")]
    done = CliRunner().invoke(app, [*arguments, *tools])
    assert isinstance(done.exception, ConfigurationError) and server.calls == 0
    assert "in a bench nobody is there" in str(done.exception)


def test_a_search_that_failed_is_no_call_of_a_model(kb: str, data: Path, tmp_path: Path, server: FakeServer) -> None:
    done = bench(tmp_path / "bench", data, "--budget", "tools.search=0", "--json")
    (row,) = json.loads(done.stdout)
    roles = {call.role for item in BenchFolder(tmp_path / "bench").items() for call in item.calls}
    assert "search" not in roles and "search" not in row["by_role"]


def test_an_unread_answer_keeps_what_was_found() -> None:
    passages = (FoundPassage(id="a"), FoundPassage(id="x"))
    result = Solved(
        task_id="t",
        status="ok",
        answer=None,
        candidates=(Candidate(id="c0", status="unparsable", text="?"),),
        retrieval=RetrievalReport(retriever="kb", passages=passages),
    )
    example = Example(Task(messages="q", id="t", answer_format="text"), "Ister", facts={"gold_pids": ["a", "b"]})
    item = asyncio.run(grade_item(Cell("arm", "set", 0), example, result, (), ByOverlap()))
    assert (item.correct, item.parsed) == (False, False)
    assert item.figures == {"em": 0.0, "f1": 0.0, "recall": 0.5, "all_found": 0.0}
    without = asyncio.run(
        grade_item(Cell("arm", "set", 0), example, result.model_copy(update={"retrieval": None}), (), ByOverlap())
    )
    assert without.figures == {} and not without.parsed
