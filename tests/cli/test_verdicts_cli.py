"""Verdicts on the command line: asked on a terminal or by option, safe from kills, shown, compared, handed on as data."""

from __future__ import annotations

import json
import re
import shlex
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from screens import Screen
from typer.testing import CliRunner, Result

from phronesis.cli.asking import question_lines, shortened
from phronesis.cli.main import app
from phronesis.core.asking import Question
from phronesis.core.errors import ConfigurationError, RecipeError
from phronesis.testing import FakeRequest, FakeServer

VERIFIER = 'generative(votes=1, framing="correct")'
KEY = "verify0#person.0?"


class Server:
    """Answers 11, and 12 when something was said against it; accepts both."""

    def __init__(self) -> None:
        self.verdict: Callable[[FakeRequest], str] = lambda request: "Yes"
        self.told: list[str] = []

    def __call__(self, request: FakeRequest, index: int) -> str:
        if "Proposed solution" in request.user:
            return f" it.\nVerdict: {self.verdict(request)}"
        if "was checked and not accepted" in request.user:
            self.told.append(request.user)
            return "Seven, twelve.\nThe answer is \\boxed{12}."
        return "Six, eleven.\nThe answer is \\boxed{11}."


@pytest.fixture
def replies() -> Server:
    return Server()


@pytest.fixture
def server(replies: Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeServer]:
    with FakeServer(replies) as running:
        monkeypatch.setenv("OPENAI_BASE_URL", running.url)
        yield running


def cli(*arguments: str) -> Result:
    return CliRunner().invoke(app, list(arguments))


def arguments(*more: str, ask: str = "all") -> list[str]:
    number = ["--set", "answer.format=number"]
    return ["run", "direct", "What is 7 + 5?", "--verify", VERIFIER, "--verify-ask", ask, *number, *more]


def latest() -> dict[str, Any]:
    found = json.loads(cli("runs", "list", "--json").stdout)[0]
    assert isinstance(found, dict)
    return found


def commands_in(text: str) -> list[list[str]]:
    return [shlex.split(line.split("phronesis ", 1)[1]) for line in text.splitlines() if "--answer" in line]


class TestByOption:
    def test_the_question_is_shown_with_both_commands(self, server: FakeServer, replies: Server) -> None:
        done = cli(*arguments())
        assert done.exit_code == 1 and "1 question open" in done.stderr
        for part in ("What is 7 + 5?", "| The answer is \\boxed{11}.", "its answer 11", "accept (1.00)"):
            assert part in done.stderr
        approve, overrule = commands_in(done.stderr)
        assert approve[-1].endswith(f":{KEY}=approve") and overrule[-1].endswith(f":{KEY}=overrule: reason")
        assert commands_in(cli("runs", "show", latest()["run_id"]).stdout) == [approve, overrule]
        went_on = cli(*overrule[:-1], overrule[-1].replace("reason", "count again"), "--json")
        assert went_on.exit_code == 1 and "verify1#person.0?=approve" in went_on.stderr
        assert "count again" in replies.told[0]
        last = cli(*commands_in(went_on.stderr)[0])
        assert last.exit_code == 0 and "answer  12" in last.stdout and server.calls == 4
        assert "attempt 1: rejected (0.00), a person overruled: count again" in last.stdout

    def test_json_stays_json(self, server: FakeServer, tmp_path: Path) -> None:
        file = tmp_path / "q.jsonl"
        rows = [{"id": name, "question": f"What is 7 + 5, {name}?"} for name in "abc"]
        file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
        more = ["--verify", VERIFIER, "--verify-ask", "accept", "--set", "answer.format=number", "--json"]
        done = cli("run", "direct", "--dataset", str(file), *more)
        assert done.exit_code == 1 and done.stdout == "" and "3 questions open" in done.stderr
        answers = [f"--answer={name}:{KEY}=approve" for name in "abc"]
        went_on = cli("runs", "resume", latest()["run_id"], *answers, "--json")
        results = [json.loads(line) for line in went_on.stdout.splitlines()]
        assert [(item["task_id"], item["stop_reason"]) for item in results] == [(name, "accepted") for name in "abc"]
        assert server.calls == 6

    def test_wrong_usage(self, server: FakeServer) -> None:
        cli(*arguments())
        run = latest()["run_id"]
        task = json.loads(cli("runs", "show", run, "--json").stdout)["unfinished"][0]["task_id"]
        bare = cli("runs", "resume", run, "--answer", f"{task}:{KEY}=overrule")
        assert isinstance(bare.exception, ConfigurationError) and bare.exception.mend == "write 'overrule: reason'"
        unknown = cli("run", "direct", "x", "--verify", "generativ")
        assert isinstance(unknown.exception, RecipeError) and "did you mean 'generative'" in str(unknown.exception)
        nothing = cli("run", "direct", "x", "--verify-ask", "all")
        assert isinstance(nothing.exception, RecipeError) and "names no verifier" in str(nothing.exception)
        textless = cli(*arguments("--no-texts"))
        assert isinstance(textless.exception, ConfigurationError) and "cannot be resumed" in str(textless.exception)


class TestOnATerminal:
    @pytest.mark.parametrize(
        ("typed", "answer"),
        [
            (["a"], b"answer  11"),
            (["a: fine"], b"answer  11"),
            (["overrule", "", "o", "count again", "a"], b"answer  12"),
            (["maybe", "o: count again", "a"], b"answer  12"),
        ],
    )
    def test_a_person_is_asked(self, server: FakeServer, typed: list[str], answer: bytes) -> None:
        screen = Screen(*arguments())
        for line in typed:
            screen.wait_for(rb"verrule\? $|reason\) $")
            screen.say(line)
        assert screen.end() == 0 and answer in screen.seen
        assert (b"lacks a reason" in screen.seen) == ("" in typed)

    def test_a_kill_in_front_of_the_answer_costs_nothing(self, server: FakeServer) -> None:
        screen = Screen(*arguments())
        screen.wait_for(rb"verrule\? $")
        screen.process.send_signal(signal.SIGKILL)
        assert screen.end() == -signal.SIGKILL
        run = latest()
        assert (run["status"], run["questions"], server.calls) == ("interrupted", 1, 2)
        done = cli(*commands_in(cli("runs", "show", run["run_id"]).stdout)[0])
        assert done.exit_code == 0 and server.calls == 2

    def test_a_kill_behind_the_answer_asks_nobody_twice(self, server: FakeServer, replies: Server) -> None:
        held, free = threading.Event(), threading.Event()

        def hold(request: FakeRequest, index: int) -> str:
            if "was checked and not accepted" in request.user and not free.is_set():
                held.set()
                free.wait(60)
            return replies(request, index)

        server.reply = hold
        screen = Screen(*arguments(ask="accept"))
        screen.wait_for(rb"verrule\? $")
        screen.say("o: count again")
        assert held.wait(60)
        screen.process.send_signal(signal.SIGKILL)
        free.set()
        screen.end()
        run = latest()
        assert (run["status"], run["questions"]) == ("interrupted", 0)
        went_on = cli("runs", "resume", run["run_id"])
        assert went_on.exit_code == 1 and commands_in(went_on.stderr)[0][-1].endswith("verify1#person.0?=approve")
        shown = json.loads(cli("runs", "show", run["run_id"], "--json").stdout)["unfinished"][0]
        assert [item["reason"] for item in shown["decisions"] if item["rule"] == "verdict"] == ["count again"]


def test_long_attempts_are_cut_and_what_is_cut_is_said() -> None:
    text = "a" * 2000 + "b" * 2000
    about = {"question": "q", "attempt": text, "answer": "1\x1b[2J", "label": "reject", "score": None, "reason": "no"}
    about["criteria"] = [{"criterion": "units", "choice": "wrong", "score": 0.0, "reason": "metres"}]
    about["consistent"] = False
    question = Question(key="k", task="t", kind="verdict", text="stand?", choices=("approve",), request=about)
    lines = "\n".join(question_lines(question))
    assert "[... 2500 characters left out ...]" in lines and "\x1b" not in lines
    assert "reject, and it contradicts itself" in lines and "units: wrong (0.00) metres" in lines
    assert shortened("short") == "short" and len(shortened(text)) < 1600


def test_show_draws_attempts_verdicts_and_what_was_told(server: FakeServer) -> None:
    cli(*arguments())
    run = latest()["run_id"]
    task = json.loads(cli("runs", "show", run, "--json").stdout)["unfinished"][0]["task_id"]
    cli("runs", "resume", run, "--answer", f"{task}:{KEY}=overrule: count again")
    cli("runs", "resume", run, "--answer", f"{task}:verify1#person.0?=approve")
    lines = [line.strip("│├└─ ").rstrip() for line in cli("runs", "show", run, "--task", task).stdout.splitlines()]
    order = [
        "attempt 1",
        "verdict  rejected (0.00), a person overruled: count again",
        "person  overrule: count again (the verifier: accepted)",
        "told  count again",
        "attempt 2",
    ]
    assert [line for line in lines if line in order] == order
    assert any(line.startswith("verdict  accepted (1.00), approved by a person: ") for line in lines)
    assert any(line.startswith("v1/c0  12") and line.endswith("chosen") for line in lines)
    assert not any(line.startswith("assessment") for line in lines)


def test_progress_has_a_line_per_verdict(server: FakeServer, replies: Server) -> None:
    replies.verdict = lambda request: "No"
    done = cli(*arguments(ask="none"), "--set", "verify.rounds=1")
    assert done.stderr.count("attempt 1: rejected (0.00)") == 1 and "attempt 2: rejected (0.00)" in done.stderr
    assert "assessment" not in done.stderr


class TestAsData:
    def judged(self, tmp_path: Path, count: int = 4) -> str:
        """A run whose verifier accepts everything; people find every second attempt wrong."""
        file = tmp_path / "q.jsonl"
        rows = [{"id": f"t{number}", "question": f"What is 7 + {number}?"} for number in range(count)]
        file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
        more = ["--verify", VERIFIER, "--verify-ask", "accept", "--set", "answer.format=number"]
        cli("run", "direct", "--dataset", str(file), *more, "--set", "verify.rounds=0")
        run = str(latest()["run_id"])
        said = ["approve" if number % 2 else "overrule: off by one" for number in range(count)]
        answers = [f"--answer=t{number}:{KEY}={word}" for number, word in enumerate(said)]
        assert cli("runs", "resume", run, *answers).exit_code == 0
        return run

    def test_verdicts_and_agreement(self, server: FakeServer, tmp_path: Path) -> None:
        run = self.judged(tmp_path)
        found = json.loads(cli("runs", "verdicts", run, "--json").stdout)
        assert [item["right"] for item in found["verdicts"]] == [False, True, False, True]
        first = found["verdicts"][0]
        assert (first["label"], first["score"], first["counted"]) == ("accept", 1.0, "reject")
        assert (first["person"], first["person_reason"], first["verifier"]) == ("overrule", "off by one", VERIFIER)
        (agreement,) = found["agreement"]
        assert (agreement["judged"], agreement["accuracy"], agreement["kappa"]) == (4, 0.5, 0.0)
        assert "only 4 verdicts" in agreement["warning"]
        text = cli("runs", "verdicts", run).stdout
        assert "agrees with people on 50% of 4 judged verdicts, kappa 0.00" in text and "warning: only 4" in text
        assert "as often: nothing" in text and "overrule" in text

    def test_rows_for_scorers(self, server: FakeServer, tmp_path: Path) -> None:
        run = self.judged(tmp_path)
        done = cli("runs", "verdicts", run, "--jsonl")
        rows = [json.loads(line) for line in done.stdout.splitlines()]
        assert [(row["id"], row["question"], row["answer"], row["right"]) for row in rows[:2]] == [
            ("t0", "What is 7 + 0?", "11", False),
            ("t1", "What is 7 + 1?", "11", True),
        ]
        assert rows[0]["solution"].endswith("\\boxed{11}.") and rows[0]["answer_format"] == "number"
        file = tmp_path / "judged.jsonl"
        file.write_text(done.stdout, encoding="utf-8")
        tested = cli("scorers", "test", VERIFIER, "--attempts", str(file), "--json")
        assert tested.exit_code == 0, tested.output
        assert '"attempts":4' in tested.stdout.replace(" ", "")

    def test_runs_that_nobody_judged(self, server: FakeServer) -> None:
        cli(*arguments(ask="none"))
        run = latest()["run_id"]
        found = json.loads(cli("runs", "verdicts", run, "--json").stdout)
        assert found["agreement"] == [] and found["verdicts"][0]["person"] is None
        assert "no person judged" in cli("runs", "verdicts", run).stdout
        rows = cli("runs", "verdicts", run, "--jsonl")
        assert rows.stdout == "" and "--verify-ask all" in rows.stderr and rows.exit_code == 0
        cli("run", "direct", "What is 7 + 5?")
        assert "no verdicts" in cli("runs", "verdicts", latest()["run_id"]).stdout

    def test_wrong_usage(self, server: FakeServer) -> None:
        assert isinstance(cli("runs", "verdicts", "nowhere").exception, ConfigurationError)
        cli(*arguments(ask="none"))
        both = cli("runs", "verdicts", latest()["run_id"], "--json", "--jsonl")
        assert isinstance(both.exception, ConfigurationError)


class TestRecipes:
    @pytest.fixture
    def recipe(self, tmp_path: Path) -> str:
        file = tmp_path / "checked.toml"
        text = 'schema = "phronesis/recipe/1"\nname = "checked"\nstrategy = "direct"\n[verify]\n'
        file.write_text(f"{text}strategy = 'generative(votes=2)'\nrounds = 3\nask = 'unsure'\n", encoding="utf-8")
        return str(file)

    def test_show_cost_and_validate(self, recipe: str) -> None:
        shown = cli("recipes", "show", recipe).stdout
        assert "verified by generative(votes=2), accepted by its own rule, at most 3 further attempts" in shown
        assert "a person is asked about verdicts that are unknown or contradict themselves" in shown
        assert "rounds = 3" in shown and "R_max" in shown
        cost = json.loads(cli("recipes", "cost", recipe, "--json").stdout)
        assert cost["calls"] == {"formula": "s*A + a*V", "least": 1, "most": 20}
        assert set(cost["observables"]) == {"A", "V", "Y"}
        assert cli("recipes", "validate", recipe).exit_code == 0

    def test_validate_names_what_is_wrong(self, recipe: str) -> None:
        file = Path(recipe)
        good = file.read_text(encoding="utf-8")
        for bad, says in (
            ("rounds = -1", "verify.rounds"),
            ("strategy = 'generative(votez=2)'", "votez"),
            ("round = 3", "did you mean 'rounds'"),
        ):
            key = bad.partition(" ")[0]
            lines = [line for line in good.splitlines() if not line.startswith(f"{key} ") or key == "schema"]
            lines = [line for line in lines if key != "strategy" or "strategy" not in line] + [bad]
            if key == "strategy":
                lines.insert(2, 'strategy = "direct"')
            file.write_text("\n".join(lines), encoding="utf-8")
            found = cli("recipes", "validate", recipe)
            assert isinstance(found.exception, RecipeError) and says in str(found.exception), bad

    def test_a_dry_run_says_what_is_verified(self, recipe: str) -> None:
        done = cli("run", recipe, "x", "--dry-run")
        assert "verified by generative(votes=2)" in done.stdout and "= 1 to 20" in done.stdout
        plan = json.loads(cli("run", "direct", "x", "--verify", VERIFIER, "--dry-run", "--json").stdout)
        assert plan["strategy"] == "direct+generative" and plan["verify"]["strategy"] == VERIFIER


def test_what_a_scorer_found_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def judge(request: FakeRequest, index: int) -> str:
        if "by criteria" not in request.user:
            return f"The answer is \\boxed{{{12 + index}}}."
        code = re.search(r'"check": "(\w{4})"', request.text)
        names = re.findall(r'"(\w+)": {"reason"', request.text)
        said = {name: {"reason": "seen", "choice": "right"} for name in names}
        return json.dumps({"check": code[1] if code else "", **said})

    with FakeServer(judge) as running:
        monkeypatch.setenv("OPENAI_BASE_URL", running.url)
        ran = cli("run", "best_of_n", "What is 7 + 5?", "--set", "knobs.scorer=rubric", "--set", "knobs.n=2")
    assert ran.exit_code == 0 and "rubric of c0: accepted (1.00)" in ran.stderr
    shown = cli("runs", "show", latest()["run_id"]).stdout
    assert "rubric of c0: accepted (1.00)" in shown and "criteria [" not in shown


def test_an_attempt_that_needed_no_verdict_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    said = iter(["I cannot say.", *["The answer is \\boxed{11}."] * 3])

    def reply(request: FakeRequest, index: int) -> str:
        return "Verdict: perhaps" if "Proposed solution" in request.user else next(said)

    with FakeServer(reply) as running:
        monkeypatch.setenv("OPENAI_BASE_URL", running.url)
        ran = cli("run", "direct", "What is 7 + 5?", "--verify", 'generative(votes=1, framing="correct")')
    assert ran.exit_code == 0 and "attempt 1: The attempt gave no answer that could be read." in ran.stderr
    assert "attempt 4: It says the same as the attempt before." in ran.stderr
    shown = cli("runs", "show", latest()["run_id"]).stdout
    assert "rejected: The attempt gave no answer" in shown and "not verified: It says the same" in shown
    assert "stopped: repeated" in shown
