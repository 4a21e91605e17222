"""Tools from functions: schemas, arguments, results, and the table they are found in."""

from __future__ import annotations

import asyncio
import functools
import threading
from collections.abc import Mapping
from datetime import date
from typing import Annotated, Any, Literal

import pytest
from pydantic import BaseModel, Field

from phronesis import tool
from phronesis.core.errors import ConfigurationError, ToolError
from phronesis.core.settings import Settings
from phronesis.core.tool import Tool, ToolEntry, ToolOutput, ToolSurroundings
from phronesis.tools import table
from phronesis.tools.function_tool import FunctionTool
from phronesis.tools.shown import MOST_TEXT
from phronesis.tools.table import check_tools, find_tool, open_tools, tool_names


class Place(BaseModel):
    """Somewhere."""

    city: str
    zip_code: int | None = None


@tool(pure=True)
def repeat(text: str, times: Annotated[int, Field(ge=1, le=9, description="How often.")] = 2) -> str:
    """Repeats a text."""
    return text * times


@tool
async def look_up(
    places: list[Place], day: date, kind: Literal["long", "short"] = "short", schema: str = "", _x: bool = False
) -> dict[str, Any]:
    """Looks places up."""
    return {"places": places, "day": day, "kind": kind, "schema": schema, "x": _x}


def called(found: Tool, **arguments: Any) -> ToolOutput:
    return asyncio.run(found.call(arguments))


class TestSchema:
    def test_it_is_read_from_the_signature(self) -> None:
        assert repeat.spec.parameters == {
            "type": "object",
            "additionalProperties": False,
            "properties": {
                "text": {"type": "string"},
                "times": {"type": "integer", "minimum": 1, "maximum": 9, "description": "How often.", "default": 2},
            },
            "required": ["text"],
        }
        assert (repeat.spec.name, repeat.spec.description, repeat.spec.pure) == ("repeat", "Repeats a text.", True)

    def test_any_name_and_nested_models(self) -> None:
        properties = look_up.spec.parameters["properties"]
        assert list(properties) == ["places", "day", "kind", "schema", "_x"]
        assert properties["kind"]["enum"] == ["long", "short"]
        assert "Place" in look_up.spec.parameters["$defs"]

    def test_without_parameters(self) -> None:
        @tool
        def now() -> str:
            """Tells the time."""
            return "noon"

        assert now.spec.parameters["properties"] == {}
        assert called(now).text == "noon"

    def test_a_function_stays_callable(self) -> None:
        assert repeat("a", times=3) == "aaa"

    @pytest.mark.parametrize(
        ("function", "options", "says"),
        [
            (lambda x: x, {}, "no docstring"),
            ("untyped", {}, "'x' of the tool 'untyped' has no type"),
            ("variadic", {}, "cannot be given by name"),
            ("strange", {}, "JSON cannot say"),
            ("unknown_type", {}, "cannot be read"),
            ("fine", {"units": "queries"}, "none of its parameters"),
            ("fine", {"name": "9 lives"}, "name = '9 lives'"),
            ("fine", {"timeout": 0}, "timeout = 0"),
            (functools.partial(print), {"name": "p"}, "no docstring"),
        ],
    )
    def test_a_function_that_does_not_fit_is_refused(
        self, function: Any, options: Mapping[str, Any], says: str
    ) -> None:
        def untyped(x) -> str:  # type: ignore[no-untyped-def]  # the point
            """Doc."""
            return str(x)

        def variadic(*x: int) -> str:
            """Doc."""
            return str(x)

        def strange(x: threading.Lock) -> str:
            """Doc."""
            return str(x)

        def unknown_type(x: Missing) -> str:  # type: ignore[name-defined]  # noqa: F821  # the point
            """Doc."""
            return str(x)

        def fine(x: int) -> str:
            """Doc."""
            return str(x)

        chosen = locals()[function] if isinstance(function, str) else function
        with pytest.raises(ConfigurationError, match=says):
            tool(**options)(chosen)


class TestArguments:
    def test_they_are_coerced(self) -> None:
        assert called(repeat, text="ab", times="3").text == "ababab"
        found = called(look_up, places=[{"city": "Bonn"}], day="2026-11-23", _x=1)
        assert found.data == {
            "places": [{"city": "Bonn", "zip_code": None}], "day": "2026-11-23", "kind": "short", "schema": "", "x": True,
        }  # fmt: skip
        assert found.text.startswith('{"places":[{"city":"Bonn"')

    @pytest.mark.parametrize(
        ("arguments", "says", "mend"),
        [
            ({}, "the argument 'text' is missing", "give text"),
            ({"texts": "a"}, "no argument 'texts'", "did you mean 'text'?"),
            ({"text": "a", "times": "often"}, "times = 'often' does not fit", "correct times"),
            ({"text": "a", "times": 99}, "times = 99 does not fit", "correct times"),
            ({"text": ["x" * 500]}, "does not fit", "correct text"),
        ],
    )
    def test_a_wrong_one_is_named_with_its_value(self, arguments: dict[str, Any], says: str, mend: str) -> None:
        with pytest.raises(ToolError) as caught:
            asyncio.run(repeat.call(arguments))
        assert says in caught.value.message and caught.value.mend == mend
        assert len(caught.value.message) < 250

    def test_the_place_inside_a_nested_value_is_named(self) -> None:
        with pytest.raises(ToolError, match=r"places\.0\.city"):
            called(look_up, places=[{}], day="2026-11-23")


class TestResults:
    @pytest.mark.parametrize(
        ("value", "text", "data"),
        [
            ("plain", "plain", None), (5, "5", 5), (None, "done; nothing was returned", None), ([], "[]", []),
            (float("nan"), '"NaN"', "NaN"), ({"a": (1, 2)}, '{"a":[1,2]}', {"a": [1, 2]}), ("\ud800", "?", None),
            (ToolOutput(text="t", data=1), "t", 1),
        ],
    )  # fmt: skip
    def test_texts_values_and_outputs(self, value: Any, text: str, data: Any) -> None:
        @tool
        def give() -> Any:
            """Gives."""
            return value

        found = called(give)
        assert (found.text, found.data) == (text, data)

    def test_a_flood_is_bounded(self) -> None:
        @tool
        def flood(listed: bool) -> Any:
            """Floods."""
            return ["x" * 2 * MOST_TEXT] if listed else "x" * 2 * MOST_TEXT

        assert f"[{MOST_TEXT} more characters were thrown away]" in called(flood, listed=False).text
        found = called(flood, listed=True)
        assert len(found.text) < MOST_TEXT + 100 and found.data is None

    def test_what_json_cannot_say_is_a_defect_of_the_tool(self) -> None:
        @tool
        def give() -> Any:
            """Gives."""
            return threading.Lock()

        with pytest.raises(TypeError, match="'give' returned a lock"):
            called(give)


class TestRunning:
    def test_a_plain_function_does_not_hold_the_loop(self) -> None:
        begun, free = threading.Event(), threading.Event()

        @tool
        def wait() -> str:
            """Waits."""
            begun.set()
            free.wait(20)
            return threading.current_thread().name

        async def both() -> str:
            work = asyncio.create_task(wait.call({}))
            while not begun.is_set():
                await asyncio.sleep(0.001)
            free.set()
            return (await work).text

        assert asyncio.run(both()) == "phronesis-tool"

    def test_a_function_that_hangs_is_left_behind_and_does_not_hold_the_end(self) -> None:
        free = threading.Event()

        @tool
        def hang() -> str:
            """Hangs."""
            free.wait(60)
            return "late"

        async def cut() -> None:
            async with asyncio.timeout(0.05):
                await hang.call({})

        with pytest.raises(TimeoutError):
            asyncio.run(cut())
        free.set()

    def test_a_cancelled_async_function_is_cancelled(self) -> None:
        ended: list[str] = []

        @tool
        async def hang() -> str:
            """Hangs."""
            try:
                await asyncio.sleep(60)
            finally:
                ended.append("cleaned up")
            return "late"

        async def cut() -> None:
            async with asyncio.timeout(0.02):
                await hang.call({})

        with pytest.raises(TimeoutError):
            asyncio.run(cut())
        assert ended == ["cleaned up"]

    @pytest.mark.parametrize("error", [ToolError("no such town"), KeyError("bug"), StopIteration("odd")])
    def test_errors_come_through(self, error: Exception) -> None:
        @tool
        def fail() -> str:
            """Fails."""
            raise error

        kind = RuntimeError if isinstance(error, StopIteration) else type(error)
        with pytest.raises(kind):
            called(fail)


class _Offered:
    """What `importlib.metadata.entry_points` gives."""

    def __init__(self, name: str, value: str) -> None:
        self.name, self.value = name, value


TOY = repeat
NO_TOOL = repeat.__wrapped__  # type: ignore[attr-defined]  # set by functools
CLOSED: list[str] = []


class _Closing(FunctionTool):
    async def close(self) -> None:
        CLOSED.append(self.spec.name)


async def _two(options: table.ToolOptions, around: ToolSurroundings) -> list[Tool]:
    """Two tools; the second's name is taken."""
    first = _Closing(repeat, repeat.spec.model_copy(update={"name": "first"}), repeat._arguments)
    return [first, repeat]


FAMILY = ToolEntry("family", "two tools", table.ToolOptions, _two)


@pytest.fixture
def offered(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three entry points of this module, as a package would have them."""
    points = [_Offered(name, f"{__name__}:{target}") for name, target in
              (("toy", "TOY"), ("untool", "NO_TOOL"), ("family", "FAMILY"))]  # fmt: skip
    for module in ("phronesis.core.plugins.entry_points",):
        monkeypatch.setattr(module, lambda group: points if group == "phronesis.tools" else [])


class TestTable:
    def test_shipped_ones_are_found_and_have_a_line_each(self) -> None:
        assert tool_names()[:2] == ["calculator", "python"]
        for name in table.SHIPPED:
            entry = find_tool(name)
            assert entry.name == name and entry.summary and "\n" not in entry.summary

    @pytest.mark.parametrize(
        ("text", "says"),
        [
            ("calculater", "did you mean 'calculator'"), ("python(second=5)", "did you mean 'seconds'"),
            ("python(seconds=-1)", "seconds = -1"), ("sql", "needs the option 'file'"), ("calculator(a=1)", "no option 'a'"),
            ("5 + 5", "is no tool"),
        ],
    )  # fmt: skip
    def test_wrong_names_and_options_are_refused_before_anything_is_opened(self, text: str, says: str) -> None:
        with pytest.raises(ConfigurationError, match=says):
            check_tools(["calculator", text])

    def test_a_packages_tool_needs_no_entry(self, offered: None, settings: Settings) -> None:
        tools = asyncio.run(open_tools(["toy", "calculator"], ToolSurroundings(settings=settings)))
        assert list(tools) == ["repeat", "calculator"]
        assert find_tool("toy").summary == "Repeats a text."

    def test_what_is_no_tool_is_refused(self, offered: None) -> None:
        with pytest.raises(ConfigurationError, match="neither a tool nor an entry"):
            find_tool("untool")

    def test_two_tools_of_one_name_are_refused_and_closed(self, offered: None, settings: Settings) -> None:
        CLOSED.clear()
        with pytest.raises(ConfigurationError, match="one of 'toy' and one of 'family'"):
            asyncio.run(open_tools(["toy", "family"], ToolSurroundings(settings=settings)))
        assert CLOSED == ["first"]
