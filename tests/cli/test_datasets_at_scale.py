"""Data sets through ``phronesis run``: bad lines, order, resume, long runs; work that does not grow with what was done."""

from __future__ import annotations

import asyncio
import io
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from phronesis.cli.main import main
from phronesis.cli.progress import MANY, SHARES, duration
from phronesis.cli.tally import KEPT, InOrder, Tally
from phronesis.cli.values import read_tasks
from phronesis.core.events import FILE_NAME, EventIndex
from phronesis.core.http import close_pools
from phronesis.core.journal import Event
from phronesis.core.result import Failure, Result
from phronesis.core.settings import load_settings
from phronesis.core.task import Task
from phronesis.graphs.recipe import Recipe
from phronesis.graphs.run import Run
from phronesis.graphs.run_folder import list_runs
from phronesis.testing import FakeRequest, FakeServer, Fault

Phronesis = Callable[..., tuple[int, str, str]]


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


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeServer]:
    with FakeServer() as running:
        monkeypatch.setenv("OPENAI_BASE_URL", running.url)
        yield running


def write(path: Path, count: int) -> Path:
    path.write_text("".join(f'{{"id": "t{number}", "question": "What is {number} + 1?"}}\n' for number in range(count)))
    return path


def ids(path: Path) -> list[str]:
    return [json.loads(line)["task_id"] for line in path.read_text(encoding="utf-8").splitlines()]


BAD = {
    b"": "the line is empty",
    b"   \t": "the line is empty",
    b"not json": "not JSON",
    b'{"question": "torn': "not JSON",
    b'{"question": "\xff"}': "not JSON",
    b"[1, 2]": "not an object",
    b"null": "not an object",
    b"{}": "neither 'question' nor 'messages'",
    b'{"question": ""}': "neither 'question' nor 'messages'",
    b'{"question": "  "}': "must be a user's and not be empty",
    b'{"question": 7}': "messages",
    b'{"messages": [{"role": "system", "content": "x"}]}': "must be a user's and not be empty",
    b'{"messages": [{"role": "wizard", "content": "x"}]}': "messages.0.role",
    b'{"question": "q", "context": 3}': "context",
    b'{"question": "q", "answer_format": "colour"}': "answer_format",
    b'{"question": "q", "id": ["a"]}': "id = ['a']",
    b'{"question": "q", "id": "first"}': "the id 'first' stands on an earlier line too",
}


def test_every_kind_of_bad_line_is_named_and_left_out(phronesis: Phronesis, server: FakeServer, tmp_path: Path) -> None:
    data, out = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    lines = [b'{"question": "1?", "id": "first"}', *BAD, b'{"question": "2?", "id": 7}\r', b'{"question": "3?"}']
    data.write_bytes(b"\xef\xbb\xbf" + b"\n".join(lines) + b"\n\n \n")
    code, shown, err = phronesis("run", "direct", "--dataset", str(data), "--out", str(out))
    assert code == 1
    for number, reason in enumerate(BAD.values(), start=2):
        (line,) = [line for line in err.splitlines() if f"in.jsonl:{number}:" in line]
        assert reason in line
    assert f"in.jsonl:{len(lines)}:" not in err, "empty lines at the end are no lines"
    assert sorted(ids(out)) == sorted(["first", "7", f"line{len(lines)}"])
    assert f"{len(BAD)} bad lines" in shown


def test_line_separators_inside_a_text_do_not_cut_it(tmp_path: Path) -> None:
    data = tmp_path / "in.jsonl"
    data.write_text(json.dumps({"question": "a\u2028b\x85c\x0bd?"}, ensure_ascii=False) + "\n", encoding="utf-8")
    (task,), bad = read_tasks(data)
    assert task.question == "a\u2028b\x85c\x0bd?" and bad == []


def test_messages_of_a_line_are_kept_whole(tmp_path: Path) -> None:
    data = tmp_path / "in.jsonl"
    turns = [
        {"role": "system", "content": "s"},
        {"role": "assistant", "content": "a"},
        {"role": "user", "content": "u"},
    ]
    data.write_text(json.dumps({"messages": turns, "context": "c"}) + "\n")
    (task,), _ = read_tasks(data)
    assert [turn.model_dump() for turn in task.messages] == turns and task.context == "c"


def test_tasks_come_from_standard_input(
    phronesis: Phronesis, server: FakeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = b'{"question": "1?"}\nbroken\n{"question": "2?"}\n'
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(lines)))
    code, out, err = phronesis("run", "direct", "--dataset", "-", "--json")
    assert code == 1 and "-:2: not JSON" in err
    assert [json.loads(line)["task_id"] for line in out.splitlines()] == ["line1", "line3"]


def test_json_lines_come_in_the_order_of_the_tasks(
    phronesis: Phronesis, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    data = write(tmp_path / "in.jsonl", 12)
    with FakeServer(latency=lambda request: 0.0 if request.fingerprint % 2 else 0.05) as uneven:
        monkeypatch.setenv("OPENAI_BASE_URL", uneven.url)
        out = phronesis("run", "direct", "--dataset", str(data), "--parallel", "12", "--json")[1]
    assert [json.loads(line)["task_id"] for line in out.splitlines()] == [f"t{number}" for number in range(12)]


def test_results_are_handed_on_as_soon_as_their_turn_comes() -> None:
    handed: list[str] = []
    ordered = InOrder(["a", "b", "c"], lambda result: handed.append(result.task_id))
    for name, expected in (("c", []), ("a", ["a"]), ("b", ["a", "b", "c"])):
        ordered.put(Result(task_id=name, status="ok", answer="1"))
        assert handed == expected


def test_a_stopped_run_appends_only_what_is_missing(phronesis: Phronesis, server: FakeServer, tmp_path: Path) -> None:
    data, out = write(tmp_path / "in.jsonl", 30), tmp_path / "out.jsonl"
    phronesis("run", "direct", "--dataset", str(data), "--out", str(out))
    run_id, calls = list_runs(load_settings())[0].run_id, server.calls
    journal = load_settings().runs / run_id / FILE_NAME
    lines = journal.read_bytes().splitlines(keepends=True)
    journal.write_bytes(b"".join(lines[: len(lines) // 2]) + b'{"torn')
    whole = out.read_bytes().splitlines(keepends=True)
    out.write_bytes(b"".join(whole[:10]) + whole[10][:20])
    code, _, _ = phronesis("runs", "resume", run_id)
    assert code == 0
    assert sorted(ids(out)) == sorted(f"t{number}" for number in range(30))
    assert out.read_bytes().startswith(b"".join(whole[:10]))
    paid = sum(b'"type":"call"' in line for line in lines[: len(lines) // 2])
    assert server.calls - calls == 30 - paid
    before = out.read_bytes()
    phronesis("runs", "resume", run_id)
    assert out.read_bytes() == before and server.calls - calls == 30 - paid


def test_failed_tasks_do_not_stop_the_others_and_are_asked_again_by_the_same_command(
    phronesis: Phronesis, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PHRONESIS_RETRIES", "0")
    data, out = write(tmp_path / "in.jsonl", 25), tmp_path / "out.jsonl"
    broken = {"is": True}

    def faults(request: FakeRequest, number: int) -> Fault | None:
        return Fault(500) if broken["is"] and ("What is 7 " in request.user or "What is 9 " in request.user) else None

    with FakeServer(faults=faults) as server:
        monkeypatch.setenv("OPENAI_BASE_URL", server.url)
        arguments = ("run", "direct", "--dataset", str(data), "--out", str(out))
        code, shown, err = phronesis(*arguments)
        assert code == 1 and "25 tasks, 2 failed" in shown and "2 failed" in err.splitlines()[-1]
        assert len(ids(out)) == 25
        broken["is"] = False
        requests = server.requests
        assert phronesis(*arguments)[0] == 0
        assert server.requests == requests + 2
    assert ids(out)[25:] == ["t7", "t9"] or ids(out)[25:] == ["t9", "t7"]


def test_a_long_run_reports_shares_not_calls(phronesis: Phronesis, server: FakeServer, tmp_path: Path) -> None:
    few = phronesis("run", "direct", "--dataset", str(write(tmp_path / "few.jsonl", MANY)))[2]
    assert few.count("solver: 1 call(s)") == MANY
    many = phronesis("run", "direct", "--dataset", str(write(tmp_path / "many.jsonl", 60)))[2].splitlines()
    assert len(many) <= SHARES and "solver" not in "".join(many)
    assert many[-1].startswith("60/60 tasks  0 failed  60 calls") and "tasks/min" in many[-1]
    assert " left" in many[0] and " left" not in many[-1]


def test_a_long_run_keeps_sums_and_no_results() -> None:
    tally = Tally()
    for number in range(KEPT + 100):
        failed = number % 10 == 0
        failures = (Failure(where="w", error="E", message=f"lost {number}"),) if failed else ()
        status = "failed" if failed else "ok"
        tally.add(Result(task_id=f"t{number}", status=status, answer=None, failures=failures))  # type: ignore[arg-type]
    assert tally.results is None and (tally.tasks, tally.failed) == (150, 15)
    assert tally.failures[0] == "[t0] failed: lost 0" and len(tally.failures) == 10 and tally.exit_code == 1


def test_durations_are_for_people() -> None:
    assert [duration(seconds) for seconds in (0.4, 59.4, 61, 3600, 7800)] == [
        "0 s", "59 s", "1 min 1 s", "1 h 0 min", "2 h 10 min",
    ]  # fmt: skip


# Nothing that is done per task may look at all the others.


def test_what_is_heard_and_written_per_task_does_not_grow(server: FakeServer) -> None:
    heard: list[tuple[str, str]] = []

    def listener(event: Event) -> None:
        heard.append((event.type, event.task))

    async def work() -> Path:
        recipe = Recipe.load("direct")
        async with await Run.start(recipe, settings=load_settings(), listener=listener) as run:
            for number in range(40):
                await run.solve(Task(messages=f"{number}?", id=f"t{number}"))
            assert run.folder is not None
        await close_pools()
        return run.folder

    folder = asyncio.run(work())
    per_task = {name: sum(task == name for _, task in heard) for name in {task for _, task in heard if task}}
    assert set(per_task.values()) == {4}, "task_started, call, drawn, task_finished"
    assert (folder / FILE_NAME).read_bytes().count(b"\n") == len(heard) == 4 * 40 + 2


def test_a_resume_reads_a_tasks_own_lines(server: FakeServer, monkeypatch: pytest.MonkeyPatch) -> None:
    async def start() -> str:
        async with await Run.start(Recipe.load("direct"), settings=load_settings()) as run:
            _ = [item async for item in run.solve_all([Task(messages=f"{n}?", id=f"t{n}") for n in range(30)])]
        await close_pools()
        return run.id

    run_id = asyncio.run(start())
    index = EventIndex(load_settings().runs / run_id / FILE_NAME)
    assert [event.type for event in index.of("t7")] == ["task_started", "call", "node", "task_finished"]
    assert [event.task for event in index.all()].count("t7") == 4
    assert [event.type for event in index.of("t7", "call")] == ["call"]
    assert list(index.of("nobody")) == []
