"""``phronesis scorers null``: judges that can be won by nothing fail, others pass, and failures are no judgements."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from phronesis.bench.metrics.null_model import INJECTIONS, NULLS
from phronesis.cli.main import main
from phronesis.testing import FakeReply, FakeRequest, FakeServer, Fault

Run = Callable[..., tuple[int, dict[str, object], str]]
QUESTIONS = 50


@pytest.fixture
def dataset(tmp_path: Path) -> str:
    rows = [{"id": f"q{n}", "question": f"What is {n} + {n}?", "gold": str(2 * n)} for n in range(1, QUESTIONS + 1)]
    path = tmp_path / "sums.jsonl"
    path.write_text("".join(json.dumps({**row, "answer_format": "number"}) + "\n" for row in rows), encoding="utf-8")
    return str(path)


@pytest.fixture
def null(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], dataset: str) -> Iterator[Run]:
    """Runs the command against a server with that judge; exit code, JSON, messages."""
    servers: list[FakeServer] = []

    def run(judge: Callable[[FakeRequest, int], FakeReply | str], *arguments: str, **how: object) -> tuple:  # type: ignore[type-arg]
        servers.append(FakeServer(judge, **how).__enter__())  # type: ignore[arg-type]  # the server's own options
        monkeypatch.setenv("OPENAI_BASE_URL", servers[-1].url)
        monkeypatch.setattr(sys, "argv", ["phronesis", "scorers", "null", *arguments, "--dataset", dataset, "--json"])
        code = 0
        try:
            main()
        except SystemExit as stop:
            code = int(stop.code or 0)
        said = capsys.readouterr()
        return code, json.loads(said.out) if said.out else {}, said.err

    yield run
    for server in servers:
        server.__exit__(None, None, None)


def yes_no(yes: bool) -> FakeReply:
    first, other = ("Yes", "No") if yes else ("No", "Yes")
    return FakeReply(f" {first}", top={f" {first}": -0.01, f" {other}": -5.0})


def prefers(label: str) -> FakeReply:
    return FakeReply(f" {label}", top={f" {label}": -0.01, f" {'B' if label == 'A' else 'A'}": -5.0})


def right(text: str) -> bool:
    """Whether the text gives the right sum."""
    number = re.search(r"What is (\d+) \+", text)
    return number is not None and f"boxed{{{2 * int(number[1])}}}" in text


def honest(request: FakeRequest, index: int) -> FakeReply:
    return yes_no(right(request.user))


def obedient_judge(request: FakeRequest, index: int) -> FakeReply:
    """Takes every order to say yes, wherever it stands."""
    ordered = re.search(r"(?i)verdict\W+(?:is\W+)?yes|answer yes|reply with: yes", request.text)
    return yes_no(right(request.user) or ordered is not None)


def honest_comparison(request: FakeRequest, index: int) -> FakeReply:
    first = request.user.partition("Solution B")[0]
    return prefers("A" if right(first) else "B")


def first_place(request: FakeRequest, index: int) -> FakeReply:
    return prefers("A")


def test_a_judge_that_obeys_what_it_judges_fails(null: Run) -> None:
    code, found, _ = null(obedient_judge, "judge")
    (scorer,) = found["scorers"]  # type: ignore[misc]
    assert code == 1 and not scorer["passed"]
    accepted = {row["null"] for row in scorer["nulls"] if row["acceptance_rate"]}
    assert accepted == set(INJECTIONS)
    assert any("accepted in 100.0 %" in reason for reason in scorer["reasons"])


def test_a_judge_that_reads_the_answer_passes(null: Run) -> None:
    code, found, _ = null(honest, "judge", "--limit", str(QUESTIONS))
    (scorer,) = found["scorers"]  # type: ignore[misc]
    assert (code, scorer["passed"], scorer["reasons"], scorer["model"]) == (0, True, [], "fake")
    assert {row["null"] for row in scorer["nulls"]} == set(NULLS)
    for row in scorer["nulls"]:
        assert (row["judged"], row["accepted"], row["compared"], row["won"]) == (QUESTIONS, 0, QUESTIONS, 0)
        assert row["order_consistency"] is None and row["mean_score"] < 0.1


def test_comparisons_are_made_in_both_orders(null: Run) -> None:
    code, found, _ = null(honest_comparison, "pairwise")
    (scorer,) = found["scorers"]  # type: ignore[misc]
    assert code == 0 and scorer["passed"], scorer["reasons"]
    assert all(row["compared"] == 2 * QUESTIONS and row["order_consistency"] == 1.0 for row in scorer["nulls"])


def test_a_judge_that_prefers_a_place_is_flagged(null: Run) -> None:
    code, found, _ = null(first_place, "pairwise")
    (scorer,) = found["scorers"]  # type: ignore[misc]
    assert code == 1
    assert all(row["order_consistency"] == 0.0 and row["win_rate"] == 0.5 for row in scorer["nulls"])
    assert any("the order decides 100.0 %" in reason for reason in scorer["reasons"])


def test_steps_are_judged_by_the_lowest(null: Run) -> None:
    code, found, _ = null(lambda request, index: yes_no(True), "step_judge")
    assert code == 1
    assert all(row["acceptance_rate"] == 1.0 for row in found["scorers"][0]["nulls"])  # type: ignore[index]


def test_too_few_questions_pass_nothing(null: Run) -> None:
    code, found, _ = null(honest, "judge", "--limit", "3")
    assert code == 1 and "3 times, 50 are needed" in found["scorers"][0]["reasons"][0]  # type: ignore[index]
    assert null(honest, "judge", "--limit", "3", "--least", "3")[0] == 0


def test_a_judge_that_fails_is_not_one_that_refuses(null: Run) -> None:
    refuse = Fault(status=400, message="scripted refusal")

    def faults(request: FakeRequest, number: int) -> Fault | None:
        return refuse if "What is" in request.text else None

    code, found, said = null(honest, "judge", "--limit", "4", "--least", "1", faults=faults)
    (scorer,) = found["scorers"]  # type: ignore[misc]
    assert code == 1 and scorer["failed_calls"] == 4 * (len(NULLS) + 1)
    assert all(row["judged"] == 0 and row["acceptance_rate"] is None for row in scorer["nulls"])
    assert "scripted refusal" in said


def test_a_plan_costs_nothing(null: Run) -> None:
    code, found, _ = null(honest, "judge", "generative(votes=1)", "pairwise", "--dry-run", "--limit", "10")
    most = {row["scorer"]: row["most_calls"] for row in found["scorers"]}  # type: ignore[attr-defined]
    nulls = len(NULLS)
    assert code == 0
    assert most == {"judge": 10 * (nulls + 1), "generative(votes=1)": 20 * (nulls + 1), "pairwise": 20 * nulls}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("self_certainty",), "asks no model"),
        (("judg",), "judge"),
        (("judge(vote=2)",), "vote"),
        (("judge", "--bank", "nowhere"), "nowhere"),
    ],
)
def test_wrong_usage_is_named(null: Run, arguments: tuple[str, ...], said: str) -> None:
    code, _, message = null(honest, *arguments)
    assert code == 2 and said in message
