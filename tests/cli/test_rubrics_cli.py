"""``phronesis rubrics`` as a user meets it."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from phronesis.cli.main import main
from phronesis.testing import FakeRequest, FakeServer

Phronesis = Callable[..., tuple[int, str, str]]
_CODE = re.compile(r'"check": "(\w{4})"')
MINE = """schema = "phronesis/rubric/1"
name = "mine"
[[criteria]]
name = "sum"
question = "Is the sum right?"
choices = ["no", "yes"]
weight = 0.5
[[criteria]]
name = "words"
question = "Is it in words?"
choices = ["no", "yes"]
weight = 0.5
"""


@pytest.fixture
def phronesis(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Phronesis:
    """Calls ``phronesis rubrics``; returns exit code, output and messages."""

    def call(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["phronesis", "rubrics", *arguments])
        code = 0
        try:
            main()
        except SystemExit as stop:
            code = int(stop.code or 0)
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return call


def judging(request: FakeRequest, index: int) -> str:
    """Sees the sum, and finds no words anywhere."""
    code = _CODE.search(request.user)
    said = {"sum": "yes" if "is 4" in request.user else "no", "words": "no"}
    parts = {name: {"reason": "seen", "choice": choice} for name, choice in said.items()}
    return json.dumps({"check": code[1] if code else "", **parts})


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeServer]:
    with FakeServer(judging) as running:
        monkeypatch.setenv("OPENAI_BASE_URL", running.url)
        yield running


@pytest.fixture
def mine(tmp_path: Path) -> str:
    (tmp_path / "mine.toml").write_text(MINE, encoding="utf-8")
    return str(tmp_path / "mine.toml")


@pytest.fixture
def labelled(tmp_path: Path) -> str:
    pair = [{"text": "It is 4.", "right": True, "answer": "4"}, {"text": "It is 5.", "right": False, "answer": "5"}]
    rows = [{"id": f"q{n}", "question": f"What is 2 + 2, way {n}?", "attempts": pair} for n in range(6)]
    path = tmp_path / "labelled.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return str(path)


def test_list_and_show(phronesis: Phronesis) -> None:
    code, said, _ = phronesis("list")
    assert code == 0 and "taxonomy:deep_research" in said
    rows: list[dict[str, Any]] = json.loads(phronesis("list", "--json")[1])
    assert {row["name"] for row in rows} >= {"math", "code"}
    code, said, _ = phronesis("show", "math")
    assert code == 0 and "accepted from 0.75" in said and "0.00  wrong" in said
    assert json.loads(phronesis("show", "math", "--json")[1])["name"] == "math"


def test_validate(phronesis: Phronesis, mine: str, tmp_path: Path) -> None:
    assert phronesis("validate", mine, "math")[0] == 0
    assert json.loads(phronesis("validate", mine, "--json")[1]) == [{"name": mine, "valid": True, "criteria": 2}]
    (tmp_path / "bad.toml").write_text(MINE.replace("0.5", "0.4"), encoding="utf-8")
    code, _, said = phronesis("validate", str(tmp_path / "bad.toml"))
    assert code == 2 and "bad.toml" in said and "sum to 0.8, wanted is 1" in said
    code, _, said = phronesis("validate", str(tmp_path / "none.toml"))
    assert code == 2 and "there is no rubric" in said


def test_agreement_with_labels_by_criterion(phronesis: Phronesis, server: FakeServer, mine: str, labelled: str) -> None:
    code, said, _ = phronesis("test", mine, "--attempts", labelled, "--json")
    assert code == 0
    found = {item["criterion"]: item for item in json.loads(said)["criteria"]}
    assert found["sum"]["auroc"][0] == found["sum"]["prefers_right"] == 1.0
    assert (found["words"]["auroc"][0], found["words"]["ties"]) == (0.5, 1.0)
    assert found["whole rubric"]["pairs"] == 6 and server.calls == 12


def test_the_table_a_dry_run_and_a_second_look(
    phronesis: Phronesis, server: FakeServer, mine: str, labelled: str
) -> None:
    code, said, _ = phronesis("test", mine, "--attempts", labelled, "--dry-run")
    assert code == 0 and "at most 24 calls" in said and server.calls == 0
    code, said, _ = phronesis("test", mine, "--attempts", labelled)
    assert code == 0 and "prefers right" in said and "balanced accuracy" in said
    run = re.search(r"scores ([\w-]+)\)", said)
    assert run is not None
    calls = server.calls
    again = phronesis("test", mine, "--attempts", labelled, "--scores", run[1], "--json")
    assert again[0] == 0 and server.calls == calls


def test_a_wrong_option_is_refused_before_anything_is_asked(
    phronesis: Phronesis, server: FakeServer, mine: str, labelled: str
) -> None:
    code, _, said = phronesis("test", mine, "--attempts", labelled, "--options", "echo=true")
    assert code == 2 and "each" in said and server.calls == 0
