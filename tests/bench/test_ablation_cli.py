"""``bench memory`` and ``memory quarantine`` as people use them, and a real kill in the middle of learning."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import orjson
import pytest
from memory_streams import LEAST, POISON, Puzzle, Solver, code, lesson, puzzles, situation

from phronesis.bench.ablation.memories import inside
from phronesis.bench.running.folder import BenchFolder
from phronesis.cli.main import main
from phronesis.core.concept import Concept
from phronesis.core.settings import load_settings
from phronesis.memory.session import Memory
from phronesis.testing import FakeServer

STREAM = puzzles(families=3, each=16)
Call = Callable[..., int]
KNOBS = ("--set", "knobs.k=2", "--set", "memory.k=1", "--set", f"memory.least_similarity={LEAST}")


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch) -> Call:
    """Calls the command; returns its exit code."""

    def command(*arguments: object) -> int:
        monkeypatch.setattr(sys, "argv", ["phronesis", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
        return int(ended.value.code or 0)

    return command


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeServer]:
    with FakeServer(Solver(STREAM)) as running:
        monkeypatch.setenv("OPENAI_BASE_URL", running.url)
        yield running


def written(path: Path, stream: Sequence[Puzzle] = STREAM) -> Path:
    """The stream as a file."""
    rows = [
        {
            "id": f"t{item.n}",
            "question": item.example.task.question,
            "gold": item.example.gold,
            "group": str(item.family),
        }
        for item in stream
    ]
    path.write_bytes(b"".join(orjson.dumps({**row, "answer_format": "number"}) + b"\n" for row in rows))
    return path


def test_a_harmful_concept_is_found_and_quarantined_and_comes_back(
    server: FakeServer, call: Call, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with Memory.open("mine", settings=load_settings()) as memory:
        bad = Concept(situation=situation(0), suggestion=f"apply the {POISON} procedure")
        harmful, _ = memory.add([bad, lesson(1, code(1))])
    stream, out = written(tmp_path / "stream.jsonl"), tmp_path / "worth"
    order = ["bench", "memory", "self_consistency", stream, "--out", out, "--session", "mine", *KNOBS]
    order += ["--arms", "off,frozen,placebo", "--warm", "0", "--orders", "1"]
    assert call(*order, "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert found["harmful"] == [harmful] and {arm["kind"] for arm in found["arms"]} == {"frozen", "placebo"}
    assert "ALARM: concept c1" in (out / "memory.md").read_text()
    calls = server.calls
    assert call(*order) == 0 and server.calls == calls
    said = capsys.readouterr().out
    assert "ALARM: concept c1" in said and "phronesis memory quarantine --session NAME" in said

    quarantine = ["memory", "quarantine", "--session", "mine", "--from", out]
    assert call(*quarantine) == 0
    assert "1 would be taken out of recall" in capsys.readouterr().out
    with Memory.open("mine", settings=load_settings()) as memory:
        assert memory.get(harmful).status == "active", "a dry run is the default"
    assert call(*quarantine, "--apply", "--json") == 0
    assert [item["id"] for item in json.loads(capsys.readouterr().out)["quarantined"]] == [harmful]
    with Memory.open("mine", settings=load_settings()) as memory:
        assert harmful not in [hit.id for hit in memory.search(situation(0), k=5)]
        (kept,) = memory.withdrawn()
        assert "fared worse with it" in kept.reason and "worth" in kept.reason
    assert call("memory", "revive", harmful, "--session", "mine") == 0
    with Memory.open("mine", settings=load_settings()) as memory:
        assert memory.get(harmful).status == "active"


def test_harm_can_fail_the_command(server: FakeServer, call: Call, tmp_path: Path) -> None:
    with Memory.open("mine", settings=load_settings()) as memory:
        memory.add([Concept(situation=situation(family), suggestion=f"{POISON} {family}") for family in range(3)])
    stream = written(tmp_path / "stream.jsonl")
    order = ["bench", "memory", "self_consistency", stream, "--out", tmp_path / "b", "--session", "mine", *KNOBS]
    order += ["--arms", "off,frozen", "--warm", "0", "--orders", "1"]
    assert call(*order) == 0
    assert call(*order, "--fail-on-harm") == 1


def test_a_dry_run_makes_no_call_and_no_folder(
    server: FakeServer, call: Call, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    order = ["bench", "memory", "self_consistency", written(tmp_path / "s.jsonl"), "--out", tmp_path / "b", *KNOBS]
    assert call(*order, "--orders", "2", "--dry-run", "--json") == 0
    rows = json.loads(capsys.readouterr().out)
    assert [row["arm"] for row in rows] == ["off"] + [
        f"{kind}-{order}" for order in (1, 2) for kind in ("write", "frozen", "shuffled", "placebo")
    ]
    assert [row["questions"] for row in rows[:3]] == [48, 24, 24]
    assert server.requests == 0 and not (tmp_path / "b").exists()


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (("--arms", "off,wrte"), "there is no arm 'wrte'"),
        (("--limit", "1"), "all 1 tasks are learned from"),
        (("--warm", "99"), "--warm 99 is more than the 48 tasks"),
        (("--where", "group"), "is not FIELD=VALUE"),
        (("--where", "group=none"), "no row has group = none"),
        (("--session", "absent"), "there is no memory 'absent'"),
    ],
)
def test_wrong_orders_are_named(
    server: FakeServer, call: Call, tmp_path: Path, capsys: pytest.CaptureFixture[str], more: tuple[str, ...], said: str
) -> None:
    stream = written(tmp_path / "s.jsonl")
    assert call("bench", "memory", "self_consistency", stream, "--out", tmp_path / "b", *KNOBS, *more) != 0
    assert said in capsys.readouterr().err
    assert server.requests == 0 and not (tmp_path / "b").exists(), "nothing is begun that cannot be carried out"


def test_a_stream_without_tasks_and_a_folder_without_a_bench(
    call: Call, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "none.jsonl").write_text("\n")
    assert call("bench", "memory", "self_consistency", tmp_path / "none.jsonl", "--out", tmp_path / "b") == 2
    assert "none.jsonl' holds no row" in capsys.readouterr().err
    assert call("memory", "quarantine", "--from", tmp_path) == 2
    assert "holds no memory ablation" in capsys.readouterr().err


def test_kill_9_in_the_middle_of_learning(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Items, journal and memory agree afterwards, each concept was written once, and the outcome is that of no kill."""
    stream = puzzles(families=4, each=4)
    file = written(tmp_path / "s.jsonl", stream)

    def start(out: Path) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "phronesis", "bench", "memory", "self_consistency", str(file), "--json"]
        more = ["--out", str(out), "--orders", "1", "--arms", "off,write,frozen", *KNOBS]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        return subprocess.Popen([*command, *more], env=os.environ, text=True, start_new_session=True, **pipes)  # type: ignore[call-overload, no-any-return]  # pipes are pipes

    def kill_when(child: subprocess.Popen[str], enough: Callable[[], bool]) -> None:
        while child.poll() is None and not enough():
            time.sleep(0.005)
        if child.poll() is None:
            os.killpg(child.pid, signal.SIGKILL)
        child.communicate()

    with FakeServer(Solver(stream), latency=0.01) as server:
        monkeypatch.setenv("OPENAI_BASE_URL", server.url)
        wanted = start(tmp_path / "whole")
        text, errors = wanted.communicate(timeout=120)
        assert wanted.returncode == 0, errors
        whole, calls = json.loads(text), server.calls
        out = tmp_path / "killed"
        for learned in (1, 4):
            kill_when(start(out), lambda: len(arm_items(out, "write-1")) >= learned)  # noqa: B023  # called at once
        last = start(out)
        text, errors = last.communicate(timeout=120)
        assert last.returncode == 0, errors
        again = json.loads(text)
        assert server.calls - calls <= calls + 2 * 8, "only what was in flight is paid again"
    for name in ("accuracy", "difference", "shown"):
        assert [arm[name] for arm in again["arms"]] == [arm[name] for arm in whole["arms"]]
    with Memory.open("write-1", settings=inside(load_settings(), out)) as memory:
        kept = {item.id for item in memory.list()}
        assert memory.verify().sound
    made = [name for task in arm_items(out, "write-1").values() for name in task["written"]]
    assert sorted(made) == sorted(kept) and len(set(made)) == len(made)
    (run,) = BenchFolder(out).runs_of(next(cell for cell in cells_of(out) if cell.arm == "write-1"))
    journal = [orjson.loads(line) for line in (out / "runs" / run / "journal.jsonl").read_bytes().splitlines()]
    writes = [event["key"] + event["task"] for event in journal if event["type"] == "write"]
    assert len(writes) == len(set(writes))


def arm_items(out: Path, arm: str) -> dict[str, dict[str, list[str]]]:
    """Task -> its item's fields, of one arm; whole lines only."""
    path = out / "items.jsonl"
    lines = path.read_bytes().split(b"\n")[:-1] if path.exists() else []
    rows = [orjson.loads(line) for line in lines]
    return {row["task"]: {"written": [], **row} for row in rows if row["arm"] == arm}


def cells_of(out: Path) -> set[object]:
    from phronesis.bench.running.plan import Cell

    return {Cell(item.arm, item.set, item.repeat) for item in BenchFolder(out).items()}
