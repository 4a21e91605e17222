"""``phronesis memory explain`` and ``memory search --mode``, as a user meets them."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from phronesis.cli.main import main
from phronesis.core.concept import Concept
from phronesis.core.settings import load_settings
from phronesis.memory.session import Memory
from phronesis.testing import FakeRequest, FakeServer

Phronesis = Callable[..., tuple[int, str, str]]
PUMPS = Concept(
    situation="two pumps fill a tank", suggestion="add the rates \x1b[31mred", cues=("how long do pumps take",)
)
COST = Concept(situation="a cost is shared", suggestion="divide by the parts")


@pytest.fixture
def phronesis(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Phronesis:
    """Calls the command; returns exit code, output and messages."""

    def call(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["phronesis", *arguments])
        code = 0
        try:
            main()
        except SystemExit as stop:
            code = int(stop.code or 0)
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return call


def agents(request: FakeRequest, index: int) -> str:
    if "Choose at most" in request.user:
        return '{"ids": ["c1"], "why": ["both are about pumps"]}'
    return " 7 + 5 = 12.\nStep 2: So it is \\boxed{12}"


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeServer]:
    with FakeServer(agents) as running:
        monkeypatch.setenv("OPENAI_BASE_URL", running.url)
        with Memory.open("m") as memory:
            memory.add([PUMPS, COST])
        yield running


def run_of(phronesis: Phronesis, *arguments: str) -> str:
    asked = ("run", "self_consistency", "How long do pumps take?", "--session", "m", "--set", "knobs.k=2")
    code, out, err = phronesis(*asked, *arguments, "--json")
    assert code == 0, err
    return str(json.loads(out.splitlines()[0])["run_id"])


def test_it_says_what_was_asked_found_shown_and_what_became_of_it(phronesis: Phronesis, server: FakeServer) -> None:
    run = run_of(phronesis, "--memory", "read", "--set", "memory.select=ids", "--set", "memory.least_similarity=-1")
    with Memory.open("m") as memory:
        memory.record_use(["c1"], accepted=True, operation="another run")
    code, out, _ = phronesis("memory", "explain", run)
    assert code == 0 and "\x1b" not in out
    for said in (
        "memory m in mode read",
        "looked for (hybrid, version 2): How long do pumps take?",
        'found by dense rank 1, lexical rank 1, nearest by "how long do pumps take"',
        "[given]  shown (selected: both are about pumps)",
        "not shown: not selected",
        "when a cost is shared: divide by the parts",
        "now: active, helped 2 and harmed 0 of 2 runs",
        "the answer 12 was accepted",
    ):
        assert said in out, (said, out)
    code, out, _ = phronesis("memory", "explain", run, "--json")
    data = json.loads(out)
    (task,) = data["tasks"]
    (recall,) = task["recalls"]
    assert (data["session"], recall["at"], recall["query"]) == ("m", "", "How long do pumps take?")
    assert {item["id"]: (item["rendered"], item["reason"]) for item in recall["found"]} == {
        "c1": (True, ""),
        "c2": (False, "not selected"),
    }
    assert data["concepts"]["c1"]["helped"] == 2 and data["concepts"]["c1"]["trust"] == "given"
    assert phronesis("memory", "explain", run, "--task", task["task"])[0] == 0


def test_a_memory_that_is_gone_leaves_what_the_journal_knows(phronesis: Phronesis, server: FakeServer) -> None:
    run = run_of(phronesis, "--memory", "frozen")
    shutil.rmtree(load_settings().memory)
    code, out, _ = phronesis("memory", "explain", run)
    assert code == 0
    assert "what the concepts are now is not known: there is no memory 'm'" in out
    assert "add the rates" in out and "now: not there" in out


def test_a_mounted_concept_is_looked_up_where_it_lives(phronesis: Phronesis, server: FakeServer) -> None:
    with Memory.open("house") as memory:
        memory.add([Concept(situation="pumps fill a tank", suggestion="mind the unit")])
    run = run_of(phronesis, "--memory", "frozen", "--mount", "house", "--set", "memory.least_similarity=-1")
    code, out, _ = phronesis("memory", "explain", run)
    assert code == 0 and "house/c1" in out and "not there" not in out and "is not known" not in out
    shutil.rmtree(load_settings().memory / "house")
    code, out, _ = phronesis("memory", "explain", run)
    assert code == 0 and "there is no memory 'house'" in out
    assert out.count("now: not there") == 1 and "now: active" in out


def test_a_journal_without_texts_still_says_which_and_why(phronesis: Phronesis, server: FakeServer) -> None:
    run = run_of(phronesis, "--memory", "read")
    path = load_settings().runs / run / "journal.jsonl"
    kept = [json.loads(line) for line in path.read_text().splitlines()]
    for event in kept:
        for name in ("value", "request"):
            if event["type"] == "recall":
                event.pop(name)
    path.write_text("".join(json.dumps(event) + "\n" for event in kept))
    code, out, _ = phronesis("memory", "explain", run)
    assert code == 0 and "looked for (hybrid, version 2): -" in out and "dense rank 1" in out


def test_a_stopped_run_and_an_older_journal(phronesis: Phronesis, server: FakeServer) -> None:
    run = run_of(phronesis, "--memory", "read", "--set", "memory.least_similarity=-1")
    path = load_settings().runs / run / "journal.jsonl"
    lines = path.read_text().splitlines(keepends=True)
    older = [line for line in lines if '"key":"memory"' not in line]
    path.write_text("".join(older))
    code, out, _ = phronesis("memory", "explain", run)
    assert code == 0 and "c1" in out and " shown\n" in out
    at = next(number for number, line in enumerate(lines) if '"type":"recall"' in line)
    path.write_text("".join(lines[: at + 1]))
    code, out, _ = phronesis("memory", "explain", run)
    assert code == 0 and "the task is not finished" in out and "not shown: unknown" in out


def test_wrong_usage_names_the_value(phronesis: Phronesis, server: FakeServer, home: Path) -> None:
    assert phronesis("memory", "explain", "20200101-000000-abcdef")[0] == 2
    plain = json.loads(phronesis("run", "direct", "What?", "--json")[1])["run_id"]
    code, _, err = phronesis("memory", "explain", plain)
    assert code == 2 and "used no memory" in err
    run = run_of(phronesis, "--memory", "read")
    code, _, err = phronesis("memory", "explain", run, "--task", "nope")
    assert code == 2 and "'nope'" in err


def test_search_has_modes(phronesis: Phronesis, server: FakeServer) -> None:
    found = {}
    for mode in ("dense", "lexical", "hybrid"):
        code, out, _ = phronesis("memory", "search", "--session", "m", "--mode", mode, "--json", "pumps")
        assert code == 0
        found[mode] = [hit["id"] for hit in json.loads(out)]
    assert found == {"dense": ["c1", "c2"], "lexical": ["c1"], "hybrid": ["c1", "c2"]}
    code, _, err = phronesis("memory", "search", "--session", "m", "--mode", "fuzzy", "pumps")
    assert code == 2 and "'fuzzy'" in err and "dense, lexical, hybrid" in err


def test_a_plan_counts_what_recalling_may_cost(phronesis: Phronesis, server: FakeServer) -> None:
    keys = ("--set", "memory.select=ids", "--set", "memory.skip_easy=3", "--memory", "read")
    code, out, _ = phronesis("run", "direct", "What?", *keys, "--dry-run")
    assert code == 0 and "and 3 to 5 calls more for each task to recall" in out
    assert json.loads(phronesis("run", "direct", "What?", *keys, "--dry-run", "--json")[1])[
        "recall_calls_per_task"
    ] == {
        "least": 3,
        "most": 5,
    }
