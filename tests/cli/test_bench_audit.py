"""``phronesis bench audit`` as a user meets it: what it asks, what it keeps, what it refuses."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from phronesis.cli.main import main
from phronesis.testing import FakeReply, FakeRequest, FakeServer, Fault

QUESTIONS = 6


def solve(request: FakeRequest, index: int) -> str:
    number = int(request.user.split("What is ")[1].split(" ")[0])
    return f"Step {number}: so \\boxed{{{2 * number}}}"


def check(request: FakeRequest, index: int) -> FakeReply | str:
    """The derivation of question 1 is flawed, that of 2 is not judged, the others are sound."""
    number = int(request.user.split("What is ")[1].split(" ")[0])
    assert f"Step {number}: so" in request.user and "Verdict:" in request.user
    return {1: "It is false.\nVerdict: flawed", 2: "Who knows."}.get(number, "It holds.\nVerdict: sound")


class Done(NamedTuple):
    """How a command ended."""

    returncode: int
    stdout: str
    stderr: str


Phronesis = Callable[..., Done]


@pytest.fixture
def phronesis(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Phronesis:
    """Calls ``phronesis bench``."""

    def call(*arguments: str) -> Done:
        monkeypatch.setattr(sys, "argv", ["phronesis", "bench", *arguments])
        code = 0
        try:
            main()
        except SystemExit as stop:
            code = int(stop.code or 0)
        return Done(code, *capsys.readouterr())

    return call


@pytest.fixture
def folder(phronesis: Phronesis, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A bench with every question right."""
    rows = [
        {"id": f"q{n}", "question": f"What is {n} + {n}?", "gold": 2 * n, "answer_format": "number"}
        for n in range(1, QUESTIONS + 1)
    ]
    data = tmp_path / "sums.jsonl"
    data.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    monkeypatch.setenv("PHRONESIS_RETRIES", "0")
    with FakeServer(solve) as server:
        monkeypatch.setenv("OPENAI_BASE_URL", server.url)
        done = phronesis("run", "--recipe", "direct", "--dataset", str(data), "--out", str(tmp_path / "out"))
        assert done.returncode == 0, done.stderr
    monkeypatch.delenv("OPENAI_BASE_URL")
    return tmp_path / "out"


def report(done: Done) -> dict[str, Any]:
    data: dict[str, Any] = json.loads(done.stdout)
    return data


def test_flawed_right_answers_are_counted_and_nothing_is_asked_twice(
    folder: Path, phronesis: Phronesis, tmp_path: Path
) -> None:
    with FakeServer(check, model="checker") as server:
        begun = phronesis("audit", str(folder), "--base-url", server.url, "--samples", "4", "--json")
        asked = server.calls
        whole = phronesis("audit", str(folder), "--base-url", server.url, "--json")
        assert server.calls == QUESTIONS
        again = phronesis("audit", str(folder), "--base-url", server.url)
        assert server.calls == QUESTIONS
    assert begun.returncode == whole.returncode == again.returncode == 0, whole.stderr
    assert asked == 4 and report(begun)["ids"] == report(whole)["ids"][:4]
    (row,) = report(whole)["rows"]
    assert (row["auditor"], row["right"], row["flawed"], row["unknown"], row["sound"]) == ("checker", 6, 1, 1, 4)
    assert row["rate"][0] == 0.2 and row["corrected_accuracy"] == 0.8 and row["true_rate"] is None
    assert "checker" in again.stdout and "20.0" in again.stdout
    lines = [json.loads(line) for line in (folder / "audit.jsonl").read_text().splitlines()]
    assert len(lines) == QUESTIONS and {line["id"] for line in lines} == set(report(whole)["ids"])

    labels = tmp_path / "labels.json"
    labels.write_text(json.dumps({"q1": False, "q3": True, "q4": True, "q5": False, "q77": True}), encoding="utf-8")
    with FakeServer(check, model="checker") as server:
        told = phronesis("audit", str(folder), "--base-url", server.url, "--labels", str(labels), "--json")
        assert server.calls == 0
    assert "q77" in told.stderr
    assert report(told)["auditors"]["checker"] == {"labelled": 4, "sensitivity": 0.5, "specificity": 1.0}
    assert report(told)["rows"][0]["true_rate"] == pytest.approx(0.4)


def test_two_auditors_and_their_majority(folder: Path, phronesis: Phronesis) -> None:
    def lenient(request: FakeRequest, index: int) -> str:
        return "Verdict: sound"

    with FakeServer(check, model="strict") as one, FakeServer(lenient, model="lenient") as two:
        done = phronesis("audit", str(folder), "--base-url", one.url, "--base-url", two.url, "--json")
    assert done.returncode == 0, done.stderr
    rows = {row["auditor"]: row for row in report(done)["rows"]}
    assert list(rows) == ["strict", "lenient", "majority"]
    assert rows["lenient"]["flawed"] == 0 and rows["majority"]["unknown"] == 1 and rows["majority"]["sound"] == 5


def test_a_dry_run_asks_nothing_and_needs_no_server(folder: Path, phronesis: Phronesis) -> None:
    done = phronesis("audit", str(folder), "--model", "checker", "--dry-run", "--samples", "5")
    assert done.returncode == 0 and "checker: 5 calls" in done.stdout
    data = report(phronesis("audit", str(folder), "--dry-run", "--json"))
    assert data["audited"] == QUESTIONS and data["auditors"] == [{"auditor": None, "calls": QUESTIONS}]
    assert len(data["ids"]) == QUESTIONS and not (folder / "audit.jsonl").exists()


def test_failed_calls_are_no_verdicts_and_are_made_again(folder: Path, phronesis: Phronesis) -> None:
    with FakeServer(check, model="checker", faults=[Fault(500), Fault(500)]) as server:
        first = phronesis("audit", str(folder), "--base-url", server.url, "--json")
        second = phronesis("audit", str(folder), "--base-url", server.url, "--json")
    assert first.returncode == 1 and "2 call(s) failed" in first.stderr
    assert report(first)["rows"][0]["audited"] == QUESTIONS - 2 and report(first)["failed_calls"] == 2
    assert second.returncode == 0 and report(second)["rows"][0]["audited"] == QUESTIONS


def test_what_cannot_be_audited_is_refused(folder: Path, phronesis: Phronesis, tmp_path: Path) -> None:
    nothing = phronesis("audit", str(tmp_path / "nothing"))
    assert nothing.returncode == 2 and "no bench folder" in nothing.stderr and not (tmp_path / "nothing").exists()
    uneven = phronesis("audit", str(folder), "--model", "a", "--model", "b", "--model", "c", "--base-url", "http://x/v1",
                       "--base-url", "http://y/v1")  # fmt: skip
    assert uneven.returncode == 2 and "--base-url is given 2 times for 3 auditors" in uneven.stderr
    twice = phronesis("audit", str(folder), "--model", "a", "--model", "a")
    assert twice.returncode == 2 and "'a' is named twice" in twice.stderr
    gone = phronesis("audit", str(folder), "--base-url", "http://127.0.0.1:9/v1")
    assert gone.returncode == 3 and "127.0.0.1:9" in gone.stderr
    wrong = phronesis("audit", str(folder), "--labels", str(tmp_path / "none.json"))
    assert wrong.returncode == 2 and "none.json" in wrong.stderr


def test_answers_whose_journal_is_gone_are_said_to_be(folder: Path, phronesis: Phronesis) -> None:
    for journal in (folder / "runs").glob("*/journal.jsonl"):
        journal.unlink()
    done = phronesis("audit", str(folder), "--dry-run")
    assert done.returncode == 0 and f"{QUESTIONS} right answer(s) have no text any more" in done.stderr


def test_what_cannot_be_kept_ends_the_audit_at_once(folder: Path, phronesis: Phronesis) -> None:
    """A folder stands where the verdicts go: they cannot be written, and no further one is asked for."""
    (folder / "audit.jsonl").mkdir()
    with FakeServer(check, model="checker") as server:
        done = phronesis("audit", str(folder), "--base-url", server.url, "--parallel", "1")
        assert server.calls == 1
    assert done.returncode == 2 and "audit.jsonl" in done.stderr and "goes on" in done.stderr
