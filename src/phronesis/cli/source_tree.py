"""The branches of a task's tree about searches, tool calls and a person's answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.text import Text
from rich.tree import Tree

from phronesis.cli.plain import counted, plain, plain_lines
from phronesis.cli.sourced import Approval, Call, Search, all_sourced, approvals, arguments_text
from phronesis.core.events import Event

_PASSAGES = 5
"""Passages of a query that are shown, cited ones always; unless texts are shown in full."""
_TEXT = 300
_STYLES = {"ok": "green", "begun": "yellow", "refused": "yellow"}


def add_sources(tree: Tree, events: Sequence[Event], result: Mapping[str, Any], *, full: bool) -> None:
    """Adds a branch for each of the three that there is something of."""
    found = all_sourced(events)
    searches = [item for item in found if isinstance(item, Search)]
    calls = [item for item in found if isinstance(item, Call)]
    passages = (result.get("retrieval") or {}).get("passages", ())
    cited = {item["id"] for item in passages if item.get("cited")}
    if searches:
        branch = tree.add(Text("searches", style="dim"))
        for search in searches:
            _add_search(branch, search, cited, full=full)
    if calls:
        branch = tree.add(Text("tool calls", style="dim"))
        for call in calls:
            _add_call(branch, call, full=full)
    asked = approvals(events)
    if asked:
        branch = tree.add(Text("asked a person", style="dim"))
        for item in asked:
            branch.add(_asked(item, full=full))


def _add_search(branch: Tree, search: Search, cited: set[str], *, full: bool) -> None:
    if search.error:
        branch.add(_cut(Text.assemble(plain("; ".join(search.queries)), (f"  {plain(search.error)}", "red")), full))
        return
    if not search.queries:
        branch.add(Text("(journalled without texts)", style="dim"))
    for place, query in enumerate(search.queries):
        if place >= len(search.found):
            branch.add(_cut(Text.assemble(plain(query), ("  not searched: the budget is used up", "yellow")), full))
            continue
        row = search.found[place]
        under = branch.add(_cut(Text.assemble(plain(query), (f"  {counted(len(row), 'passage')}", "dim")), full))
        shown = [item for at, item in enumerate(row) if full or at < _PASSAGES or item["id"] in cited]
        for item in shown:
            under.add(_passage(item, cited=item["id"] in cited, full=full))
        if len(shown) < len(row):
            under.add(Text(f"{len(row) - len(shown)} more", style="dim"))


def _passage(item: Mapping[str, Any], *, cited: bool, full: bool) -> Text:
    where = place(item)
    line = Text.assemble(
        (plain(str(item["id"]), 40), "bold" if cited else ""),
        (f"  {item.get('score', 0.0):.4f}", "dim"),
        f"  {plain(str(item.get('title', '')), 80)}" if item.get("title") else "",
        (f"  {where}", "dim") if where else "",
        ("  cited", "bold green") if cited else "",
    )
    if full and item.get("text"):
        line.append(f"\n{plain_lines(str(item['text']))}", "dim italic")
    return _cut(line, full)


def place(item: Mapping[str, Any]) -> str:
    """Where a passage stands: ``source:start-end``; the source alone where it has no positions."""
    source = plain(str(item.get("source", "")), 120)
    return f"{source}:{item.get('start', 0)}-{item['end']}" if item.get("end") else source


def _add_call(branch: Tree, call: Call, *, full: bool) -> None:
    arguments = arguments_text(call.arguments)
    said = {"begun": "begun, outcome unknown"}.get(call.status, call.how)
    heading = Text.assemble((plain(call.tool), "bold"), f" {arguments if full else plain(arguments, 160)}")
    heading.append(f"  {said}", _STYLES.get(call.status, "red"))
    under = branch.add(_cut(heading, full))
    first = next((line for line in call.text.splitlines() if line.strip()), "")
    if first:
        under.add(_cut(Text(plain_lines(call.text) if full else plain(first, _TEXT), style="dim italic"), full))


def _asked(item: Approval, *, full: bool) -> Text:
    about = item.about if full else plain(item.about, 160)
    said = plain(item.said) or "open: nobody has answered"
    style = "yellow" if not item.said else "red" if item.said.startswith("reject") else "green"
    return _cut(Text.assemble((plain(item.key), "dim"), f"  {plain(about)}  ", (said, style)), full)


def _cut(text: Text, full: bool) -> Text:
    """Not in full a line stays one line of the screen."""
    if not full:
        text.no_wrap, text.overflow = True, "ellipsis"
    return text
