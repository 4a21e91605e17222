"""LaTeX from the prompt to the grade: what a model is asked for, how votes join, how a bench grades."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from phronesis.agents.programmer import RETURN_INSTRUCTIONS
from phronesis.agents.solver import ANSWER_INSTRUCTIONS, Solver
from phronesis.cli.main import main
from phronesis.core.chat import Sampling
from phronesis.core.task import Task
from phronesis.graphs.recipe import Recipe
from phronesis.testing import FakeRequest, FakeServer, ScriptedClient

REPLIES = [
    r"\boxed{7}",
    r"\boxed{\frac{\sqrt{3}}{3}}",
    r"So \boxed{x = \frac{1}{\sqrt3}}",
    r"Answer: $\dfrac{\sqrt 3}{3}$",
]


def test_a_formula_is_asked_for_in_a_box() -> None:
    task = Task(messages="What is it?", answer_format="latex")  # type: ignore[arg-type]
    asked = Solver(client=ScriptedClient([]), sampling=Sampling()).request(task, "latex")  # type: ignore[arg-type]
    assert "\\boxed{}" in ANSWER_INSTRUCTIONS["latex"] and ANSWER_INSTRUCTIONS["latex"] in asked.messages[-1].content
    assert "LaTeX" in RETURN_INSTRUCTIONS["latex"]


def test_a_vote_joins_formulas_that_are_equal(monkeypatch: pytest.MonkeyPatch) -> None:
    with FakeServer(lambda request, index: REPLIES[index % 4]) as server:
        monkeypatch.setenv("OPENAI_BASE_URL", server.url)
        recipe = Recipe.load("self_consistency", overrides={"knobs.k": 4, "answer.format": "latex"})
        assert recipe.run("What is tan 30°?").answer == r"\frac{\sqrt{3}}{3}"


def test_a_bench_grades_formulas(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [
        {"id": "right", "question": "tan 30?", "gold": r"\tfrac{1}{\sqrt{3}}", "grader": "latex"},
        {"id": "wrong", "question": "tan 60?", "gold": r"\sqrt{3}", "grader": "latex"},
        {"id": "unread", "question": "silence?", "gold": r"\pi", "grader": "latex"},
    ]
    path = tmp_path / "tan.jsonl"
    path.write_text("".join(json.dumps({**row, "answer_format": "latex"}) + "\n" for row in rows), encoding="utf-8")

    def reply(request: FakeRequest, index: int) -> str:
        return "I do not know." if "silence" in request.user else REPLIES[1]

    with FakeServer(reply) as server:
        monkeypatch.setenv("OPENAI_BASE_URL", server.url)
        out = tmp_path / "out"
        arguments = ["bench", "run", "--recipe", "direct", "--dataset", str(path), "--out", str(out), "--json"]
        monkeypatch.setattr(sys, "argv", ["phronesis", *arguments])
        with pytest.raises(SystemExit) as stop:
            main()
    capsys.readouterr()
    assert not stop.value.code
    items = {item["task"]: item for item in map(json.loads, (out / "items.jsonl").read_text().splitlines())}
    assert {name: (item.get("correct", False), item.get("parsed", False)) for name, item in items.items()} == {
        "right": (True, True),
        "wrong": (False, True),
        "unread": (False, False),
    }
