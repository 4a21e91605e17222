"""The Python contract: loading, overriding, running from sync and async code, the stream of events."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import phronesis
from phronesis.core.errors import ConceptStoreError, RecipeError, UnknownStrategy
from phronesis.core.http import close_pools
from phronesis.graphs.recipe import Recipe, shipped
from phronesis.testing import FakeRequest, FakeServer

HEAD = 'schema = "phronesis/recipe/1"\nname = "mine"\n'


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeServer]:
    with FakeServer() as running:
        monkeypatch.setenv("OPENAI_BASE_URL", running.url)
        yield running


def test_a_recipe_runs_from_plain_code(server: FakeServer) -> None:
    result = phronesis.Recipe.load("self_consistency", overrides={"knobs.k": 3}).run("What is 3 + 4?")
    assert len(result.candidates) == 3 and result.usage.calls == server.calls == 3
    assert phronesis.Result.model_validate_json(result.model_dump_json()) == result


def test_the_sync_door_opens_inside_a_running_loop(server: FakeServer) -> None:
    async def notebook() -> phronesis.Result:
        return phronesis.Recipe.load("direct").run("What is 3 + 4?")

    assert asyncio.run(notebook()).answer is not None


def test_a_recipe_runs_on_the_callers_loop_with_history_kept(server: FakeServer) -> None:
    messages = (
        phronesis.Message(role="system", content="You are terse."),
        phronesis.Message(role="user", content="Hello."),
        phronesis.Message(role="assistant", content="Hi."),
        phronesis.Message(role="user", content="What is 3 + 4?"),
    )

    async def work() -> phronesis.Result:
        task = phronesis.Task(messages=messages, context="Two numbers.", answer_format="number")
        result = await phronesis.Recipe.load("direct").arun(task)
        await close_pools()
        return result

    assert asyncio.run(work()).status == "ok"
    sent = server.seen[0].messages
    assert [item["role"] for item in sent] == ["system", "user", "assistant", "user"]
    assert sent[0]["content"] == "You are terse." and "Two numbers." in sent[3]["content"]


def test_events_come_as_they_happen_and_end_with_the_result(server: FakeServer) -> None:
    async def work() -> list[str]:
        task = phronesis.Task(messages="What is 3 + 4?")
        types = [event.type async for event in phronesis.Recipe.load("self_consistency").astream(task)]
        await close_pools()
        return types

    types = asyncio.run(work())
    assert types[:2] == ["run_started", "task_started"] and types[-2:] == ["task_finished", "run_finished"]
    assert "call" in types and "vote" in types


def test_a_stream_that_nobody_reads_on_is_cancelled(monkeypatch: pytest.MonkeyPatch) -> None:
    async def work() -> None:
        stream = phronesis.Recipe.load("direct").astream(phronesis.Task(messages="What is 3 + 4?"))
        async for event in stream:
            if event.type == "task_started":
                break
        await stream.aclose()
        await close_pools()

    with FakeServer(latency=30.0) as slow:
        monkeypatch.setenv("OPENAI_BASE_URL", slow.url)
        asyncio.run(asyncio.wait_for(work(), 10))


def test_roles_may_have_endpoints_of_their_own(server: FakeServer) -> None:
    def review(request: FakeRequest, index: int) -> str:
        return " Step 1 is doubtful."

    with FakeServer(review, model="critic") as other:
        text = (
            HEAD + 'strategy = "magicore"\n[knobs]\nk = 4\nrounds = 1\nquality_floor = 2.0\nconfident = 1.0\n'
            f'[models.reviewer]\nbase_url = "{other.url}"\nsampling = {{ max_tokens = 33 }}\n[answer]\nformat = "number"\n'
        )
        result = Recipe.parse(text).run("What is 3 + 4?")
    assert other.calls == result.usage.by_role["reviewer"].calls == 4
    assert {request.body["max_tokens"] for request in other.seen} == {33}
    assert {request.body["model"] for request in other.seen} == {"critic"}


def test_environment_variables_are_put_in_and_secrets_stay_out(
    server: FakeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MY_KEY", "sk-CANARY")
    text = HEAD + 'strategy = "direct"\n[models.default]\napi_key = "${MY_KEY}"\n'
    result = Recipe.parse(text).run("What is 3 + 4?")
    assert "CANARY" not in Path(result.journal).read_text(encoding="utf-8")
    with pytest.raises(RecipeError, match="NOT_SET"):
        Recipe.parse(HEAD + 'strategy = "direct"\n[models.default]\napi_key = "${NOT_SET}"\n')


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('name = "x"\nstrategy = "direct"\n', "schema"),
        (HEAD, "strategy"),
        (HEAD + 'strategy = "direkt"\n', "did you mean 'direct'"),
        (HEAD + 'strategy = "direct"\nseeds = 3\n', "line 4: unknown key 'seeds'"),
        (HEAD + 'strategy = "direct"\n[memory]\nmodes = "read"\n', "did you mean 'mode'"),
        (HEAD + 'strategy = "direct"\n[knobs]\nmax_tokens = "long"\n', "line 5: knobs.max_tokens = 'long'"),
        (HEAD + 'strategy = "direct"\n[budget]\ncalls = -1\n', "line 5: budget.calls = -1"),
        (HEAD + 'strategy = "direct"\n[gadgets]\nx = 1\n', "unknown key 'gadgets'"),
        ("schema = ", "not TOML"),
    ],
)
def test_what_is_wrong_is_named_with_its_place(text: str, says: str) -> None:
    with pytest.raises((RecipeError, UnknownStrategy)) as caught:
        Recipe.parse(text, source="mine.toml")
    assert says in str(caught.value)


def test_shipped_recipes_load_and_do_not_judge_by_default() -> None:
    for name in shipped():
        assert getattr(Recipe.load(name).knobs, "outcome", "free") != "judge"


def test_a_run_on_the_callers_loop_leaves_nothing_open(server: FakeServer) -> None:
    code = "import asyncio, phronesis; print(asyncio.run(phronesis.Recipe.load('direct').arun('What is 3?')).status)"
    done = subprocess.run([sys.executable, "-W", "always", "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "ok\n"
    assert "Unclosed" not in done.stderr


def test_a_memory_that_cannot_be_opened_is_named_before_anything_is_paid(server: FakeServer, home: Path) -> None:
    ledger = home / "memory" / "broken" / "ledger.sqlite3"
    ledger.parent.mkdir(parents=True)
    ledger.write_bytes(b"not a database" * 100)
    recipe = Recipe.load("direct", overrides={"memory.mode": "read", "memory.session": "broken"})
    with pytest.raises(ConceptStoreError, match="ledger"):
        recipe.run("What is 3 + 4?")
    assert server.calls == 0
    assert list((home / "runs").iterdir()) == []
