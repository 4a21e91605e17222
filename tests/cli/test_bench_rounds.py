"""``phronesis bench rounds`` as a user meets it: runs with gold answers, benches, plots, mistakes."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from phronesis.cli.main import main
from phronesis.testing import FakeRequest, FakeServer

Phronesis = Callable[..., tuple[int, str, str]]


@pytest.fixture
def phronesis(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Phronesis:
    """Calls ``phronesis``; returns exit code, output and messages."""

    def call(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["phronesis", *arguments])
        code = 0
        try:
            main()
        except SystemExit as stop:
            code = int(stop.code or 0)
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return call


def agents() -> Callable[[FakeRequest, int], str]:
    """Question 1 is right at once and accepted, 2 is mended, 3 is spoiled, 4 is wrong and accepted."""
    asked: set[int] = set()

    def reply(request: FakeRequest, index: int) -> str:
        number = int(request.user.split("question ")[1][0])
        if "Proposed solution" in request.user:
            liked = {1: "10", 2: "20", 3: "31", 4: "41"}[number]
            return f"Verdict: {'Yes' if f'boxed{{{liked}}}' in request.user else 'No'}"
        again = number in asked
        asked.add(number)
        said = {1: "10", 2: "20" if again else "21", 3: "31" if again else "30", 4: "41"}[number]
        return f"So \\boxed{{{said}}}."

    return reply


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeServer]:
    with FakeServer(agents()) as running:
        monkeypatch.setenv("OPENAI_BASE_URL", running.url)
        yield running


@pytest.fixture
def gold(tmp_path: Path) -> Path:
    lines = [{"question": f"This is question {n}.", "gold": f"{10 * n}", "id": f"q{n}"} for n in range(1, 5)]
    path = tmp_path / "gold.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), "utf-8")
    return path


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    path = tmp_path / "checked.toml"
    path.write_text(
        'schema = "phronesis/recipe/1"\nname = "checked"\nstrategy = "direct"\n[answer]\nformat = "number"\n'
        "[verify]\nstrategy = 'generative(votes=1, framing=\"correct\")'\nrounds = 2\n",
        "utf-8",
    )
    return path


def run_of(phronesis: Phronesis, recipe: str, gold: Path) -> str:
    out = gold.with_name(f"{Path(recipe).stem}.out.jsonl")
    assert phronesis("run", recipe, "--dataset", str(gold), "--out", str(out))[0] == 0
    return str(json.loads(out.read_text("utf-8").splitlines()[0])["run_id"])


def test_a_run_with_gold_answers(phronesis: Phronesis, server: FakeServer, recipe: Path, gold: Path) -> None:
    run = run_of(phronesis, str(recipe), gold)
    paid = server.calls
    code, out, _ = phronesis("bench", "rounds", run, "--dataset", str(gold), "--json")
    (found,) = json.loads(out)
    first, second = found["rounds"]
    assert code == 0 and server.calls == paid
    assert (found["name"], found["questions"], found["corrections"], found["over_corrections"]) == (run, 4, 1, 1)
    assert (first["accuracy"][0], first["judged"], first["accepted"], first["accept_rate"]) == (0.5, 4, 2, 0.5)
    assert first["accepted_precision"] == 0.5
    assert (second["to_right"], second["to_wrong"], second["accepted"]) == (0.5, 0.5, 2)
    assert found["stops_paying"] is None and found["gain"][0] == 0.0


def test_the_table_and_the_plot(
    phronesis: Phronesis, server: FakeServer, recipe: Path, gold: Path, tmp_path: Path
) -> None:
    run, plot = run_of(phronesis, str(recipe), gold), tmp_path / "plots" / "rounds.svg"
    code, out, _ = phronesis("bench", "rounds", run, "--dataset", str(gold), "--plot", str(plot))
    assert code == 0 and "corrections 1, over-corrections 1" in out and "1/2 (50%)" in out
    assert plot.read_text("utf-8").startswith("<svg") or "<svg" in plot.read_text("utf-8")


def test_a_bench_knows_its_gold_answers(
    phronesis: Phronesis, server: FakeServer, recipe: Path, gold: Path, tmp_path: Path
) -> None:
    out = str(tmp_path / "bench")
    for arm in (f"checked={recipe}", "direct"):
        assert phronesis("bench", "run", "--recipe", arm, "--dataset", str(gold), "--out", out)[0] == 0
    (found,) = json.loads(phronesis("bench", "rounds", out, "--json")[1])
    assert (found["name"], found["questions"], found["corrections"], found["over_corrections"]) == ("checked", 4, 1, 1)
    code, _, err = phronesis("bench", "rounds", out, "--arm", "direct")
    assert code == 2 and "verified nothing" in err
    code, _, err = phronesis("bench", "rounds", out, "--arm", "chekced")
    assert code == 2 and "did you mean 'checked'" in err


def test_mistakes(phronesis: Phronesis, server: FakeServer, recipe: Path, gold: Path, tmp_path: Path) -> None:
    run, plain = run_of(phronesis, str(recipe), gold), run_of(phronesis, "direct", gold)
    other = tmp_path / "other.jsonl"
    other.write_text('{"question": "?", "gold": "1", "id": "elsewhere"}\n', "utf-8")
    for arguments, says in (
        ((run,), "holds no gold answers"),
        (("nobody", "--dataset", str(gold)), "no run 'nobody'"),
        ((plain, "--dataset", str(gold)), "verified nothing"),
        ((run, "--dataset", str(other)), "no finished task"),
        ((run, "--dataset", "nowhere.jsonl"), "nowhere.jsonl"),
        ((str(tmp_path),), str(tmp_path)),
    ):
        code, out, err = phronesis("bench", "rounds", *arguments)
        assert (code, out) == (2, "") and says in err and "Traceback" not in err
