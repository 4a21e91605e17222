"""``phronesis tools``: list, show, call."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from phronesis.cli.tools import app
from phronesis.core.errors import ConfigurationError, ToolError

SERVER = Path(__file__).parent.parent / "tools" / "mcp_server.py"


def ran(*words: str, answer: str = "") -> Any:
    return CliRunner().invoke(app, list(words), input=answer, catch_exceptions=True)


def test_list_names_every_tool_with_its_options() -> None:
    rows = {row["name"]: row for row in json.loads(ran("list", "--json").stdout)}
    assert {"calculator", "python", "sql", "search", "recall", "mcp"} <= set(rows)
    assert rows["python"]["options"]["seconds"] == 5.0 and rows["sql"]["options"]["file"] == "needed"
    assert "calculator" in ran("list").stdout


def test_show_prints_what_a_model_is_told() -> None:
    (spec,) = json.loads(ran("show", "calculator", "--json").stdout)
    assert spec["pure"] and spec["parameters"]["required"] == ["expression"]
    shown = ran("show", "python(seconds=3)").stdout
    assert "At most 3 s" in shown and "here: " in shown


def test_call_prints_the_result() -> None:
    assert ran("call", "calculator", '{"expression": "15% of 80"}').stdout == "12\n"
    assert json.loads(ran("call", "calculator", '{"expression": "1"}', "--json").stdout)["text"] == "1"


@pytest.mark.parametrize(
    ("words", "kind", "says"),
    [
        (("calculater",), ConfigurationError, "unknown tool"), (("calculator", "[1]"), ConfigurationError, "no JSON object"),
        (("calculator", "x"), ConfigurationError, "no JSON"), (("calculator", "{}"), ToolError, "is missing"),
        (("search",), ConfigurationError, "needs documents"),
        (("calculator", "{}", "--name", "x"), ConfigurationError, "'x'"),
    ],
)  # fmt: skip
def test_wrong_calls_say_what_is_wrong(words: tuple[str, ...], kind: type[Exception], says: str) -> None:
    found = ran("call", *words)
    assert isinstance(found.exception, kind) and says in str(found.exception)


def test_a_dangerous_one_is_asked_for() -> None:
    tool = f'mcp(command="{sys.executable}", args=["{SERVER}", "none"], only=["echo"])'
    assert ran("call", tool, '{"text": "a"}', answer="n\n").exit_code == 1
    unanswered = ran("call", tool, '{"text": "a"}').exception
    assert isinstance(unanswered, ConfigurationError) and unanswered.mend == "confirm it with --yes"
    assert ran("call", tool, '{"text": "a"}', answer="y\n").stdout.endswith("a\n")
    assert ran("call", tool, '{"text": "b"}', "--yes").stdout == "b\n"


def test_of_several_one_is_chosen() -> None:
    tool = f'mcp(command="{sys.executable}", args=["{SERVER}", "none"], only=["echo", "count"])'
    assert isinstance(ran("call", tool, "--yes").exception, ConfigurationError)
    assert ran("call", tool, "{}", "--yes", "--name", "count").stdout == "1\n"
