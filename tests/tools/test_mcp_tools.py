"""Tools of MCP servers: what is told of them, what they bring, and servers that die, hang, flood or lie."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from phronesis.core.errors import ConfigurationError, PhronesisError, SetupError, ToolError
from phronesis.core.settings import Settings
from phronesis.core.tool import Tool, ToolSurroundings
from phronesis.tools.table import check_tools, open_tools

SERVER = Path(__file__).parent / "mcp_server.py"


@pytest.fixture
def note(tmp_path: Path) -> Path:
    """Where the server notes its process ids."""
    return tmp_path / "pids"


@pytest.fixture
def with_server(settings: Settings, note: Path) -> Callable[..., Any]:
    """Runs work on the tools of a server, and sees to it that no server is left."""

    def run(work: Callable[[Mapping[str, Tool]], Awaitable[Any]], fault: str = "none", options: str = "") -> Any:
        async def whole() -> Any:
            text = f'mcp(command="{sys.executable}", args=["{SERVER}", "{fault}", "{note}"]{options})'
            tools = await open_tools([text], ToolSurroundings(settings=settings))
            try:
                return await work(tools)
            finally:
                for tool in tools.values():
                    await tool.close()

        try:
            return asyncio.run(whole())
        finally:
            assert gone(note), "a server was left behind"

    return run


def gone(note: Path) -> bool:
    """Whether every server that noted itself has ended."""
    pids = note.read_text().split() if note.exists() else []
    deadline = time.monotonic() + 10
    while any(Path(f"/proc/{pid}").exists() for pid in pids) and time.monotonic() < deadline:
        time.sleep(0.01)
    return not any(Path(f"/proc/{pid}").exists() for pid in pids)


def calling(*calls: tuple[str, dict[str, Any]]) -> Callable[[Mapping[str, Tool]], Awaitable[list[Any]]]:
    """Work that makes calls one after another; errors are kept."""

    async def work(tools: Mapping[str, Tool]) -> list[Any]:
        found: list[Any] = []
        for name, arguments in calls:
            try:
                found.append((await tools[name].call(arguments)).text)
            except PhronesisError as error:
                found.append(error)
        return found

    return work


async def specs(tools: Mapping[str, Tool]) -> dict[str, Any]:
    return {name: tool.spec for name, tool in tools.items()}


class TestListing:
    def test_tools_come_with_schema_and_a_labelled_description(self, with_server: Any) -> None:
        found = with_server(specs, options=', only=["echo", "files.read"], prefix="toy_"')
        assert list(found) == ["toy_echo", "toy_files_read"]
        echo, read = found.values()
        assert echo.description.startswith("[described by the MCP server ") and echo.description.endswith("[cut off]")
        assert echo.parameters["properties"] == {"text": {"type": "string"}}
        assert "It says that it only reads." in read.description

    def test_hints_of_the_server_lower_nothing(self, with_server: Any) -> None:
        spec = with_server(specs, options=', only=["files.read"], stateful=true, timeout=7')["files_read"]
        assert (spec.pure, spec.dangerous, spec.stateful, spec.timeout) == (False, True, True, 7)
        assert not with_server(specs, options=', only=["files.read"], dangerous=false')["files_read"].dangerous

    @pytest.mark.parametrize(
        ("fault", "says"), [("list", "tools"), ("type", "'string'"), ("keyword", "strange"), ("huge", "20000 bytes")]
    )
    def test_a_broken_schema_is_named(self, with_server: Any, fault: str, says: str) -> None:
        with pytest.raises(ToolError, match=says):
            with_server(specs, fault)

    def test_a_broken_tool_can_be_left_out(self, with_server: Any) -> None:
        assert list(with_server(specs, "keyword", ', only=["echo"]')) == ["echo"]

    def test_a_list_without_end_is_ended(self, with_server: Any) -> None:
        with pytest.raises(ToolError, match="more than 200 tools"):
            with_server(specs, "endless")

    def test_an_unknown_tool_is_named_with_those_there_are(self, with_server: Any) -> None:
        with pytest.raises(ConfigurationError, match="no tool 'ecko'") as caught:
            with_server(specs, options=', only=["ecko"]')
        assert "echo" in str(caught.value.mend)

    def test_two_servers_with_one_name_need_a_prefix(self, settings: Settings, note: Path) -> None:
        text = f'mcp(command="{sys.executable}", args=["{SERVER}", "none", "{note}"], only=["echo"])'
        with pytest.raises(ConfigurationError, match="two tools are called 'echo'"):
            asyncio.run(open_tools([text, text.replace(")", ", timeout=9)")], ToolSurroundings(settings=settings)))
        assert gone(note)


class TestCalls:
    def test_results(self, with_server: Any) -> None:
        calls = calling(
            ("echo", {"text": "hä"}), ("image", {}), ("data", {}), ("fail", {}), ("refuse", {}), ("wrong", {})
        )
        echo, image, data, fail, refuse, wrong = with_server(calls)
        assert (echo, image, data) == ("hä", "[image image/png, 4 characters, left out]", '{"a":1}')
        assert fail.message == "it went wrong" and "not like this" in refuse.message
        assert isinstance(wrong, ToolError) and "rubbish" in wrong.message

    def test_one_session_serves_all_calls(self, with_server: Any, note: Path) -> None:
        assert with_server(calling(("count", {}), ("count", {}))) == ["1", "2"]
        assert len(note.read_text().split()) == 1

    def test_calls_side_by_side(self, with_server: Any) -> None:
        async def work(tools: Mapping[str, Tool]) -> list[str]:
            found = await asyncio.gather(*(tools["echo"].call({"text": str(i)}) for i in range(20)))
            return [item.text for item in found]

        assert with_server(work) == [str(i) for i in range(20)]

    def test_lines_that_are_no_messages_are_passed_over(self, with_server: Any) -> None:
        assert with_server(calling(("echo", {"text": "5"})), "chatty") == ["5"]


class TestDeaths:
    @pytest.mark.parametrize(
        ("name", "says"),
        [
            ("die", "it ended; its last words: the last words"),
            ("flood", "more than 16 MiB"),
            ("rubbish", "no messages"),
        ],
    )
    def test_a_server_that_dies_in_a_call_is_an_error_and_comes_back(
        self, with_server: Any, note: Path, name: str, says: str
    ) -> None:
        first, died, after = with_server(calling(("echo", {"text": "a"}), (name, {}), ("echo", {"text": "b"})))
        assert (first, after) == ("a", "b")
        assert isinstance(died, ToolError) and says in died.message and f"the call of {name!r}" in died.message
        assert len(note.read_text().split()) == 2

    def test_one_that_remembers_does_not_come_back(self, with_server: Any, note: Path) -> None:
        calls = calling(("count", {}), ("die", {}), ("count", {}))
        _, _, after = with_server(calls, options=", stateful=true")
        assert isinstance(after, ToolError) and "what it remembered with it" in after.message
        assert len(note.read_text().split()) == 1

    def test_one_that_hangs_is_cut_and_replaced(self, with_server: Any, note: Path) -> None:
        async def work(tools: Mapping[str, Tool]) -> str:
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.3):
                    await tools["hang"].call({})
            return (await tools["echo"].call({"text": "back"})).text

        assert with_server(work) == "back"
        assert len(note.read_text().split()) == 2

    def test_one_that_never_answers_is_named(self, with_server: Any) -> None:
        with pytest.raises(SetupError, match=r"did not answer within 0\.5 s"):
            with_server(specs, "silent", ", timeout=0.5")

    def test_one_that_does_not_leave_is_killed(self, with_server: Any) -> None:
        assert with_server(calling(("echo", {"text": "a"})), "stays") == ["a"]

    @pytest.mark.parametrize(
        ("text", "says"),
        [
            ('mcp(command="no-such-program")', "no-such-program cannot be used"),
            ('mcp(command="true")', "true cannot be used"),
            ('mcp(url="http://127.0.0.1:9/mcp", timeout=20)', "127.0.0.1 cannot be used"),
        ],
    )
    def test_one_that_cannot_be_reached(self, settings: Settings, text: str, says: str) -> None:
        with pytest.raises(SetupError, match=says):
            asyncio.run(open_tools([text], ToolSurroundings(settings=settings)))


class TestSecrets:
    def test_they_reach_the_server_and_nobody_else(self, with_server: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("MY_TOKEN", "s3cr3t-value")
        monkeypatch.setenv("OPENAI_API_KEY", "another")
        options = ', env={API_TOKEN = "$MY_TOKEN"}'
        told, died = with_server(calling(("secret", {}), ("die", {})), options=options)
        assert told == "token ***, key None"
        assert "s3cr3t" not in str(died) and "last words ***" in died.message

    @pytest.mark.parametrize(
        "options",
        [
            'command="true", env={API_TOKEN="s3cr3t"}', 'url="http://127.0.0.1:9", headers={Authorization="Bearer s3cr3t"}',
            'command="true", env="TOKEN=s3cr3t"', 'command="true", env=["s3cr3t"]', 'url="http://user:s3cr3t@127.0.0.1:9"',
        ],
    )  # fmt: skip
    def test_one_written_out_is_refused_without_repeating_it(self, settings: Settings, options: str) -> None:
        with pytest.raises(ConfigurationError) as caught:
            asyncio.run(open_tools([f"mcp({options})"], ToolSurroundings(settings=settings)))
        assert "s3cr3t" not in str(caught.value)

    def test_a_variable_that_is_not_set_is_named(self, settings: Settings) -> None:
        with pytest.raises(SetupError, match="NO_SUCH_VARIABLE is not set"):
            text = 'mcp(command="true", env={A="$NO_SUCH_VARIABLE"})'
            asyncio.run(open_tools([text], ToolSurroundings(settings=settings)))


@pytest.mark.parametrize("text", ['mcp(command="a", url="http://b")', "mcp", 'mcp(url="ftp://x")'])
def test_one_of_command_and_url(settings: Settings, text: str) -> None:
    with pytest.raises(ConfigurationError):
        asyncio.run(open_tools([text], ToolSurroundings(settings=settings)))


def test_commas_and_brackets_inside_texts_are_read() -> None:
    check_tools(['mcp(command="a,b", args=["x]y,z", "{"], env={A = "1,}2"}, only=["q"])'])
