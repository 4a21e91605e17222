"""Batches: one version read by all, writes in task order at the end, one ledger whoever is first and whoever is killed."""

from __future__ import annotations

import asyncio
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from learning_roles import Learning, learner, role_of, solved
from strategy_runs import go

from phronesis.core.concept import Concept
from phronesis.core.errors import ConfigurationError
from phronesis.core.result import Result
from phronesis.core.settings import load_settings
from phronesis.core.task import Task
from phronesis.graphs.batches import batches
from phronesis.graphs.recipe import Recipe
from phronesis.graphs.run import Run
from phronesis.memory.session import Memory
from phronesis.testing import FakeRequest, FakeServer

WORDS = ("apples", "boats", "cards", "doors", "eggs", "forks")
TASKS = tuple(Task(messages=f"How many {word} are 7 and 5 {word}?", id=word) for word in WORDS)


def subject(request: FakeRequest) -> str:
    """The word that the request's own question is about."""
    question = request.user.rpartition("How many ")[2]
    return question.split()[0]


def lesson(request: FakeRequest) -> dict[str, str]:
    word = subject(request)
    return {"situation": f"How many {word} are there of {word}", "suggestion": f"count the {word} of both and add"}


def roles() -> Learning:
    return Learning(solver=lambda request, index: solved(12), writes={"lesson": lesson})


async def _run(recipe: Recipe, tasks: Sequence[Task], parallel: int) -> list[Result]:
    async with await Run.start(recipe) as run:
        return [result async for result in run.solve_all(tasks, parallel=parallel)]


async def _resumed(run_id: str) -> list[Result]:
    async with await Run.resume(run_id) as run:
        return [result async for result in run.solve_all(run.tasks, parallel=4)]


def run_all(recipe: Recipe, tasks: Sequence[Task] = TASKS, *, parallel: int = 4) -> list[Result]:
    return list(go(_run(recipe, tasks, parallel)))


def ledger(session: str = "default") -> list[Any]:
    """Everything of the ledger but times and run ids."""
    with Memory.open(session, settings=load_settings()) as memory:
        connection = memory._ledger._connection
        events = connection.execute("SELECT version, kind, concept, operation, payload FROM events").fetchall()
        uses = connection.execute(
            "SELECT concept, operation, accepted FROM uses ORDER BY concept, operation"
        ).fetchall()
        proofs = connection.execute("SELECT concept, task, verdict, verifier FROM evidence ORDER BY seq").fetchall()
        return [[_without_run(row) for row in rows] for rows in (events, uses, proofs)]


def _without_run(row: tuple[Any, ...]) -> tuple[Any, ...]:
    return tuple(item.partition("/")[2] if isinstance(item, str) and "/memory#" in item else item for item in row)


def shown(server: FakeServer, word: str) -> str:
    """What the solver of a task was shown."""
    return "\n".join(item.text for item in server.seen if role_of(item) == "solver" and subject(item) == word)


def test_grouping() -> None:
    def names(size: int, recorded: Sequence[Sequence[str]] = (), tasks: Sequence[Task] = TASKS) -> list[str]:
        return ["".join(task.id[0] for task in batch) for batch in batches(tasks, size, recorded)]

    assert names(4) == ["abcd", "ef"] and names(1) == list("abcdef") and names(9) == ["abcdef"]
    assert names(2, [["apples", "boats", "cards"]]) == ["abc", "de", "f"]
    assert names(2, [["cards", "doors"]]) == ["ab", "cd", "ef"]
    assert names(4, [["cards"], ["apples", "boats"]]) == ["ab", "c", "def"]
    assert names(2, [["apples", "gone"]]) == ["a", "bc", "de", "f"]
    assert batches((), 3) == []


@pytest.mark.parametrize("size", [1, 2, 3, 6])
def test_no_task_sees_a_lesson_of_its_own_batch_and_the_next_batch_sees_all(size: int) -> None:
    """Specification invariant 7; a batch of one is a strictly sequential stream."""
    with FakeServer(roles(), latency=0.03) as server:
        results = run_all(learner(server, batch=size, k=2, memory__k=6, least_similarity=-1, token_budget=2000))
        assert [result.task_id for result in results] == list(WORDS)
        for place, word in enumerate(WORDS):
            seen = {other for other in WORDS if f"count the {other} of both" in shown(server, word)}
            assert seen == set(WORDS[: place - place % size]), word
    versions = [result.memory.version for result in results if result.memory is not None]
    assert all(versions[place] == versions[place - place % size] for place in range(len(WORDS)))
    ids = [item.id for result in results if result.memory is not None for item in result.memory.written]
    assert ids == ["c1", "c2", "c3", "c4", "c5", "c6"]
    assert (server.peak > 1) == (size > 1)


def test_whoever_comes_first_the_ledger_is_the_same() -> None:
    found = []
    with FakeServer(roles()) as server:
        for turn in range(4):
            pauses = random.Random(turn)
            server.latency = lambda request, pauses=pauses: pauses.random() / 30
            session = f"turn-{turn}"
            recipe = learner(server, batch=3, k=2, session=session, least_similarity=-1)
            results = run_all(recipe, parallel=1 + turn)
            told = [json.dumps(result.comparable()).replace(session, "turn") for result in results]
            found.append((told, ledger(session)))
    assert all(item == found[0] for item in found)
    assert found[0][1][0] and found[0][1][1]


def test_a_batch_of_one_is_what_it_was_without_batches() -> None:
    with FakeServer(roles()) as server:
        run_all(learner(server, k=2, session="plain"))
        run_all(learner(server, k=2, batch=1, session="one"), parallel=1)
    assert ledger("plain") == ledger("one") and server.peak == 1


def test_one_task_of_a_recipe_with_batches_resumes(tmp_path: Path) -> None:
    with FakeServer(roles()) as server:
        recipe = learner(server, batch=4, k=2)
        result = go(recipe.arun(TASKS[0]))
        calls = server.calls
        (again,) = go(_resumed(result.run_id))
        assert again.comparable() == result.comparable() and server.calls == calls


def test_a_task_is_solved_once() -> None:
    async def twice(recipe: Recipe) -> None:
        async with await Run.start(recipe) as run:
            await run.solve(TASKS[0])
            await run.solve(TASKS[0])

    with FakeServer(roles()) as server, pytest.raises(ConfigurationError, match="apples"):
        go(twice(learner(server, batch=4, k=2)))


def test_a_power_cut_after_every_line(tmp_path: Path) -> None:
    """Over the ledger as it was when the line was written; others write between the cut and the resume."""
    here = load_settings().memory
    states = tmp_path / "states"
    with FakeServer(roles()) as server:
        recipe = learner(server, batch=2, k=2, least_similarity=-1)
        lines: list[bytes] = []

        async def recorded() -> list[Result]:
            def keep(event: Any) -> None:
                if event.type in ("write", "effect", "task_finished"):
                    lines.append(b"")
                    shutil.copytree(here, states / str(len(path().read_bytes().splitlines())))

            def path() -> Path:
                (found,) = (here.parent / "runs").glob("*/journal.jsonl")
                return found

            async with await Run.start(recipe, listener=keep) as run:
                return [result async for result in run.solve_all(TASKS[:4], parallel=2)]

        whole = go(recorded())
        wanted = ledger()
        (path,) = (here.parent / "runs").glob("*/journal.jsonl")
        text = path.read_bytes().splitlines(keepends=True)
        known = {int(item.name): item for item in states.iterdir()}
        first = min(known)
        for count in range(first, len(text) + 1):
            shutil.rmtree(here)
            shutil.copytree(known[max(number for number in known if number <= count)], here)
            path.write_bytes(b"".join(text[:count]) + b'{"torn')
            paid = sum(json.loads(line).get("count", 1) for line in text[:count] if json.loads(line)["type"] == "call")
            total, before = sum(result.usage.calls for result in whole), server.calls
            again = go(_resumed(whole[0].run_id))
            assert server.calls - before == total - paid, f"after {count} lines"
            assert [item.comparable() for item in again] == [item.comparable() for item in whole], (
                f"after {count} lines"
            )
            assert ledger() == wanted, f"after {count} lines"


def test_a_resumed_batch_reads_the_version_it_began_with() -> None:
    """Somebody else writes between the kill and the resume: the rest of the batch does not see it, the next batch does."""

    async def broken(recipe: Recipe) -> str:
        run = await Run.start(recipe)
        work = asyncio.create_task(_collect(run))
        try:
            while not any(role_of(item) == "lesson" for item in server.seen):
                await asyncio.sleep(0.005)
        finally:
            work.cancel()
            await asyncio.gather(work, return_exceptions=True)
            await run.close()
        return run.id

    async def _collect(run: Run) -> None:
        async for _ in run.solve_all(TASKS[:4], parallel=1):
            pass

    with FakeServer(roles(), latency=lambda request: 0.02) as server:
        recipe = learner(server, batch=2, k=2, least_similarity=-1, memory__k=9, token_budget=2000)
        run_id = go(broken(recipe))
        with Memory.open("default", settings=load_settings()) as memory:
            assert memory.stats().count == 0
            memory.add([Concept(situation="How many of anything", suggestion="a stranger wrote this meanwhile")])
        results = go(_resumed(run_id))
        assert len(results) == 4 and all(result.status == "ok" for result in results)
        assert "a stranger" not in shown(server, "boats") and "a stranger" in shown(server, "cards")


def test_kill_9_in_the_middle_of_a_batch(home: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A real process, killed wherever it is; the resumed run leaves the ledger of one that nobody killed."""
    data = tmp_path / "tasks.jsonl"
    data.write_text("".join(json.dumps({"id": task.id, "question": task.question}) + "\n" for task in TASKS))
    with FakeServer(roles(), latency=lambda request: 0.01 + request.fingerprint % 5 / 100) as server:
        monkeypatch.setenv("OPENAI_BASE_URL", server.url)
        recipe = tmp_path / "r.toml"
        recipe.write_text(
            'schema = "phronesis/recipe/1"\nname = "r"\nstrategy = "self_consistency"\n[knobs]\nk = 2\n'
            '[memory]\nmode = "write"\nbatch = 3\nleast_similarity = -1.0\n[answer]\nformat = "number"\n'
        )
        command = [sys.executable, "-m", "phronesis"]
        run = ["run", str(recipe), "--dataset", str(data), "--json"]
        subprocess.run([*command, *run, "--session", "whole"], check=True, capture_output=True, timeout=120)
        for goal in (2, 5, 8, 13):
            session = f"killed-{goal}"
            known = set((home / "runs").iterdir())
            before = server.requests
            child = subprocess.Popen(
                [*command, *run, "--session", session],
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                env={**os.environ},
                start_new_session=True,
            )
            deadline = time.monotonic() + 60
            while child.poll() is None and server.requests < before + goal and time.monotonic() < deadline:
                time.sleep(0.002)
            if child.poll() is None:
                os.killpg(child.pid, signal.SIGKILL)
            child.wait()
            (folder,) = set((home / "runs").iterdir()) - known
            subprocess.run(
                [*command, "runs", "resume", folder.name, "--json"], check=True, capture_output=True, timeout=120
            )
            assert ledger(session) == ledger("whole"), goal
