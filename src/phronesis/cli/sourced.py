"""What a journal's events say of searches, tool calls and a person's answers, for progress lines and trees."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import orjson

from phronesis.cli.plain import counted, plain
from phronesis.core.events import Event

_SHOWN = 100
"""Characters of arguments, queries and results on a line of progress."""


class Search(NamedTuple):
    """A search of a strategy."""

    key: str
    queries: tuple[str, ...]
    found: tuple[tuple[Mapping[str, Any], ...], ...] = ()
    """Passages by query; fewer rows than queries where the budget did not allow all."""
    error: str = ""

    def line(self) -> str:
        """For progress."""
        if self.error:
            return f"search: {plain(self.error, _SHOWN)}"
        said = plain("; ".join(self.queries), _SHOWN)
        rows = sum(len(row) for row in self.found)
        return f"search: {counted(len(self.queries), 'query', 'queries')}, {counted(rows, 'passage')}  {said}".rstrip()


class Call(NamedTuple):
    """A tool call and what became of it."""

    key: str
    tool: str
    arguments: Mapping[str, Any]
    status: str
    """ok, error, refused, failed, or begun where its outcome is not known."""
    text: str = ""
    units: int = 0
    cached: bool = False
    truncated: bool = False

    @property
    def how(self) -> str:
        """Status, units and whether it had been brought before."""
        parts = [self.status, *([counted(self.units, "unit")] if self.units else [])]
        parts += [name for name, said in (("cached", self.cached), ("cut off", self.truncated)) if said]
        return " · ".join(parts)

    def line(self) -> str:
        """For progress."""
        first = next((line for line in self.text.splitlines() if line.strip()), "")
        return f"tool {plain(self.tool)}: {self.how}  {plain(first, _SHOWN)}".rstrip()


class Approval(NamedTuple):
    """A question to a person and what was said."""

    key: str
    about: str
    said: str
    """Empty = it is open."""


def sourced(event: Event) -> Search | Call | None:
    """The search or tool call that an event tells of; None = another event."""
    data = event.data
    if event.type == "node" and isinstance(data.get("result"), Mapping):
        return _call(event.key, data["result"], "")
    if event.type not in ("effect", "failure", "budget", "intent"):
        return None
    role, request, value = str(data.get("role", "")), data.get("request") or {}, data.get("value") or {}
    error = str((data.get("error") or {}).get("message", ""))
    if role == "search":
        found = tuple(tuple(row) for row in value.get("found", ()))
        return Search(event.key, tuple(request.get("queries", ())), found, error)
    tool = str(data.get("tool") or role.removeprefix("tool ")) if "tool" in data or role.startswith("tool ") else ""
    if event.type == "intent":
        tool = str(request.get("tool", ""))
        return Call(event.key, tool, request.get("arguments", {}), "begun") if tool else None
    if not tool:
        return None
    if value:
        return _call(event.key, value, tool)
    return Call(event.key, tool, request.get("arguments", {}), "failed" if error else "ok", error)


def _call(key: str, result: Mapping[str, Any], tool: str) -> Call:
    """From a ToolResult as it is journalled."""
    call = result.get("call", {})
    return Call(
        key=key,
        tool=str(call.get("name", tool)),
        arguments=call.get("arguments", {}),
        status=str(result.get("status", "ok")),
        text=str(result.get("text", "")),
        units=int(result.get("units", 0)),
        cached=bool(result.get("cached")),
        truncated=bool(result.get("truncated")),
    )


def all_sourced(events: Iterable[Event]) -> list[Search | Call]:
    """Every search and call of a task, in the order they were journalled; a call that ended stands where it ended."""
    found: dict[str, Search | Call] = {}
    for event in events:
        item = sourced(event)
        if item is not None:
            found.pop(item.key, None)
            found[item.key] = item
    return list(found.values())


def approvals(events: Sequence[Event]) -> list[Approval]:
    """Every question of a task in the order they were asked."""
    said = {(event.key, event.data.get("hash")): event.data for event in events if "asked" in event.data}
    found = []
    for event in events:
        if event.type == "question":
            answer = said.get((event.key, event.data.get("hash")), {}).get("value") or {}
            found.append(Approval(event.key, _about(event.data), _said(answer)))
    return found


def _about(data: Mapping[str, Any]) -> str:
    request = data.get("request") or {}
    if "tool" in request:
        return f"{request['tool']} {arguments_text(request.get('arguments', {}))}"
    return str(data.get("text", ""))


def _said(answer: Mapping[str, Any]) -> str:
    if answer.get("edited") is not None:
        return f"edited to {arguments_text(answer['edited'])}"
    reason = f": {answer['reason']}" if answer.get("reason") else ""
    return f"{answer['choice']}{reason}" if answer else ""


def arguments_text(arguments: Any) -> str:
    """Arguments as JSON on one line."""
    return plain(orjson.dumps(arguments).decode())
