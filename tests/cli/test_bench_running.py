"""``phronesis bench run`` as a user meets it: what it prints, how it goes on after a kill, what it refuses."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from phronesis.core.journal import FILE_NAME, read_events
from phronesis.testing import FakeRequest, FakeServer

LIMITED = """
import resource, sys
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]), resource.RLIM_INFINITY))
sys.dont_write_bytecode = True
sys.argv = ["phronesis", *sys.argv[2:]]
from phronesis.cli.main import main
main()
"""
"""No file of the process grows past the bytes named: what a full disk does, without one."""
ROWS = [
    {"id": f"q{n}", "question": f"What is {n} + {n}?", "gold": 2 * n, "answer_format": "number"} for n in range(1, 13)
]


def doubled(request: FakeRequest, index: int) -> str:
    number = int(request.user.split("What is ")[1].split(" ")[0])
    return f"So \\boxed{{{2 * number}}}"


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeServer]:
    with FakeServer(doubled) as running:
        monkeypatch.setenv("OPENAI_BASE_URL", running.url)
        yield running


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return written(tmp_path / "sums.jsonl", ROWS)


def written(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "phronesis", "bench", "run", *arguments]


def bench(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command(*arguments), capture_output=True, text=True, timeout=90, check=False)


def begun(*arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(command(*arguments), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def until_some_are_done(out: Path, child: subprocess.Popen[str], least: int = 3) -> None:
    limit = time.monotonic() + 60
    while time.monotonic() < limit and child.poll() is None:
        path = out / "items.jsonl"
        if path.is_file() and path.read_bytes().count(b"\n") >= least:
            return
        time.sleep(0.02)
    raise AssertionError(f"the bench did not get so far: {child.communicate()[1] if child.poll() is not None else ''}")


class TestUse:
    def test_a_table_for_people_and_json_for_programs(self, server: FakeServer, data: Path, tmp_path: Path) -> None:
        arguments = ("--recipe", "direct", "--recipe", "sc=self_consistency", "--dataset", str(data))
        plain = bench(*arguments, "--out", str(tmp_path / "b"))
        assert plain.returncode == 0, plain.stderr
        assert "direct" in plain.stdout and "100.0 [75.8, 100.0]" in plain.stdout and "24/24 items" in plain.stderr
        again = bench(*arguments, "--out", str(tmp_path / "b"), "--json")
        rows = json.loads(again.stdout)
        assert [(row["arm"], row["questions"], row["accuracy"]) for row in rows] == [
            ("direct", 12, [1.0, 0.7575, 1.0]),
            ("sc", 12, [1.0, 0.7575, 1.0]),
        ]
        assert server.calls == 12 + 12 * 8, "the second time nothing is asked"

    def test_a_dry_run_says_what_it_may_cost_and_does_nothing(
        self, server: FakeServer, data: Path, tmp_path: Path
    ) -> None:
        arguments = ("--recipe", "self_refine", "--dataset", str(data), "--limit", "5", "--out", str(tmp_path / "b"))
        said = bench(*arguments, "--dry-run")
        assert said.returncode == 0 and "5 questions" in said.stdout and "5 to 45 calls" in said.stdout, said.stdout
        (row,) = json.loads(bench(*arguments, "--dry-run", "--json", "--budget", "calls=3").stdout)
        assert row["calls"] == [5, 15] and row["questions"] == 5
        assert server.requests == 0 and not (tmp_path / "b").exists()

    def test_a_bench_file_names_arms_and_sets(self, server: FakeServer, data: Path, tmp_path: Path) -> None:
        file = tmp_path / "plan.toml"
        file.write_text(
            f"""
schema = "phronesis/bench/1"
name = "small"
[overrides]
"knobs.max_tokens" = 64
[[sets]]
spec = "{data}"
limit = 4
[[arms]]
recipe = "self_consistency"
name = "wide"
overrides = {{ "knobs.k" = 4, "knobs.top_p" = 1.0 }}
[[arms]]
recipe = "direct"
bank = "wide"
calls = 0
overrides = {{ "knobs.temperature" = 0.7 }}
"""
        )
        done = bench(str(file), "--out", str(tmp_path / "b"), "--json")
        assert done.returncode == 0, done.stderr
        assert [row["paid_calls"] for row in json.loads(done.stdout)] == [4.0, 0.0] and server.calls == 16
        said = bench(str(file), "--out", str(tmp_path / "c"), "--limit", "2", "--calls", "0")
        assert (
            said.returncode == 2 and "--limit is given" in said.stderr and "leave --limit, --calls out" in said.stderr
        )


class TestGoingOn:
    @pytest.mark.parametrize("stop", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
    def test_a_stopped_bench_goes_on_and_pays_nothing_twice(
        self, server: FakeServer, data: Path, tmp_path: Path, stop: signal.Signals
    ) -> None:
        server.latency = 0.1
        out = tmp_path / "b"
        arguments = ("--recipe", "self_consistency", "--dataset", str(data), "--out", str(out), "--parallel", "2")
        child = begun(*arguments)
        until_some_are_done(out, child)
        child.send_signal(stop)
        _, said = child.communicate(timeout=30)
        assert child.returncode != 0
        if stop == signal.SIGINT:
            assert child.returncode == 130 and "the same command goes on" in said and "Traceback" not in said
        (journal,) = (out / "runs").glob(f"*/{FILE_NAME}")
        recorded = sum(int(event.data["count"]) for event in read_events(journal) if event.type == "call")
        asked = server.calls
        done = bench(*arguments, "--json")
        assert done.returncode == 0, done.stderr
        (row,) = json.loads(done.stdout)
        assert row["questions"] == 12 and row["accuracy"][0] == 1.0 and row["calls"] == 8
        assert server.calls - asked == 12 * 8 - recorded

    def test_a_full_disk_is_said_and_leaves_whole_lines(self, server: FakeServer, data: Path, tmp_path: Path) -> None:
        out = tmp_path / "b"
        arguments = ["bench", "run", "--recipe", "direct", "--dataset", str(data), "--out", str(out)]
        full = subprocess.run(
            [sys.executable, "-c", LIMITED, "9000", *arguments],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
            env=dict(os.environ),
        )
        assert full.returncode == 3 and "the disk is full" in full.stderr and "Traceback" not in full.stderr
        items = out / "items.jsonl"
        assert not items.exists() or items.read_bytes().endswith(b"\n") or not items.read_bytes()
        done = bench(*arguments[2:], "--json")
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)[0]["questions"] == 12 and server.calls <= 12 + 8

    def test_two_processes_do_not_work_in_one_folder(self, server: FakeServer, data: Path, tmp_path: Path) -> None:
        server.latency = 0.2
        out = tmp_path / "b"
        arguments = ("--recipe", "direct", "--dataset", str(data), "--out", str(out), "--parallel", "1")
        child = begun(*arguments)
        until_some_are_done(out, child, 1)
        second = bench(*arguments)
        assert second.returncode == 1 and "another bench works in" in second.stderr
        child.communicate(timeout=60)
        assert child.returncode == 0


class TestRefusals:
    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (("--recipe", "direct"), "a bench needs a recipe and a data set"),
            (("--recipe", "dircet", "--dataset", "DATA"), "did you mean 'direct'?"),
            (("--recipe", "direct", "--dataset", "absent.jsonl"), "absent.jsonl"),
            (("--recipe", "direct", "--dataset", "DATA", "--grader", "anwser"), "did you mean 'answer'?"),
            (("--recipe", "direct", "--dataset", "DATA", "--executor", "lokal"), "did you mean 'local'?"),
            (("--recipe", "direct", "--recipe", "direct", "--dataset", "DATA"), "two arms are called 'direct'"),
            (("--recipe", "direct", "--dataset", "DATA", "--where", "id=none"), "no row has id = none"),
            (("--recipe", "direct", "--dataset", "DATA", "--format", "nubmer"), "--format 'nubmer'"),
            (("--recipe", "direct", "--dataset", "DATA", "--set", "knobs.n=8"), "unknown key 'knobs.n'"),
        ],
    )
    def test_wrong_usage_is_named_before_anything_is_spent(
        self, server: FakeServer, data: Path, tmp_path: Path, arguments: tuple[str, ...], message: str
    ) -> None:
        wanted = [str(data) if item == "DATA" else item for item in arguments]
        said = bench(*wanted, "--out", str(tmp_path / "b"))
        assert said.returncode == 2 and message in said.stderr and "Traceback" not in said.stderr, said.stderr
        assert server.requests == 0

    def test_bad_rows_are_named(self, server: FakeServer, tmp_path: Path) -> None:
        for rows, message in (
            ([{"id": "a", "question": "?"}], "gold"),
            ([ROWS[0], ROWS[0]], "'q1'"),
            ([{"id": "a", "question": "?", "gold": "many", "answer_format": "number"}], "is no number"),
        ):
            said = bench("--recipe", "direct", "--dataset", str(written(tmp_path / "x.jsonl", rows)), "--out", "b")
            assert said.returncode == 2 and message in said.stderr, said.stderr

    def test_a_dead_endpoint_is_an_environment_that_lacks_something(
        self, server: FakeServer, data: Path, tmp_path: Path
    ) -> None:
        server.stop()
        said = bench("--recipe", "direct", "--dataset", str(data), "--out", str(tmp_path / "b"))
        assert said.returncode == 3 and "Traceback" not in said.stderr

    def test_a_failed_task_costs_exit_code_1(self, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        from phronesis.testing import Fault

        with FakeServer(
            doubled, faults=lambda request, number: Fault(status=400) if "What is 3 " in request.text else None
        ) as server:
            monkeypatch.setenv("OPENAI_BASE_URL", server.url)
            said = bench("--recipe", "direct", "--dataset", str(data), "--out", str(tmp_path / "b"))
        assert said.returncode == 1 and "1 failed" in said.stdout and "91.7" in said.stdout
