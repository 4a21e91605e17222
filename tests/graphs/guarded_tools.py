"""A tool that a person has to allow, installed by an entry point, and agents that call it; what was really done is kept."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from strategy_runs import recipe_of

from phronesis.core.task import Task
from phronesis.graphs.recipe import Recipe
from phronesis.testing import FakeRequest, FakeServer
from phronesis.tools.function_tool import tool

SENT: list[str] = []
"""Texts that were really sent, oldest first; the fixture empties it."""


@tool(dangerous=True)
async def send(text: str) -> str:
    """Sends a text to everybody."""
    SENT.append(text)
    return f"sent {text!r}"


def install(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Makes the tool findable by name and forgets what was sent."""
    SENT.clear()
    info = folder / "site" / "guarded_tools-1.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: guarded-tools\nVersion: 1\n", encoding="utf-8")
    points = "[phronesis.tools]\nsend = guarded_tools:send\n"
    (info / "entry_points.txt").write_text(points, encoding="utf-8")
    monkeypatch.syspath_prepend(str(folder / "site"))


def turn(tool: str, **arguments: Any) -> str:
    return json.dumps({"thought": "Let me see.", "tool": tool, "arguments": arguments})


def answered(value: object) -> str:
    return json.dumps({"thought": "I know.", "answer": str(value)})


def agent(request: FakeRequest, index: int) -> str:
    """Sends what the question quotes, then answers 1 when it was sent and 2 when it was not."""
    if "No tool can be called any more" in request.text:
        return "The answer is \\boxed{9}."
    if "did not allow" in request.text:
        return answered(2)
    if "sent '" in request.text:
        return answered(1)
    quoted = request.text.split("<<")[-1].split(">>")[0]
    return turn("send", text=quoted)


def task(name: str) -> Task:
    return Task(messages=f"Send <<{name}>> and count.", id=name)


def guarded(server: FakeServer, **keys: Any) -> Recipe:
    return recipe_of("react", server, **{"tools__use": ["send"], **keys})
