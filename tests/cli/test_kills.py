"""Real kills of real processes: kill -9 and Ctrl-C, resumed from the command line."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import orjson
import pytest

from phronesis.core.journal import FILE_NAME
from phronesis.testing import FakeRequest, FakeServer

COMMAND = [sys.executable, "-m", "phronesis"]
QUESTION = "What is 7 + 5?"


def agents(request: FakeRequest, index: int) -> str:
    if "You are the reviewer" in request.user:
        return f" Step 1 is doubtful ({request.fingerprint % 5})."
    if "You are the refiner" in request.user:
        return f" 7 + 5 = {30 + request.fingerprint % 4}.\nStep 2: \\boxed{{{30 + request.fingerprint % 4}}}"
    return f" 7 + 5 = {20 + index}.\nStep 2: So it is \\boxed{{{20 + index}}}"


def _start(*arguments: str, **env: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [*COMMAND, *arguments],
        env={**os.environ, **env},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def _journals(home: Path) -> list[Path]:
    return sorted((home / "runs").glob(f"*/{FILE_NAME}")) if (home / "runs").is_dir() else []


def _paid(journal: Path) -> set[bytes]:
    """What identifies each journalled request: its messages and seed."""
    found = set()
    for line in journal.read_bytes().split(b"\n")[:-1]:
        event = orjson.loads(line)
        if event["type"] == "call":
            found.add(
                orjson.dumps([event["request"]["messages"], event["request"]["prefill"], event["request"]["seed"]])
            )
    return found


def _asked(request: FakeRequest) -> bytes:
    messages = request.messages
    prefill = request.prefill
    if prefill:
        messages = messages[:-1]
    plain = [{"role": message["role"], "content": message["content"]} for message in messages]
    return orjson.dumps([plain, prefill, request.body.get("seed")])


@pytest.mark.parametrize("kills", [10, pytest.param(200, marks=[pytest.mark.soak, pytest.mark.timeout(1800)])])
def test_kill_9_again_and_again(home: Path, monkeypatch: pytest.MonkeyPatch, kills: int) -> None:
    """Each session is killed at a request of its own choosing; the last one runs to its end."""
    knobs = ("knobs.k=4", "knobs.rounds=2", 'calibration="frozen"')
    arguments = ("run", "magicore", "--json", *(part for knob in knobs for part in ("--set", knob)), QUESTION)
    with FakeServer(agents, latency=lambda request: 0.01 + request.fingerprint % 7 / 100) as server:
        monkeypatch.setenv("OPENAI_BASE_URL", server.url)
        wanted, _ = _start(*arguments, PYTHONHASHSEED="1").communicate(timeout=60)
        reference = json.loads(wanted)
        first_journal = _journals(home)[0]
        done = 0
        started: list[str] = []
        while done < kills:
            before, known = server.requests, set(_journals(home))
            resumable = [path for path in known - {first_journal} if started and path.parent.name == started[-1]]
            if resumable and not _finished(resumable[0]):
                paid = _paid(resumable[0])
                seen = len(server.seen)
                child = _start("runs", "resume", started[-1], "--json", PYTHONHASHSEED=str(done))
            else:
                paid, seen = set(), len(server.seen)
                child = _start(*arguments, PYTHONHASHSEED=str(done))
            goal = before + 1 + done % 5
            deadline = time.monotonic() + 30
            while child.poll() is None and server.requests < goal and time.monotonic() < deadline:
                time.sleep(0.002)
            os.killpg(child.pid, signal.SIGKILL) if child.poll() is None else None
            child.communicate()
            done += 1
            fresh = set(_journals(home)) - known
            started += [path.parent.name for path in fresh]
            assert not paid & {_asked(request) for request in server.seen[seen:]}, "a journalled call was paid again"
        seen, paid = len(server.seen), _paid(home / "runs" / started[-1] / FILE_NAME)
        out, err = _start("runs", "resume", started[-1], "--json", PYTHONHASHSEED="99").communicate(timeout=60)
        assert out, err
        assert not paid & {_asked(request) for request in server.seen[seen:]}
    final = json.loads(out)
    for result in (reference, final):
        for name in ("run_id", "journal"):
            result.pop(name)
        result["usage"].pop("seconds")
    assert final == reference


def _finished(journal: Path) -> bool:
    return b'"run_finished"' in journal.read_bytes()


def test_a_finished_run_replays_in_another_process_with_no_server(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with FakeServer(agents) as server:
        monkeypatch.setenv("OPENAI_BASE_URL", server.url)
        out, _ = _start("run", "magicore", "--json", QUESTION, PYTHONHASHSEED="3").communicate(timeout=60)
    first = json.loads(out)
    out, err = _start("runs", "resume", first["run_id"], "--json", PYTHONHASHSEED="4").communicate(timeout=60)
    again = json.loads(out)
    first["usage"].pop("seconds")
    again["usage"].pop("seconds")
    assert again == first, err


def test_ctrl_c_prints_the_resume_line_and_the_resume_goes_on(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    slow = {"seconds": 30.0}
    with FakeServer(agents, latency=lambda request: slow["seconds"]) as server:
        monkeypatch.setenv("OPENAI_BASE_URL", server.url)
        child = _start("run", "self_consistency", "--json", QUESTION)
        deadline = time.monotonic() + 30
        while not server.requests and time.monotonic() < deadline:
            time.sleep(0.01)
        child.send_signal(signal.SIGINT)
        _, err = child.communicate(timeout=30)
        assert child.returncode == 130
        (journal,) = _journals(home)
        assert f"phronesis runs resume {journal.parent.name}" in err
        assert "Traceback" not in err
        listed, _ = _start("runs", "list", "--json").communicate(timeout=30)
        assert json.loads(listed)[0]["status"] == "interrupted"
        slow["seconds"] = 0.0
        out, _ = _start("runs", "resume", journal.parent.name, "--json").communicate(timeout=30)
        assert json.loads(out)["status"] == "ok"
    assert server.cancelled >= 1
