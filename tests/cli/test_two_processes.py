"""Two processes on one run folder: the second is told, the first comes to its end."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

from phronesis.core.journal import FILE_NAME
from phronesis.testing import FakeRequest, FakeServer

COMMAND = [sys.executable, "-m", "phronesis"]


def say(request: FakeRequest, index: int) -> str:
    return " 7 + 5 = 12.\nStep 2: \\boxed{12}"


def start(*arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen([*COMMAND, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_the_second_on_a_run_is_told_and_does_the_first_no_harm(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pause = {"seconds": 2.0}
    with FakeServer(say, latency=lambda request: pause["seconds"], max_n=1) as server:
        monkeypatch.setenv("OPENAI_BASE_URL", server.url)
        monkeypatch.setenv("PHRONESIS_CONCURRENCY", "1")
        first = start("run", "self_consistency", "--json", "--set", "knobs.k=6", "What is 7 + 5?")
        deadline = time.monotonic() + 30
        while not server.requests and time.monotonic() < deadline:
            time.sleep(0.01)
        (folder,) = (home / "runs").iterdir()
        second = start("runs", "resume", folder.name, "--json")
        out, err = second.communicate(timeout=30)
        start("runs", "prune", "--yes", "--status", "interrupted,finished,failed").communicate(timeout=30)
        assert first.poll() is None, "the first is still at work"
        assert (
            second.returncode == 1
            and out == ""
            and "is being worked on by another process" in err
            and folder.name in err
        )
        assert "mend: wait for it, or stop it" in err and "Traceback" not in err
        pause["seconds"] = 0.0
        result = json.loads(first.communicate(timeout=60)[0])
        assert (result["status"], result["usage"]["calls"], server.calls) == ("ok", 6, 6)
        again = start("runs", "resume", folder.name, "--json")
        assert json.loads(again.communicate(timeout=30)[0])["answer"] == "12" and server.calls == 6
    assert (folder / FILE_NAME).read_bytes().count(b'"type":"call"') == 6
