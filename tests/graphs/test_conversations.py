"""System message and earlier turns, through every strategy there is: nobody loses them, nobody reorders them."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from toy_documents import documents

from phronesis.core.events import Event, read_events
from phronesis.core.http import close_pools
from phronesis.core.settings import load_settings
from phronesis.core.task import Message, Task
from phronesis.graphs.recipe import Recipe
from phronesis.graphs.registry import find, names
from phronesis.graphs.run import Run
from phronesis.testing import FakeReply, FakeRequest, FakeServer

SMALL = {"k": 4, "n": 4, "width": 2, "rounds": 1, "depth": 2, "samples": 3, "quality_floor": 2.0}
"""Knobs of any strategy that bear these names; the rest keep their defaults."""
DRAWING = [name for name in names() if not find(name).knobs.model_fields.get("bank")]
"""Strategies that ask a model for attempts; the others choose among a recorded run's."""
HISTORY = (
    Message(role="system", content="You are a careful clerk. {{memory}}"),
    Message(role="user", content="A crate holds 12 bottles."),
    Message(role="assistant", content="Noted: 12 bottles in a crate."),
    Message(role="user", content="I bought 3 crates."),
    Message(role="assistant", content="So you have 36 bottles."),
)
SAID = [{"role": turn.role, "content": turn.content} for turn in HISTORY]
QUESTION = "And how many are left when 5 break?"
TASK = Task(messages=(*HISTORY, Message(role="user", content=QUESTION)), id="crates")


def disagree(request: FakeRequest, index: int) -> FakeReply:
    """Answers that all differ, so that whatever a strategy does with a hard question is done."""
    if "Write down the one idea" in request.user:
        return FakeReply('{"situation": "things break", "suggestion": "take them off the total"}')
    value = 20 + (request.fingerprint + index) % 7
    return FakeReply(f" {value} + 0 = {value}.\nStep 2: So it is \\boxed{{{value}}}.", top={" Yes": -0.5, " No": -1.0})


def calls(strategy: str, task: Task, **more: Any) -> list[Event]:
    """Every call the strategy made for the task."""
    knobs = {name: value for name, value in SMALL.items() if name in find(strategy).knobs.model_fields}
    data = {
        "schema": "phronesis/recipe/1",
        "name": strategy,
        "strategy": strategy,
        "knobs": knobs | more.pop("knobs", {}),
    }
    if find(strategy).retrieves(find(strategy).knobs()):
        data["retrieval"] = {"kb": documents({"p1": "A crate holds bottles.", "p2": "Bottles break."})}
    recipe = Recipe.from_data({**data, "answer": {"format": "number"}, **more})

    async def work() -> Path:
        try:
            async with await Run.start(recipe, settings=load_settings()) as run:
                await run.solve(task)
            assert run.folder is not None
            return run.folder
        finally:
            await close_pools()

    folder = asyncio.run(work())
    return [event for event in read_events(folder / "journal.jsonl") if event.type == "call"]


@pytest.fixture(autouse=True)
def server(monkeypatch: pytest.MonkeyPatch) -> Any:
    with FakeServer(disagree) as running:
        monkeypatch.setenv("OPENAI_BASE_URL", running.url)
        yield running


@pytest.mark.parametrize("strategy", DRAWING)
def test_every_request_begins_with_the_conversation(strategy: str) -> None:
    made = calls(strategy, TASK)
    assert made
    for event in made:
        messages = event.data["request"]["messages"]
        if find(strategy).uses_tools(find(strategy).knobs()):
            # The rules of the tools stand behind the task's own system message: servers take one only.
            assert messages[0]["content"].startswith(SAID[0]["content"])
            assert messages[1 : len(SAID)] == SAID[1:], f"{event.key} lost or changed a turn"
        else:
            assert messages[: len(SAID)] == SAID, f"{event.key} lost or changed a turn"
        assert [item["role"] for item in messages].count("system") == 1
        last = next(item["content"] for item in reversed(messages) if item["role"] == "user")
        assert event.data["role"] != "solver" or QUESTION in last


@pytest.mark.parametrize("strategy", DRAWING)
def test_without_a_history_nothing_is_put_before_the_question(strategy: str) -> None:
    for event in calls(strategy, Task(messages=QUESTION, id="alone")):
        assert not any(turn["content"] in str(event.data["request"]["messages"]) for turn in SAID)


def test_a_judge_reads_the_conversation() -> None:
    made = calls("magicore", TASK, knobs={"outcome": "judge"})
    assert {"solver", "reviewer", "refiner", "judge"} == {event.data["role"] for event in made}
    judged = [event for event in made if event.data["role"] == "judge"]
    assert all(event.data["request"]["messages"][: len(SAID)] == SAID for event in judged)


def test_a_lesson_is_drawn_from_the_turns_with_their_numbers_masked(monkeypatch: pytest.MonkeyPatch) -> None:
    with FakeServer(
        lambda request, index: disagree(request, 0) if "one idea" in request.user else " 36 - 5 = 31\n\\boxed{31}"
    ) as agreeing:
        monkeypatch.setenv("OPENAI_BASE_URL", agreeing.url)
        made = calls("self_consistency", TASK, memory={"mode": "write"})
    (lesson,) = [event for event in made if event.data["role"] == "abstractor"]
    messages = lesson.data["request"]["messages"]
    assert [item["role"] for item in messages] == ["user", "assistant", "user", "assistant", "user"]
    assert messages[0]["content"] == "A crate holds # bottles."
    assert "careful clerk" not in str(messages) and "31" not in str(messages)
