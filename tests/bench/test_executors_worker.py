"""``bench worker``: one job from a file, its updates in another; killed and given again it goes on where it was."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from phronesis.bench.running.executor import Job, JobStarted, TaskCrashed, TaskSolved
from phronesis.bench.running.item import CallCost
from phronesis.bench.running.updates import ENDED, Reported, line_of, update_of
from phronesis.cli.main import app
from phronesis.core.errors import ConfigurationError, EndpointUnreachable
from phronesis.core.lines import whole_lines
from phronesis.core.result import Failure, Result
from phronesis.core.task import Task, as_task
from phronesis.graphs.recipe import Recipe
from phronesis.testing import FakeServer

TASKS = tuple(as_task(f"What is {n} + {n}?", id=f"q{n}") for n in range(4))


def job(tasks: tuple[Task, ...] = TASKS) -> Job:
    return Job(cell="direct@sums#0", recipe=Recipe.load("direct").to_data(), tasks=tasks)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeServer]:
    with FakeServer() as running:
        monkeypatch.setenv("OPENAI_BASE_URL", running.url)
        monkeypatch.setenv("PHRONESIS_RETRIES", "0")
        yield running


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    """The job's file and that of its updates."""
    monkeypatch.setenv("PHRONESIS_RUNS_FOLDER", str(tmp_path / "runs"))
    (tmp_path / "job.json").write_text(job().model_dump_json(), encoding="utf-8")
    return tmp_path / "job.json", tmp_path / "updates.jsonl"


def work(path: Path, out: Path) -> Any:
    return CliRunner().invoke(app, ["bench", "worker", str(path), "--out", str(out), "--json"])


def kinds(out: Path) -> list[str]:
    return [json.loads(line)["type"] for line in whole_lines(out)]


class TestWorkingOnFiles:
    def test_updates_name_the_run_every_task_and_the_end(self, server: FakeServer, files: tuple[Path, Path]) -> None:
        done = work(*files)
        assert done.exit_code == 0 and json.loads(done.stdout)["tasks"] == 4, done.output
        assert kinds(files[1]) == ["started", "solved", "solved", "solved", "solved", "ended"]
        updates = [update_of(line, job()) for line in whole_lines(files[1])]
        solved = [update for update in updates if isinstance(update, TaskSolved)]
        assert sorted(update.result.task_id for update in solved) == [task.id for task in TASKS]
        assert all(update.calls[0].completion_tokens > 0 for update in solved) and updates[-1] is None

    def test_a_finished_job_does_nothing(self, server: FakeServer, files: tuple[Path, Path]) -> None:
        work(*files)
        before = files[1].read_bytes()
        assert json.loads(work(*files).stdout)["tasks"] == 0
        assert server.calls == 4 and files[1].read_bytes() == before

    def test_it_goes_on_behind_a_torn_line_in_the_same_run(self, server: FakeServer, files: tuple[Path, Path]) -> None:
        work(*files)
        lines = files[1].read_bytes().splitlines(keepends=True)
        files[1].write_bytes(b"".join(lines[:3]) + lines[3][:40])
        assert json.loads(work(*files).stdout)["tasks"] == 2
        assert server.calls == 4, "the journal has the replies"
        assert kinds(files[1]) == ["started", "solved", "solved", "solved", "solved", "ended"]

    def test_what_stops_it_is_the_last_line_and_no_obstacle(
        self, server: FakeServer, files: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:9/v1")
        assert isinstance(work(*files).exception, EndpointUnreachable)
        with pytest.raises(EndpointUnreachable):
            update_of(next(whole_lines(files[1])), job())
        monkeypatch.setenv("OPENAI_BASE_URL", server.url)
        assert work(*files).exit_code == 0 and kinds(files[1])[-1] == "ended"

    @pytest.mark.parametrize("text", ["", "{}", '{"cell": "c"}', "[1]"])
    def test_a_file_that_holds_no_job_is_named(self, text: str, files: tuple[Path, Path]) -> None:
        files[0].write_text(text, encoding="utf-8")
        done = work(*files)
        assert isinstance(done.exception, ConfigurationError) and "job.json holds no job" in str(done.exception)

    def test_a_missing_file_is_named(self, tmp_path: Path) -> None:
        done = work(tmp_path / "none.json", tmp_path / "out")
        assert isinstance(done.exception, ConfigurationError) and "none.json" in str(done.exception)


class TestWorkingOnAPipe:
    def run(self, text: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "phronesis.bench.running.worker"]
        return subprocess.run(command, input=text, capture_output=True, text=True, timeout=60, check=False)

    def test_nothing_is_paid_before_the_run_is_known(self, server: FakeServer) -> None:
        done = self.run(job().model_dump_json() + "\n")
        assert done.returncode != 0 and server.calls == 0
        said = [json.loads(line)["type"] for line in done.stdout.splitlines()]
        assert said in ([], ["started"]), "it ends with its standard input"

    def test_with_an_answer_the_job_is_done(self, server: FakeServer) -> None:
        process = subprocess.Popen(
            [sys.executable, "-m", "phronesis.bench.running.worker", "--parallel", "2"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        with process:
            assert process.stdin is not None and process.stdout is not None
            process.stdin.write(job().model_dump_json() + "\n")
            process.stdin.flush()
            found = [json.loads(process.stdout.readline())["type"]]
            process.stdin.write("go on\n")
            process.stdin.flush()
            found += [json.loads(line)["type"] for line in process.stdout]
        assert process.returncode == 0 and found == ["started", *["solved"] * 4, "ended"]

    def test_what_is_no_job_is_an_error_line(self) -> None:
        done = self.run("nonsense\n")
        assert done.returncode == 2
        with pytest.raises(ConfigurationError, match="standard input holds no job"):
            update_of(done.stdout.encode(), job())


class TestLines:
    def test_updates_come_back_as_they_were(self) -> None:
        cost = CallCost(role="solver", level=1, calls=2, completion_tokens=7, served=True)
        failure = Failure(where="task", error="KeyError", message="x")
        for update in (
            JobStarted(job(), "r1"),
            TaskSolved(job(), Result(task_id="q0", status="ok", answer="4"), (cost,)),
            TaskCrashed(job(), "r1", "q1", failure, (cost,)),
        ):
            assert update_of(line_of(update), job()) == update
        assert update_of(ENDED, job()) is None

    @pytest.mark.parametrize(
        "line", [b"", b"{}", b"[]", b'{"type": "solved"}', b'{"type": "sung", "calls": []}', b"\xff"]
    )
    def test_a_line_that_is_no_update_is_shown(self, line: bytes) -> None:
        with pytest.raises(ConfigurationError, match="is no update"):
            update_of(line, job())

    def test_what_is_left_is_what_nobody_reported(self) -> None:
        reported, whole = Reported(), job().model_copy(update={"retry": ("q3",)})
        assert reported.left(whole) == whole
        reported.hear(JobStarted(whole, "r1"))
        reported.hear(TaskSolved(whole, Result(task_id="q1", status="ok", answer="2"), ()))
        left = reported.left(whole)
        assert [task.id for task in left.tasks] == ["q0", "q2", "q3"]
        assert (left.run_id, left.retry) == ("r1", ())
