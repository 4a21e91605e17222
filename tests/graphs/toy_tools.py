"""Tools for the tests of agents, installed as a package would install them: by entry points."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from phronesis.core.tool import ToolOutput
from phronesis.tools.function_tool import tool

CALLED: list[tuple[str, Any]] = []
"""Calls that were really carried out, oldest first; the fixture empties it."""
NAMES = ("lookup", "post", "boom", "hang", "flood", "order", "wave")


@tool(pure=True, units="keys")
async def lookup(keys: list[str]) -> str:
    """What is known of each key."""
    CALLED.append(("lookup", keys))
    return "; ".join(f"{key} is {len(key)}" for key in keys)


@tool
async def post(text: str) -> str:
    """Sends a text away; it cannot be taken back."""
    CALLED.append(("post", text))
    return f"sent as number {len(CALLED)}"


@tool
async def boom(text: str = "") -> str:
    """Fails."""
    CALLED.append(("boom", text))
    raise ValueError("it broke")


@tool(timeout=0.05)
async def hang(text: str = "") -> str:
    """Never ends."""
    CALLED.append(("hang", text))
    await asyncio.Event().wait()
    return "never"


@tool(pure=True)
async def flood(length: int) -> str:
    """A long text."""
    return "x" * length


@tool(pure=True)
async def order(text: str) -> ToolOutput:
    """Gives the text back."""
    return ToolOutput(text=text)


BARRIER: list[asyncio.Event] = []


@tool(units="of")
async def wave(of: list[str]) -> str:
    """Waits until two calls of it run at once, or for a moment, then tells what it was given."""
    CALLED.append(("wave", of))
    BARRIER.append(asyncio.Event())
    if len(BARRIER) > 1:
        for event in BARRIER:
            event.set()
    try:
        async with asyncio.timeout(0.2):
            await BARRIER[0].wait()
    except TimeoutError:
        return f"alone {of}"
    return f"together {of}"


def install(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Makes the toy tools findable by name, and forgets earlier calls."""
    CALLED.clear()
    BARRIER.clear()
    info = folder / "site" / "toy_tools-1.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: toy-tools\nVersion: 1\n", encoding="utf-8")
    points = "\n".join(f"{name} = toy_tools:{name}" for name in NAMES)
    (info / "entry_points.txt").write_text(f"[phronesis.tools]\n{points}\n", encoding="utf-8")
    monkeypatch.syspath_prepend(str(folder / "site"))
