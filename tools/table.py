"""Tools by the names that recipes and commands use: the shipped ones here, others through ``phronesis.tools``."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AsyncExitStack
from typing import Any

from phronesis.core.errors import ConfigurationError
from phronesis.core.named import NamedSpec
from phronesis.core.plugins import installed, load_named
from phronesis.core.tool import Tool, ToolEntry, ToolSpec, ToolSurroundings
from phronesis.tools.options import ToolOptions

GROUP = "phronesis.tools"
SHIPPED = {
    "calculator": "phronesis.tools.calculator:ENTRY",
    "python": "phronesis.tools.python_tool:ENTRY",
    "sql": "phronesis.tools.sql:ENTRY",
    "search": "phronesis.tools.search_tool:ENTRY",
    "recall": "phronesis.tools.recall_tool:ENTRY",
    "mcp": "phronesis.tools.mcp_tool:ENTRY",
}


def tool_names() -> list[str]:
    """Every name that can be written under ``use``: the shipped ones in the table's order, then those of packages."""
    return [*SHIPPED, *sorted(installed(GROUP) - set(SHIPPED))]


def find_tool(name: str) -> ToolEntry:
    """The entry of that name, imported when asked for; a package's bare Tool becomes an entry without options.

    A shipped name wins over an entry point that claims it. Raises ConfigurationError with the nearest known name."""
    found: object = load_named(
        name, object, what="tool", shipped=SHIPPED, group=GROUP, known=tool_names(), error=ConfigurationError
    )
    if isinstance(found, ToolEntry):
        return found
    if not isinstance(getattr(found, "spec", None), ToolSpec) or not callable(getattr(found, "call", None)):
        raise ConfigurationError(
            f"the tool {name!r} is a {type(found).__name__}, neither a tool nor an entry",
            mend="put @phronesis.tool over the function",
        )
    return _entry_of(name, found)  # type: ignore[arg-type]  # looked at above


def check_tools(texts: Sequence[str]) -> None:
    """Raises ConfigurationError for a name or an option that is wrong; opens nothing."""
    for text in texts:
        _read(text)


async def open_tools(texts: Sequence[str], around: ToolSurroundings) -> dict[str, Tool]:
    """The tools of such texts (``calculator``, ``python(seconds=5)``) by their own names, in order.

    Whoever opens them closes each. Raises ConfigurationError for unknown names and options, and for two tools of one name;
    SetupError or ToolError where one cannot be opened. Then nothing stays open."""
    tools: dict[str, Tool] = {}
    origin: dict[str, str] = {}
    async with AsyncExitStack() as opened:
        for text in texts:
            entry, options = _read(text)
            for found in await entry.open(options, around):
                opened.push_async_callback(found.close)
                name = found.spec.name
                if name in tools:
                    raise ConfigurationError(
                        f"two tools are called {name!r}: one of {origin[name]!r} and one of {text!r}",
                        mend="leave one of them out, or give it another name",
                    )
                tools[name], origin[name] = found, text
        opened.pop_all()
    return tools


def _read(text: str) -> tuple[ToolEntry, Any]:
    spec = NamedSpec.parse(text, what="tool")
    entry = find_tool(spec.name)
    return entry, spec.checked(entry.options, what="tool")


def _entry_of(name: str, found: Tool) -> ToolEntry:
    async def opened(options: ToolOptions, around: ToolSurroundings) -> Sequence[Tool]:
        return (found,)

    return ToolEntry(name, found.spec.description.partition("\n")[0], ToolOptions, opened)
