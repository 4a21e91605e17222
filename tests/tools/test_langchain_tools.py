"""LangChain's tools as ours: async and sync ones, artifacts, errors."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest
from langchain_core.tools import BaseTool, StructuredTool, ToolException
from langchain_core.tools import tool as langchain

from phronesis.core.errors import ConfigurationError, ToolError
from phronesis.tools.langchain_tool import langchain_tool


@langchain
def add(a: int, b: int = 1) -> int:
    """Adds two numbers."""
    return a + b


@langchain
async def slow(text: str) -> str:
    """Takes its time."""
    await asyncio.sleep(60)
    return text


@langchain(response_format="content_and_artifact")
def both(text: str) -> tuple[str, Any]:
    """Content and artifact."""
    return text, {"length": len(text)}


@langchain
def thread() -> str:
    """Names its thread."""
    return threading.current_thread().name


@langchain
def fail(kind: str) -> str:
    """Fails."""
    raise {"tool": ToolException("no such town"), "bug": KeyError("bug")}[kind]


class Shouting(BaseTool):
    """A tool of the older kind."""

    name: str = "shout"
    description: str = "Shouts."

    def _run(self, text: str) -> str:
        return text.upper()


def called(tool: Any, **arguments: Any) -> Any:
    return asyncio.run(langchain_tool(tool).call(arguments))


def test_the_spec_is_the_tools_own() -> None:
    spec = langchain_tool(add).spec
    assert (spec.name, spec.description) == ("add", "Adds two numbers.")
    assert set(spec.parameters["properties"]) == {"a", "b"} and spec.parameters["required"] == ["a"]
    assert (spec.pure, spec.dangerous, spec.stateful) == (False, True, False)
    assert langchain_tool(add, pure=True, dangerous=False, timeout=3).spec.timeout == 3


def test_results() -> None:
    assert called(add, a=2, b="3").text == "5"
    assert called(Shouting(), text="a").text == "A"
    found = called(both, text="abc")
    assert (found.text, found.data) == ("abc", {"length": 3})


def test_a_sync_tool_runs_in_a_thread_that_holds_nothing() -> None:
    assert called(thread).text == "phronesis-tool"


def test_an_async_tool_is_cancelled() -> None:
    async def cut() -> None:
        async with asyncio.timeout(0.02):
            await langchain_tool(slow).call({"text": "a"})

    with pytest.raises(TimeoutError):
        asyncio.run(cut())


def test_errors() -> None:
    with pytest.raises(ToolError, match="a = 'x' does not fit"):
        called(add, a="x")
    with pytest.raises(ToolError, match="no such town"):
        called(fail, kind="tool")
    with pytest.raises(KeyError):
        called(fail, kind="bug")
    handled = StructuredTool.from_function(fail.func, name="fail", description="Fails.", handle_tool_error="it is so")
    with pytest.raises(ToolError, match="it is so"):
        called(handled, kind="tool")


def test_a_name_that_does_not_fit_can_be_given_another() -> None:
    odd = StructuredTool.from_function(add.func, name="add two numbers", description="Adds.")
    with pytest.raises(ConfigurationError, match="add two numbers"):
        langchain_tool(odd)
    assert langchain_tool(odd, name="add_two").spec.name == "add_two"
