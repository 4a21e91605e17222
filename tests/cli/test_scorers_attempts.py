"""``phronesis scorers test --attempts`` as a user meets it: what it costs, says, records, and refuses."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from phronesis.cli.main import main
from phronesis.testing import FakeReply, FakeRequest, FakeServer, Fault

Phronesis = Callable[..., tuple[int, str, str]]
JUDGE = 'generative(votes=1, framing="correct")'


@pytest.fixture
def phronesis(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Phronesis:
    """Calls ``phronesis scorers test``, or another command; returns exit code, output and messages."""

    def call(*arguments: str, command: tuple[str, ...] = ("scorers", "test")) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["phronesis", *command, *arguments])
        code = 0
        try:
            main()
        except SystemExit as stop:
            code = int(stop.code or 0)
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return call


def seeing(request: FakeRequest, index: int) -> FakeReply | str:
    """A verifier that sees everything; a solver that says 4."""
    if "Proposed solution" not in request.user:
        return "It is \\boxed{4}."
    return f"Verdict: {'Yes' if 'boxed{4}' in request.user else 'No'}"


def agreeing(request: FakeRequest, index: int) -> FakeReply | str:
    return "Verdict: Yes" if "Proposed solution" in request.user else "It is \\boxed{4}."


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeServer]:
    with FakeServer(seeing) as running:
        monkeypatch.setenv("OPENAI_BASE_URL", running.url)
        yield running


def rows(right: int = 12, wrong: int = 12) -> list[dict[str, Any]]:
    made = [(f"What is 2 + 2, way {number}?", "4", True) for number in range(right)]
    made += [(f"What is 2 + 2, slip {number}?", "5", False) for number in range(wrong)]
    return [
        {"question": question, "solution": f"It is \\boxed{{{answer}}}.", "right": label, "answer_format": "number"}
        for question, answer, label in made
    ]


@pytest.fixture
def attempts(tmp_path: Path) -> Path:
    return written(tmp_path / "labelled.jsonl", rows())


def written(path: Path, lines: list[dict[str, Any]]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), "utf-8")
    return path


class TestReport:
    def test_given_attempts_are_scored_and_nothing_is_drawn(
        self, phronesis: Phronesis, server: FakeServer, attempts: Path
    ) -> None:
        code, out, err = phronesis("--attempts", str(attempts), "--json", JUDGE)
        data = json.loads(out)
        (judged,) = data["scorers"]
        assert (code, server.calls) == (0, 24) and f"--bank {data['bank']}" in err
        assert (data["given"], data["questions"], data["attempts"], data["model"]) == ("labelled", 24, 24, "fake")
        assert (judged["balanced"], judged["f1"], judged["unknown"], judged["sameness"]) == ([1.0, 1.0, 1.0], 1, 0, "")
        assert judged["calls"] == 1.0

    def test_the_tables(self, phronesis: Phronesis, server: FakeServer, attempts: Path) -> None:
        code, out, _ = phronesis("--attempts", str(attempts), JUDGE, "arithmetic")
        assert code == 0 and "24 attempts of labelled, scored by fake" in out
        assert "balanced accuracy" in out and "100% / 100% / 100%" in out

    def test_a_verifier_that_says_yes_to_everything_is_named_and_later_runs_say_so(
        self, phronesis: Phronesis, server: FakeServer, attempts: Path
    ) -> None:
        server.reply = agreeing
        code, out, _ = phronesis("--attempts", str(attempts), JUDGE)
        assert code == 0
        assert f"{JUDGE} accepts 100 % of the wrong attempts: it says yes to nearly everything" in out
        sets = ("--set", f"verify.strategy='{JUDGE}'", "--set", 'answer.format="number"')
        question = "What is 2 + 2?"
        degraded = json.loads(phronesis("direct", *sets, "--json", question, command=("run",))[1])["degraded"]
        assert any(f"the verifier {JUDGE} accepts 100 % of the wrong attempts" in text for text in degraded)
        stricter = (*sets, "--set", "verify.accept=0.9")
        degraded = json.loads(phronesis("direct", *stricter, "--json", question, command=("run",))[1])["degraded"]
        assert not any("the verifier" in text for text in degraded), "nobody tested that threshold"
        scored = ("--set", f"knobs.scorer='{JUDGE}'")
        degraded = json.loads(phronesis("best_of_n", *scored, "--json", question, command=("run",))[1])["degraded"]
        assert not any("the verifier" in text for text in degraded), "it ranks there and accepts nothing"

    def test_a_scorer_that_never_gives_a_figure(self, phronesis: Phronesis, server: FakeServer, attempts: Path) -> None:
        server.reply = lambda request, index: Fault(status=400, message="scripted")
        code, out, err = phronesis("--attempts", str(attempts), "--json", JUDGE)
        (judged,) = json.loads(out)["scorers"]
        assert code == 1 and "no attempt has a figure" in err
        assert (judged["unknown"], judged["scored"]) == (1.0, 0)
        assert judged["sameness"] == "has no verdict on 100 % of the attempts"
        listed = json.loads(phronesis("--json", command=("scorers", "list"))[1])
        assert not [row for row in listed if row["tests"]]

    def test_a_server_that_refuses_is_unknown_and_said(
        self, phronesis: Phronesis, server: FakeServer, attempts: Path
    ) -> None:
        def half(request: FakeRequest, index: int) -> FakeReply | Fault | str:
            return Fault(status=400, message="scripted") if "slip" in request.user else seeing(request, index)

        server.reply = half
        code, out, err = phronesis("--attempts", str(attempts), "--json", JUDGE)
        (judged,) = json.loads(out)["scorers"]
        assert code == 1 and "12 failure(s)" in err
        assert (judged["unknown"], judged["accepts_right"], judged["recall"]) == (0.5, 1.0, 0.0)

    @pytest.mark.parametrize(
        ("right", "wrong", "says"), [(3, 0, "every attempt is right"), (0, 3, "every attempt is wrong")]
    )
    def test_labels_of_one_kind_are_said(
        self, phronesis: Phronesis, server: FakeServer, tmp_path: Path, right: int, wrong: int, says: str
    ) -> None:
        path = written(tmp_path / "a.jsonl", rows(right, wrong))
        code, out, err = phronesis("--attempts", str(path), "--json", JUDGE)
        (judged,) = json.loads(out)["scorers"]
        assert code == 0 and says in err
        assert judged["balanced"] == [None, None, None] and judged["pooled"][0] is None
        assert phronesis("--attempts", str(path), JUDGE)[0] == 0

    def test_the_record_names_the_set_beside_that_of_drawn_attempts(
        self, phronesis: Phronesis, server: FakeServer, attempts: Path, tmp_path: Path
    ) -> None:
        gold = written(tmp_path / "gold.jsonl", [{"question": "What is 2 + 2?", "gold": "4", "id": "a"}])
        phronesis("--attempts", str(attempts), "--json", JUDGE)
        phronesis("--dataset", str(gold), "--samples", "2", "--json", JUDGE)
        listed = {row["name"]: row["tests"] for row in json.loads(phronesis("--json", command=("scorers", "list"))[1])}
        drawn, given = listed["generative"]
        assert (drawn["given"], given["given"], given["balanced"]) == ("", "labelled", 1.0)
        assert "of labelled, scored by fake" in given["text"] and "balanced accuracy 1.00" in given["text"]


class TestGoingOn:
    def test_a_bank_is_used_again_and_scores_are_reported_again(
        self, phronesis: Phronesis, server: FakeServer, attempts: Path
    ) -> None:
        first = json.loads(phronesis("--attempts", str(attempts), "--json", JUDGE)[1])
        paid = server.calls
        again = json.loads(phronesis("--attempts", str(attempts), "--scores", first["scores"], "--json")[1])
        assert again == first and server.calls == paid
        other = json.loads(phronesis("--attempts", str(attempts), "--bank", first["bank"], "--json", "arithmetic")[1])
        assert other["bank"] == first["bank"] and server.calls == paid

    def test_a_part_of_a_bank(self, phronesis: Phronesis, server: FakeServer, attempts: Path) -> None:
        first = json.loads(phronesis("--attempts", str(attempts), "--json", "arithmetic")[1])
        more = ("--bank", first["bank"], "--limit", "5", "--json", JUDGE)
        assert json.loads(phronesis("--attempts", str(attempts), *more)[1])["questions"] == server.calls == 5

    def test_a_dry_run_asks_nobody(self, phronesis: Phronesis, server: FakeServer, attempts: Path, home: Path) -> None:
        code, out, _ = phronesis("--attempts", str(attempts), "--limit", "10", "--dry-run", JUDGE)
        assert code == 0 and "10 questions, 10 attempts: a new bank" in out and "at most 10 calls" in out
        assert server.requests == 0 and not (home / "runs").exists()

    def test_rows_are_chosen(self, phronesis: Phronesis, server: FakeServer, tmp_path: Path) -> None:
        lines = [{**row, "level": "a" if number % 2 else "b"} for number, row in enumerate(rows())]
        arguments = ("--attempts", str(written(tmp_path / "l.jsonl", lines)), "--where", "level=a", "--shuffle", "1")
        data = json.loads(phronesis(*arguments, "--limit", "8", "--json", "arithmetic")[1])
        assert (data["questions"], data["given"]) == (8, "l level=a")
        both = ("--where", "level=a", "--where", "level=b", "--dry-run", "arithmetic")
        assert "24 questions" in phronesis("--attempts", arguments[1], *both)[1]


class TestMistakes:
    @pytest.mark.parametrize(
        ("arguments", "says"),
        [
            ((), "neither --dataset nor --attempts"), (("--attempts", "@", "--dataset", "@"), "both --dataset and"),
            (("--dataset", "@", "--where", "a=b"), "--where chooses among --attempts"),
            (("--dataset", "@", "--shuffle", "1"), "--shuffle chooses among --attempts"),
            (("--attempts", "nowhere.jsonl"), "nowhere.jsonl"), (("--attempts", "llmbarr"), "did you mean 'llmbar'"),
            (("--attempts", "llmbar"), "PHRONESIS_DATA"), (("--attempts", "@", "--where", "a"), "is not FIELD=VALUE"),
            (("--attempts", "@", "--where", "kind=x"), "no row has the field 'kind'"),
            (("--attempts", "@", "--set", "answer.format=numbers"), "numbers"),
            (("--attempts", "@", "--bank", "nobody"), "no run 'nobody'"),
            (("--attempts", "@", "self_certainty"), "reads the log-probabilities of attempts"),
        ],
    )  # fmt: skip
    def test_wrong_usage_is_2_names_the_value_and_costs_nothing(
        self, phronesis: Phronesis, server: FakeServer, attempts: Path, arguments: tuple[str, ...], says: str
    ) -> None:
        code, out, err = phronesis(*(str(attempts) if one == "@" else one for one in arguments), JUDGE)
        assert (code, out) == (2, "") and says in err and "Traceback" not in err
        assert server.calls == 0

    def test_a_bad_row_is_named(self, phronesis: Phronesis, server: FakeServer, attempts: Path) -> None:
        attempts.write_text(attempts.read_text("utf-8") + '{"question": "B?", "solution": "s"}\n', "utf-8")
        code, _, err = phronesis("--attempts", str(attempts), JUDGE)
        assert code == 2 and "labelled.jsonl:25" in err and "right" in err and server.calls == 0

    def test_a_bank_of_other_attempts(
        self, phronesis: Phronesis, server: FakeServer, attempts: Path, tmp_path: Path
    ) -> None:
        bank = json.loads(phronesis("--attempts", str(attempts), "--json", "arithmetic")[1])["bank"]
        other = [{"question": "What is 9 + 9?", "solution": "18", "right": True}]
        code, _, err = phronesis("--attempts", str(written(tmp_path / "o.jsonl", other)), "--bank", bank, JUDGE)
        assert code == 2 and "holds no task of the data set" in err
        changed = [{**row, "solution": "It is \\boxed{6}."} for row in rows()]
        code, _, err = phronesis(
            "--attempts", str(written(tmp_path / "c.jsonl", changed)), "--bank", bank, "arithmetic"
        )
        assert code == 2 and "is not among the labelled ones" in err
