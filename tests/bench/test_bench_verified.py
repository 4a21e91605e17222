"""Arms under ``[verify]``: estimates from the composed law, sweeps over rounds, and banks shared with the bare strategy."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from phronesis.bench.running.folder import BenchFolder
from phronesis.cli.main import app
from phronesis.core.errors import ConfigurationError
from phronesis.testing import FakeRequest, FakeServer

VERIFIER = 'generative(votes=1, framing="correct")'
QUESTIONS = 3


def reply(request: FakeRequest, index: int) -> str:
    """Answers that differ by request and sample; whatever is proposed is rejected."""
    if "Proposed solution" in request.user:
        return " it.\nVerdict: No"
    return f"The answer is \\boxed{{{(request.fingerprint + index) % 7}}}."


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeServer]:
    with FakeServer(reply) as running:
        monkeypatch.setenv("OPENAI_BASE_URL", running.url)
        yield running


@pytest.fixture
def data(tmp_path: Path) -> str:
    file = tmp_path / "sums.jsonl"
    rows = [{"id": f"q{n}", "question": f"What is {n} + {n}?", "gold": str(2 * n)} for n in range(QUESTIONS)]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return str(file)


def bench(*arguments: str) -> Any:
    done = CliRunner().invoke(app, ["bench", *arguments, "--json"])
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout.splitlines()[-1])


def test_a_sweep_over_rounds_pays_for_the_widest_arm_alone(server: FakeServer, data: str, tmp_path: Path) -> None:
    sweep = ["sweep", "self_consistency", "--set", "knobs.k=3", "--set", f"verify.strategy={VERIFIER}"]
    sweep += ["--set", "verify.rounds=0,1,2", "--dataset", data, "--format", "number", "--out", str(tmp_path / "s")]
    rows = bench(*sweep, "--dry-run")
    assert [(row["arm"], row["calls"], row["bank"]) for row in rows] == [
        ("rounds-0", [3 * QUESTIONS, 4 * QUESTIONS], "rounds-2"),
        ("rounds-1", [3 * QUESTIONS, 8 * QUESTIONS], "rounds-2"),
        ("rounds-2", [3 * QUESTIONS, 12 * QUESTIONS], ""),
    ]
    assert server.requests == 0
    found = bench(*sweep)
    assert server.calls == 12 * QUESTIONS, "the narrower arms are served"
    assert [row["paid_calls"] for row in found["arms"]] == [0.0, 0.0, 12.0]


@pytest.mark.parametrize("strategy", ["self_consistency", "magicore"])
def test_a_wrapped_arm_shares_its_first_stage_with_the_bare_one(
    strategy: str, server: FakeServer, data: str, tmp_path: Path
) -> None:
    file = tmp_path / "both.toml"
    knobs = "k = 3" if strategy == "self_consistency" else "k = 3\nrounds = 1\nquality_floor = 2.0\nconfident = 1.0"
    head = f'schema = "phronesis/recipe/1"\nstrategy = "{strategy}"\n[knobs]\n{knobs}\n[answer]\nformat = "number"\n'
    for name, more in (("bare", ""), ("checked", f"[verify]\nstrategy = '{VERIFIER}'\nrounds = 1\n")):
        (tmp_path / f"{name}.toml").write_text(f'name = "{name}"\n{head}{more}', encoding="utf-8")
    text = 'schema = "phronesis/bench/1"\nname = "both"\n'
    text += f'[[sets]]\nspec = "{data}"\nname = "sums"\n'
    text += '[[arms]]\nrecipe = "bare.toml"\n[[arms]]\nrecipe = "checked.toml"\nbank = "bare"\n'
    file.write_text(text, encoding="utf-8")
    out = tmp_path / "b"
    bench("run", str(file), "--out", str(out))
    items = {(item.arm, item.task): item for item in BenchFolder(out).items()}
    paid = {
        arm: sum(call.calls for key, item in items.items() if key[0] == arm for call in item.calls)
        for arm in ("bare", "checked")
    }
    assert server.calls == paid["checked"], "what the bare arm asked is asked once"
    for number in range(QUESTIONS):
        bare, checked = (items[name, f"q{number}"] for name in ("bare", "checked"))
        first = [attempt for attempt in checked.attempts if "/" not in attempt.id]
        assert first == list(bare.attempts) and len(checked.attempts) > len(first)


def test_a_bench_that_would_ask_about_verdicts_is_refused(server: FakeServer, data: str, tmp_path: Path) -> None:
    verify = ["--set", f"verify.strategy={VERIFIER}", "--set", "verify.ask=all"]
    done = CliRunner().invoke(
        app, ["bench", "run", "--recipe", "direct", *verify, "--dataset", data, "--out", str(tmp_path / "b")]
    )
    assert isinstance(done.exception, ConfigurationError) and server.calls == 0
    assert "would ask a person about verdicts (verify.ask = 'all')" in str(done.exception)
    assert done.exception.mend == "leave it out, or say --set verify.ask=none"
