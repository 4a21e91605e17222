"""Questions to a person on the command line: shown, answered by option or on a terminal, and safe from kills."""

from __future__ import annotations

import json
import os
import re
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from screens import Screen
from typer.testing import CliRunner, Result

from phronesis.cli.main import app
from phronesis.core.errors import ConfigurationError
from phronesis.testing import FakeRequest, FakeServer

TOOLS = '''
from pathlib import Path
import os
from phronesis.tools.function_tool import tool

@tool(dangerous=True)
async def send(text: str) -> str:
    """Sends a text to everybody."""
    with Path(os.environ["SENT"]).open("a", encoding="utf-8") as file:
        file.write(text + "\\n")
    return f"sent {text!r}"
'''
KEY = "s1#agent.0.c0?"


def turn(**said: Any) -> str:
    return json.dumps({"thought": "Let me see.", **said})


def agent(request: FakeRequest, index: int) -> str:
    """Sends what the question quotes, then answers 1 when it was sent and 2 when it was not."""
    if "did not allow" in request.text:
        return turn(answer="2")
    if "sent '" in request.text:
        return turn(answer="1")
    if "<<" not in request.text:
        return turn(answer="5")
    return turn(tool="send", arguments={"text": request.text.split("<<")[-1].split(">>")[0]})


@pytest.fixture
def sent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file that the tool writes to; other processes find the tool too."""
    site = tmp_path / "site"
    info = site / "sending-1.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: sending\nVersion: 1\n", encoding="utf-8")
    (info / "entry_points.txt").write_text("[phronesis.tools]\nsend = sending:send\n", encoding="utf-8")
    (site / "sending.py").write_text(TOOLS, encoding="utf-8")
    monkeypatch.syspath_prepend(str(site))
    monkeypatch.setenv("PYTHONPATH", str(site))
    monkeypatch.setenv("SENT", str(tmp_path / "sent.txt"))
    return tmp_path / "sent.txt"


@pytest.fixture
def server(sent: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeServer]:
    with FakeServer(agent) as running:
        monkeypatch.setenv("OPENAI_BASE_URL", running.url)
        yield running


def cli(*arguments: str) -> Result:
    return CliRunner().invoke(app, list(arguments))


def asked(question: str = "Send <<hello>>", *more: str) -> Result:
    return cli("run", "react", question, "--set", 'tools.use=["send"]', *more)


def listed() -> dict[str, Any]:
    found = json.loads(cli("runs", "list", "--json").stdout)[0]
    assert isinstance(found, dict)
    return found


def command_in(text: str) -> list[str]:
    """The command that a text offers, as a shell would read it."""
    import shlex

    line = next(line for line in text.splitlines() if "--answer" in line)
    return shlex.split(line.split("phronesis ", 1)[1])


def texts(sent: Path) -> list[str]:
    return sent.read_text(encoding="utf-8").splitlines() if sent.is_file() else []


class TestByOption:
    def test_the_open_question_is_shown_in_full_with_the_command_that_answers_it(
        self, server: FakeServer, sent: Path
    ) -> None:
        done = asked("Send <<it is\nover \x1b[2J>>")
        assert done.exit_code == 1 and texts(sent) == []
        assert "waits for a person: 1 question open" in done.stderr and "| over" in done.stderr
        assert "\x1b" not in done.stderr
        assert listed()["status"] == "interrupted" and listed()["questions"] == 1
        assert "waiting: 1 question" in cli("runs", "list").stdout
        shown = cli("runs", "show", listed()["run_id"]).stdout
        assert command_in(shown) == command_in(done.stderr)
        gone_on = cli(*command_in(done.stderr))
        assert gone_on.exit_code == 0 and "answer  1" in gone_on.stdout and len(texts(sent)) == 2
        assert server.calls == 2

    def test_show_tells_open_questions_as_json(self, server: FakeServer) -> None:
        asked()
        (question,) = json.loads(cli("runs", "show", listed()["run_id"], "--json").stdout)["open_questions"]
        assert question["request"] == {"tool": "send", "arguments": {"text": "hello"}}
        assert question["choices"] == ["approve", "reject", "edit"] and question["key"] == KEY

    def test_json_stays_json_and_the_question_goes_to_standard_error(self, server: FakeServer, tmp_path: Path) -> None:
        file = tmp_path / "q.jsonl"
        file.write_text('{"id": "a", "question": "Send <<x>>"}\n{"id": "b", "question": "Plain"}\n', encoding="utf-8")
        done = cli("run", "react", "--dataset", str(file), "--set", 'tools.use=["send"]', "--json")
        assert done.exit_code == 1 and f"a:{KEY}=approve" in done.stderr
        (line,) = [json.loads(line) for line in done.stdout.splitlines()]
        assert (line["task_id"], line["answer"]) == ("b", "5")

    def test_a_data_set_goes_on_and_its_file_gets_the_rest_by_a_resume(
        self, server: FakeServer, sent: Path, tmp_path: Path
    ) -> None:
        file, out = tmp_path / "q.jsonl", tmp_path / "r.jsonl"
        rows = [
            {"id": "a", "question": "Send <<x>>"},
            {"id": "b", "question": "Plain"},
            {"id": "c", "question": "<<y>>"},
        ]
        file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
        done = cli("run", "react", "--dataset", str(file), "--out", str(out), "--set", 'tools.use=["send"]')
        assert done.exit_code == 1 and "2 questions open" in done.stderr
        assert [json.loads(line)["task_id"] for line in out.read_text(encoding="utf-8").splitlines()] == ["b"]
        answers = [f"--answer=a:{KEY}=reject: no", f"--answer=c:{KEY}=approve"]
        assert cli("runs", "resume", listed()["run_id"], *answers).exit_code == 0
        found = {
            item["task_id"]: item["answer"] for item in map(json.loads, out.read_text(encoding="utf-8").splitlines())
        }
        assert found == {"b": "5", "a": "2", "c": "1"} and texts(sent) == ["y"] and server.calls == 5

    def test_a_wrong_answer_names_the_open_ones(self, server: FakeServer) -> None:
        asked()
        run = listed()["run_id"]
        journal = Path(os.environ["PHRONESIS_HOME"]) / "runs" / run / "journal.jsonl"
        before = journal.read_bytes()
        done = cli("runs", "resume", run, "--answer", "no=approve")
        assert isinstance(done.exception, ConfigurationError) and KEY in str(done.exception)
        assert journal.read_bytes() == before

    def test_none_asks_nobody_and_says_so_loudly(self, server: FakeServer, sent: Path) -> None:
        done = asked("Send <<hello>>", "--approve", "none")
        assert done.exit_code == 0 and texts(sent) == ["hello"]
        assert "WARNING: nobody is asked before dangerous tools are called" in done.stderr
        assert done.stderr.count("WARNING") == 1

    def test_shorthands_are_the_recipes_keys(self, server: FakeServer) -> None:
        done = cli("run", "react", "Plain", "--tool", "send", "--tool", "sql(file=nowhere.db)", "--dry-run")
        assert done.exit_code == 0, done.output
        wrong = cli("run", "react", "Plain", "--approve", "sometimes")
        assert isinstance(wrong.exception, ConfigurationError) and "tools.approve" in str(wrong.exception)

    def test_a_run_that_is_shown_tells_what_was_asked_and_called(self, server: FakeServer) -> None:
        asked()
        run = listed()["run_id"]
        task = json.loads(cli("runs", "show", run, "--json").stdout)["unfinished"][0]["task_id"]
        cli("runs", "resume", run, "--answer", f'{task}:{KEY}=edit: {{"text": "bye"}}')
        shown = cli("runs", "show", run, "--task", task).stdout
        assert re.search(r'send \{"text":"hello"\}  edited to \{"text":"bye"\}', shown)
        assert re.search(r'send \{"text":"bye"\}  ok · 1 unit\n.*sent \'bye\'', shown)


class TestOnATerminal:
    @pytest.mark.parametrize(
        ("typed", "answer", "done"),
        [
            (["what", "a"], "1", ["hello"]),
            (["r", "not today"], "2", []),
            (["e", "{oops", "e", '{"text": "bye"}'], "1", ["bye"]),
        ],
    )
    def test_a_person_is_asked(
        self, server: FakeServer, sent: Path, typed: list[str], answer: str, done: list[str]
    ) -> None:
        screen = Screen("run", "react", "Send <<hello>>", "--set", 'tools.use=["send"]')
        for line in typed:
            screen.wait_for(rb"\? $|JSON: $|nothing\) $")
            screen.say(line)
        assert screen.end() == 0
        assert f"answer  {answer}".encode() in screen.seen and texts(sent) == done

    def test_the_end_of_the_input_leaves_the_question_open(self, server: FakeServer, sent: Path) -> None:
        screen = Screen("run", "react", "Send <<hello>>", "--set", 'tools.use=["send"]')
        screen.wait_for(rb"\? $")
        os.write(screen.handle, b"\x04")
        assert screen.end() == 1 and b"--answer" in screen.seen and texts(sent) == []

    def test_a_kill_at_the_question_costs_nothing(self, server: FakeServer, sent: Path) -> None:
        screen = Screen("run", "react", "Send <<hello>>", "--set", 'tools.use=["send"]')
        screen.wait_for(rb"\? $")
        screen.process.send_signal(signal.SIGKILL)
        assert screen.end() == -signal.SIGKILL
        run = listed()
        assert (run["status"], run["questions"], server.calls) == ("interrupted", 1, 1)
        shown = cli("runs", "show", run["run_id"]).stdout
        gone_on = cli(*command_in(shown))
        assert gone_on.exit_code == 0 and (texts(sent), server.calls) == (["hello"], 2)
