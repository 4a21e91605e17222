"""``phronesis memory stats|verify|repair|reembed`` as a stranger uses them."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from typer.testing import CliRunner

from phronesis.cli.main import app
from phronesis.core.concept import Concept
from phronesis.core.errors import ConfigurationError, SetupError
from phronesis.core.settings import Settings
from phronesis.memory.ledger import FILE_NAME
from phronesis.memory.session import Memory


@pytest.fixture
def ledger(settings: Settings) -> Path:
    with Memory.open("s", settings=settings) as memory:
        memory.add([Concept(situation=f"case {n}", suggestion=f"do {n}") for n in range(200)])
    return settings.memory / "s" / FILE_NAME


def run(*arguments: str) -> tuple[int, str]:
    done = CliRunner().invoke(app, ["memory", *arguments])
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done.exit_code, done.output


def test_a_sound_session(ledger: Path) -> None:
    code, told = run("stats", "--session", "s", "--json")
    assert (code, json.loads(told)["count"]) == (0, 200)
    assert "200 concepts" in run("stats", "--session", "s")[1]
    code, told = run("verify", "--session", "s")
    assert code == 0
    assert "s: sound" in told
    assert run("repair", "--session", "s") == (0, "s: nothing to mend\n")


def test_a_damaged_session_exits_with_one_and_is_salvaged_on_request(ledger: Path) -> None:
    size = ledger.stat().st_size
    os.truncate(ledger, size // 2 // 4096 * 4096)
    code, told = run("verify", "--session", "s", "--json")
    assert (code, json.loads(told)["sound"]) == (1, False)
    code, told = run("repair", "--session", "s")
    assert code == 1
    assert "--salvage" in told
    with pytest.raises(ConfigurationError, match="no terminal"):
        run("repair", "--session", "s", "--salvage")
    code, told = run("repair", "--session", "s", "--salvage", "--yes")
    assert code == 0, told
    assert "the damaged file is kept" in told
    assert "lost: " in told
    assert run("verify", "--session", "s")[0] == 0


def test_another_embedder(ledger: Path, settings: Settings) -> None:
    with Memory.open("plain", settings=settings.model_copy(update={"embedder": "none"})) as memory:
        memory.add([Concept(suggestion="x")])
    code, told = run("reembed", "--session", "plain", "--embedder", "hash", "--json")
    report = json.loads(told.splitlines()[-1])
    assert (code, report["switched"], report["embedded"]) == (0, True, 1)
    assert "already" in run("reembed", "--session", "s")[1]
    with pytest.raises(SetupError, match="no embedder 'nowhere'"):
        run("reembed", "--session", "s", "--embedder", "nowhere")


@pytest.mark.parametrize("verb", ["stats", "verify", "repair", "reembed"])
def test_help_shows_an_example(verb: str) -> None:
    code, told = run(verb, "--help")
    assert code == 0
    assert "Example" in told
    assert f"phronesis memory {verb}" in told
