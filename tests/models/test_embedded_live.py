"""The life of an embedded engine, with the real 0.5B model: started once, shared, freed by a kill, replaced, stopped."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from conftest import SHARED_HOME
from phronesis.core.http import close_pools, exchange
from phronesis.core.settings import Settings
from phronesis.models.embedded import EngineLease, lease_engine
from phronesis.models.engine_folder import EngineFolder, process_start, running
from phronesis.models.pull import local_path

MODEL = "qwen2.5-coder-0.5b-instruct-q4_k_m"
IDLE = 1.0
USER = """
import asyncio, sys, time
from phronesis.core.http import close_pools
from phronesis.core.settings import load_settings
from phronesis.models.embedded import lease_engine

async def use():
    lease = await lease_engine(sys.argv[1], load_settings())
    await close_pools()
    return lease

lease = asyncio.run(use())
print(lease.pid, flush=True)
time.sleep(60)
"""

pytestmark = pytest.mark.live


@pytest.fixture
def engines(home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Settings]:
    """Settings with the shared models and engines of their own, small and quick to stop; none is left running."""
    shared = Settings(home=Path(SHARED_HOME or "."))
    if local_path(MODEL, shared) is None:
        pytest.fail(
            f"no {MODEL} in {str(shared.models)!r}: PHRONESIS_HOME=<cache> phronesis models pull {MODEL}, "
            "and run the tests with the same PHRONESIS_HOME"
        )
    home.mkdir()
    (home / "models").symlink_to(shared.models.absolute())
    small = {"engine_idle": IDLE, "engine_threads": 1, "engine_context": 2048, "engine_slots": 2}
    for name, value in small.items():
        monkeypatch.setenv(f"PHRONESIS_{name.upper()}", str(value))
    settings = Settings.model_validate({"home": home, **small})
    yield settings
    left = processes_of(settings)
    for pid in left:
        os.kill(pid, signal.SIGKILL)
    wait_until(lambda: not processes_of(settings))


def wait_until(holds: Callable[[], bool], seconds: float = 10.0) -> float:
    """Seconds until it held; fails when it never did."""
    begun = time.monotonic()
    while not holds():
        assert time.monotonic() - begun < seconds, "waited in vain"
        time.sleep(0.02)
    return time.monotonic() - begun


def lease(settings: Settings) -> EngineLease:
    async def get() -> EngineLease:
        try:
            return await lease_engine(MODEL, settings)
        finally:
            await close_pools()

    return asyncio.run(get())


def user(settings: Settings) -> subprocess.Popen[str]:
    """Another process that holds a lease."""
    environment = os.environ | {"PHRONESIS_HOME": str(settings.home)}
    return subprocess.Popen([sys.executable, "-c", USER, MODEL], env=environment, stdout=subprocess.PIPE, text=True)


def engine_of(child: subprocess.Popen[str]) -> int:
    assert child.stdout is not None
    return int(child.stdout.readline())


def ask(held: EngineLease, api_key: str) -> tuple[int, str]:
    async def post() -> tuple[int, str]:
        body = {"model": held.model, "max_tokens": 4, "messages": [{"role": "user", "content": "Say hi."}]}
        try:
            reply = await exchange("POST", held.base_url, "/chat/completions", body=body, api_key=api_key)
        finally:
            await close_pools()
        return reply.status, json.loads(reply.body).get("choices", [{}])[0].get("message", {}).get("content", "")

    return asyncio.run(post())


def test_two_processes_share_one_engine_and_a_kill_frees_it(engines: Settings) -> None:
    with user(engines) as first, user(engines) as second:
        pid = engine_of(first)
        assert engine_of(second) == pid
        assert [engine.pid for engine in running(engines)] == [pid]
        time.sleep(1.5 * IDLE)
        assert process_start(pid) is not None, "stopped under its users"
        first.kill()
        time.sleep(1.5 * IDLE)
        assert process_start(pid) is not None, "stopped under its second user"
        second.kill()
        waited = wait_until(lambda: process_start(pid) is None)
        assert waited >= IDLE / 2
    assert running(engines) == []


def test_it_replies_only_with_its_key_and_stops_when_idle(engines: Settings) -> None:
    with lease(engines) as held, lease(engines) as again:
        assert again.info == held.info
        status, text = ask(held, held.api_key)
        assert status == 200 and text
        assert ask(held, "guessed")[0] == 401
        held.close()
        held.close()
        time.sleep(1.5 * IDLE)
        assert process_start(again.pid) is not None, "stopped under the second lease of one process"
    wait_until(lambda: process_start(held.pid) is None)
    assert not EngineFolder(held.log.parent).port_file.exists()
    assert "nobody used it" in held.log.read_text()


def test_a_killed_engine_is_replaced_and_sigterm_ends_one_cleanly(engines: Settings) -> None:
    with lease(engines) as held:
        os.kill(held.pid, signal.SIGKILL)
        wait_until(lambda: process_start(held.pid) is None)
        assert EngineFolder(held.log.parent).port_file.exists(), "a kill leaves the port file"
        with lease(engines) as fresh:
            assert fresh.pid != held.pid
            assert ask(fresh, fresh.api_key)[0] == 200
            os.kill(fresh.pid, signal.SIGTERM)
            wait_until(lambda: process_start(fresh.pid) is None)
            assert not EngineFolder(fresh.log.parent).port_file.exists()


def test_a_starter_killed_half_way_does_not_lead_to_two_engines(engines: Settings) -> None:
    with user(engines) as starter:
        wait_until(lambda: bool(processes_of(engines)))
        starter.kill()
    assert running(engines) == [], "the starter was killed too late for this test"
    orphans = processes_of(engines)
    with lease(engines) as held:
        assert processes_of(engines) == orphans == [held.pid]


def processes_of(settings: Settings) -> list[int]:
    """Every engine process of these settings, known to a port file or not."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_bytes().decode(errors="replace").split("\0")
        except OSError:
            continue
        if "phronesis.models.engine_process" in words and any(str(settings.home) in word for word in words):
            found.append(int(path.parent.name))
    return found
