"""What the command line says of learning: its cost before a run, and what became of each lesson after it."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from phronesis.cli.lessons import lesson, outcome
from phronesis.cli.main import main
from phronesis.core.result import MemoryWrite
from phronesis.testing import FakeRequest, FakeServer

RECIPE = """
schema = "phronesis/recipe/1"
name = "learns"
strategy = "self_consistency"
[knobs]
k = 3
[memory]
mode = "write"
verifier = "execution(programs=2)"
form = "parameterised"
[answer]
format = "number"
"""
SUM = {"concept": "put together", "kind": "routine", "description": "adds amounts", "cues": ["two amounts"]}


def agents(request: FakeRequest, index: int) -> str:
    if "def solution" in request.text:
        return "    return 12\n"
    if "as short pseudocode" in request.user:
        return json.dumps({"pseudocode": "sum = first + second", "summary": "put together"})
    if "Take it apart into concepts" in request.user:
        odd = {"concept": "mirror [red]bold[/red]", "kind": "idea", "description": "turn it"}
        return json.dumps({"concepts": [SUM, odd]})
    return "7 + 5 = 12. \\boxed{12}"


Call = Callable[..., int]


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch) -> Call:
    """Calls the command; returns its exit code."""

    def made(*arguments: str) -> int:
        monkeypatch.setattr(sys, "argv", ["phronesis", *arguments])
        try:
            main()
        except SystemExit as stop:
            return int(stop.code or 0)
        return 0

    return made


@pytest.fixture
def recipe(tmp_path: Path) -> str:
    path = tmp_path / "learns.toml"
    path.write_text(RECIPE)
    return str(path)


def test_the_cost_is_told_before(call: Call, recipe: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert call("recipes", "cost", recipe) == 0
    assert "to learn: V + A + R = 0 to 6 calls" in capsys.readouterr().out
    assert call("recipes", "cost", recipe, "--json") == 0
    law = json.loads(capsys.readouterr().out)["learning"]
    assert law["calls"]["most"] == 6 and set(law["observables"]) == {"V", "A", "R"}
    assert call("run", recipe, "q", "--dry-run", "--json") == 0
    assert json.loads(capsys.readouterr().out)["learning_calls_per_task"]["most"] == 6
    assert call("run", recipe, "q", "--dry-run", "--memory", "frozen") == 0
    assert "to learn" not in capsys.readouterr().out


def test_each_outcome_and_its_reason_is_shown(
    call: Call, recipe: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with FakeServer(agents) as server:
        monkeypatch.setenv("OPENAI_BASE_URL", server.url)
        assert call("run", recipe, "What is 7 + 5?") == 0
        out = " ".join(capsys.readouterr().out.split())
        assert "memory written c1 (new): put together: adds amounts" in out
        assert (
            "memory refused (a new concept of the kind 'idea'; structure or routine is needed): mirror [red]bold" in out
        )
        assert call("run", recipe, "What is 7 + 5?", "--json") == 0
        result = json.loads(capsys.readouterr().out)
    assert [item["outcome"] for item in result["memory"]["written"]] == ["duplicate", "refused"]
    assert call("runs", "show", result["run_id"], "--full") == 0
    out = " ".join(capsys.readouterr().out.replace("│", " ").split())
    assert "memory duplicate c1 (c1 says the same word for word): put together" in out


def test_words_for_lessons() -> None:
    said = MemoryWrite(outcome="written", reason="new", id="c1", situation="a", suggestion="b").model_dump()
    assert outcome(said) == "written c1 (new): when a: b"
    assert outcome({"outcome": "refused", "reason": "no\x1b[31m"}).isprintable()
    assert lesson({}) == ""
