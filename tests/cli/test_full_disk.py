"""A full disk under whole commands: they stop and say so, keep whole lines, and go on where they stopped."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from phronesis.core.journal import FILE_NAME, read_events
from phronesis.core.settings import load_settings
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
QUESTION = "What is 7 + 5?"


def say(request: FakeRequest, index: int) -> str:
    if "Write down the one idea" in request.user:
        return '{"situation": "two amounts are put together", "suggestion": "add them up carefully"}'
    return " 7 + 5 = 12.\nStep 2: So it is \\boxed{12}"


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeServer]:
    with FakeServer(say, max_n=1) as server:
        monkeypatch.setenv("OPENAI_BASE_URL", server.url)
        yield server


def limited(room: int, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", LIMITED, str(room), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, env=dict(os.environ))


def free(*arguments: str) -> subprocess.CompletedProcess[str]:
    return limited(2**40, *arguments)


def runs() -> list[Path]:
    return sorted(load_settings().runs.glob("*"))


def without_time(text: str) -> dict[str, object]:
    result = json.loads(text)
    for name in ("run_id", "journal"):
        result.pop(name)
    result["usage"].pop("seconds")
    return dict(result)


@pytest.mark.parametrize("share", [0.35, 0.95])
def test_a_journal_without_room_stops_the_run_and_it_resumes(server: FakeServer, share: float) -> None:
    arguments = ("run", "self_consistency", "--json", "--set", "knobs.k=5", "--set", 'calibration="frozen"', QUESTION)
    whole = free(*arguments)
    (first,) = runs()
    calls = server.calls
    done = limited(int((first / FILE_NAME).stat().st_size * share), *arguments)
    assert done.returncode == 3 and done.stdout == "", done.stderr
    assert "free some space, then resume the run" in done.stderr and "Traceback" not in done.stderr
    (stopped,) = set(runs()) - {first}
    assert f"resume with: phronesis runs resume {stopped.name}" in done.stderr
    journalled = sum(event.type == "call" for event in read_events(stopped / FILE_NAME))
    before = server.calls
    resumed = free("runs", "resume", stopped.name, "--json")
    assert resumed.returncode == 0, resumed.stderr
    assert server.calls - before == calls - journalled
    assert without_time(resumed.stdout) == without_time(whole.stdout)


def test_a_result_file_without_room_keeps_whole_lines_and_gets_the_rest(server: FakeServer, tmp_path: Path) -> None:
    data, out = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    data.write_text("".join(f'{{"question": "What is {n} + 5?", "id": "t{n}"}}\n' for n in range(6)))
    earlier = b'{"task_id": "old", "status": "ok", "note": "' + b"x" * 300_000 + b'"}\n'
    out.write_bytes(earlier)
    arguments = ("run", "direct", "--dataset", str(data), "--out", str(out), "--parallel", "1")
    done = limited(len(earlier) + 2500, *arguments)
    assert done.returncode == 3, done.stderr
    assert f"the disk is full: {str(out)!r}" in done.stderr and "Traceback" not in done.stderr
    kept = out.read_bytes()
    assert kept.startswith(earlier) and kept.endswith(b"\n")
    written = [json.loads(line)["task_id"] for line in kept.splitlines()[1:]]
    assert 0 < len(written) < 6
    (stopped,) = runs()
    before = server.calls
    journalled = sum(event.type == "call" for event in read_events(stopped / FILE_NAME))
    assert free("runs", "resume", stopped.name).returncode == 0
    assert server.calls - before == 6 - journalled
    assert sorted(json.loads(line)["task_id"] for line in out.read_bytes().splitlines()[1:]) == [
        f"t{n}" for n in range(6)
    ]


def test_a_memory_without_room_loses_nothing_that_was_said_to_be_written(server: FakeServer) -> None:
    def learn(number: int) -> tuple[str, ...]:
        return ("memory", "add", "--session", "full", "--when", f"case {number} of many", f"advice {number} " * 40)

    acknowledged = free(*learn(0)).stdout.split()
    ledger = load_settings().memory / "full" / "ledger.sqlite3"
    room, refused = ledger.stat().st_size + 16_384, None
    for number in range(1, 40):
        done = limited(room, *learn(number))
        if done.returncode:
            refused = done
            break
        acknowledged += done.stdout.split()
    assert refused is not None and refused.returncode == 3, refused
    assert "check space and rights" in refused.stderr and "Traceback" not in refused.stderr
    acknowledged += free(*learn(99)).stdout.split()
    listed = json.loads(free("memory", "list", "--session", "full", "--json").stdout)
    assert sorted(item["id"] for item in listed) == sorted(acknowledged)


def test_a_run_that_learns_stops_at_a_full_ledger_and_learns_when_it_resumes(server: FakeServer) -> None:
    free("memory", "add", "--session", "full", "--when", "something else entirely", "think of it")
    arguments = ("run", "self_consistency", "--json", "--session", "full", "--set", "knobs.k=3", QUESTION)
    done = limited(34_000, *arguments)
    assert done.returncode == 3 and "ledger.sqlite3" in done.stderr and "Traceback" not in done.stderr, done.stderr
    (stopped,) = runs()
    before, journalled = server.calls, sum(event.type == "call" for event in read_events(stopped / FILE_NAME))
    done = free("runs", "resume", stopped.name, "--json")
    assert server.calls - before == 4 - journalled
    assert [item["outcome"] for item in json.loads(done.stdout)["memory"]["written"]] == ["written"]
    assert len(json.loads(free("memory", "list", "--session", "full", "--json").stdout)) == 2


STATISTICS = """
import resource, sys
from pathlib import Path
from phronesis.core.errors import SetupError
from phronesis.graphs.calibration import Calibration
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, resource.RLIM_INFINITY))
kept = Calibration(Path(sys.argv[1]))
kept.commit("few", [("t0", {"family": 1.0})])
try:
    kept.commit("many", [(f"t{number}", {"family": float(number)}) for number in range(3000)])
except SetupError as error:
    print(error)
print(kept.read()["family"].count)
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
kept.commit("many", [(f"t{number}", {"family": float(number)}) for number in range(3000)])
print(kept.read()["family"].count)
"""


def test_statistics_without_room_stay_as_they_were(tmp_path: Path) -> None:
    path = tmp_path / "statistics.sqlite3"
    done = subprocess.run([sys.executable, "-c", STATISTICS, str(path)], capture_output=True, text=True, check=False)
    lines = done.stdout.splitlines()
    assert str(path) in lines[0] and "check space and rights" in lines[1], done.stderr
    assert lines[2:] == ["1", "3001"]
