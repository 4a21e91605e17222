"""A run's tasks as trees: what was recalled, tried, judged, decided, learned and spent. Whatever a model wrote is shown as
plain text. It works on the journal's own values, so that runs without texts and half-done tasks can be shown too."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from rich.table import Table
from rich.text import Text
from rich.tree import Tree

from phronesis.cli.decisions import in_words
from phronesis.cli.lessons import outcome
from phronesis.cli.plain import counted, plain, plain_lines
from phronesis.cli.source_tree import add_sources
from phronesis.cli.sourced import approvals
from phronesis.cli.verdict_tree import RULES, add_verdict, attempt_of, chosen_of, verdicts_in
from phronesis.core.events import Event

SHORT = 300
"""Characters of a text, cut again to the line; unless texts are shown in full."""
Values = Mapping[str, Any]


def task_tree(events: Sequence[Event], *, full: bool = False) -> Tree:
    """The tree of one task from its events."""
    asked = next((event.data.get("asked") for event in events if event.type == "task_started"), None)
    finished = next((event.data["result"] for event in reversed(events) if event.type == "task_finished"), None)
    result = half_done(events) if finished is None else finished
    tree = Tree(_heading(events[0].task, result, finished is not None), guide_style="dim")
    tree.add(_question(asked, full))
    memory = result.get("memory") or {}
    for item in memory.get("recalled", ()):
        shown = "" if item["rendered"] else f", {item.get('reason') or 'no room'}"
        said = f"{item['id']} ({item['score']:.2f}{shown})  {item.get('text', '')}"
        tree.add(_line("recalled", said, full=full))
    add_sources(tree, events, result, full=full)
    _add_candidates(tree, result, full=full)
    for reply in result.get("replies", ()):
        for text in reply["texts"]:
            tree.add(_line(plain(reply["where"]), text, "dim italic", full=full))
    drawn = RULES if verdicts_in(result.get("decisions", ())) else ()
    _add(tree, "decisions", [in_words(item) for item in result.get("decisions", ()) if item.get("rule") not in drawn])
    for item in memory.get("written", ()):
        tree.add(_line("memory", outcome(item), full=full))
    for note in result.get("degraded", ()):
        tree.add(_line("degraded", plain(note), "yellow"))
    _add(tree, "failures", [_failure(item) for item in result.get("failures", ())], style="red")
    usage = result.get("usage") or {}
    if usage.get("by_role"):
        tree.add(_usage_table(usage["by_role"]))
    if finished is None:
        open = sum(not item.said for item in approvals(events))
        why = f"{counted(open, 'question')} to a person open; " if open else ""
        tree.add(_line("not finished", f"{why}what is above was journalled before the run stopped", "yellow"))
    else:
        tree.add(_answer(result, full))
    return tree


def task_line(events: Iterable[Event]) -> Text:
    """One line about a task, for runs with many."""
    kept = list(events)
    finished = next((event.data["result"] for event in reversed(kept) if event.type == "task_finished"), None)
    return _heading(kept[0].task, half_done(kept) if finished is None else finished, finished is not None)


def _line(name: str, text: str, style: str = "", *, full: bool = True) -> Text:
    """A named text; not in full it takes one line of the screen."""
    shown = plain_lines(text) if full else plain(text, SHORT)
    heading = (f"{name}  ", "dim") if name else ""
    return Text.assemble(heading, (shown, style), no_wrap=not full, overflow=None if full else "ellipsis")


def _heading(task: str, result: Values, finished: bool) -> Text:
    usage = result.get("usage") or {}
    tokens = usage.get("prompt_tokens", 0) + usage.get("completion_tokens", 0)
    spent = f"{counted(usage.get('calls', 0), 'call')} · {tokens} tokens"
    if not finished:
        return Text.assemble((plain(task, 60), "bold"), ("  not finished", "yellow"), (f" · {spent} so far", "dim"))
    answer, good = plain(str(result["answer"]), 60), result["answer"] is not None
    spent += f" · depth {result['depth']} · {usage.get('seconds', 0):.1f} s"
    return Text.assemble(
        (plain(task, 60), "bold"),
        "  ",
        (answer if good else "no answer", "bold green" if good else "bold red"),
        (f"  {result['stop_reason']} · {spent}", "dim"),
    )


def _question(asked: Values | None, full: bool) -> Text:
    if asked is None:
        return _line("question", "(journalled without texts)", "dim")
    *history, last = asked["messages"]
    text = f"{asked.get('context') or ''}\n\n{last['content']}".strip()
    turns = f"(after {len(history)} earlier messages) " if history else ""
    return _line("question", f"{turns}{text}", full=full)


def _add(tree: Tree, name: str, lines: Sequence[str], *, style: str = "") -> None:
    if lines:
        branch = tree.add(Text(name, style="dim"))
        for line in lines:
            branch.add(Text(line, style=style))


def _failure(item: Values) -> str:
    return plain(f"{item['where']}: {item['error']}: {item.get('message', '')}").rstrip(": ")


def _add_candidates(tree: Tree, result: Values, *, full: bool) -> None:
    """The candidates; under ``[verify]`` attempt by attempt, each with its verdict."""
    candidates, decisions = result.get("candidates", ()), result.get("decisions", ())
    if verdicts_in(decisions):
        chosen, judged = chosen_of(result), {attempt_of(str(item["of"])) for item in verdicts_in(decisions)}
        for number in sorted({*judged, *(attempt_of(item["id"]) for item in candidates)}):
            place = tree.add(Text(f"attempt {number + 1}", style="bold"))
            own = [item for item in candidates if attempt_of(item["id"]) == number]
            _draw_candidates(place, own, chosen, full=full)
            add_verdict(place, decisions, number, full=full)
    elif candidates:
        chosen = next((item["chosen"] for item in reversed(decisions) if item.get("chosen")), None)
        _draw_candidates(tree.add(Text("candidates", style="dim")), candidates, chosen, full=full)


def _draw_candidates(branch: Tree, candidates: Sequence[Values], chosen: str | None, *, full: bool) -> None:
    """Each candidate under the one it was made from."""
    places: dict[str, Tree] = {}
    for item in candidates:
        parents = [parent for parent in item.get("parents", ()) if parent in places]
        if not parents and "." in item["id"] and item["id"].split(".")[0] in places:
            parents = [item["id"].split(".")[0]]
        under = places[parents[0]] if parents else branch
        places[item["id"]] = under.add(_candidate(item, chosen=item["id"] == chosen))
        _add_texts(places[item["id"]], item, full=full)


def _candidate(item: Values, *, chosen: bool) -> Text:
    failed = item["status"] == "failed"
    answer = plain(str(item["answer"]), 60) if item.get("answer") is not None else item["status"]
    parts = [f"{item.get('tokens', 0)} tokens{' (cut off)' if item.get('cut_off') else ''}"]
    if item.get("reward") is not None:
        parts.append(f"reward {item['reward']:.3f}")
    if item.get("outcome") is not None:
        parts.append(f"outcome {item['outcome']:.3f}")
    if item.get("step_scores"):
        scores = " ".join(f"{score:.2f}" for score in item["step_scores"][:12])
        parts.append(f"steps {scores}{' …' if len(item['step_scores']) > 12 else ''}")
    if len(item.get("parents", ())) > 1:
        parts.append(f"from {' '.join(item['parents'])}")
    error = item.get("error") or {}
    said = plain(f"{error.get('error', '')}: {error.get('message', '')}").strip(": ") if failed else " · ".join(parts)
    style = "red" if failed else "green" if item["status"] == "ok" else "yellow"
    return Text.assemble(
        (f"{item['id']}  ", "bold" if chosen else ""),
        (f"{answer}", f"bold {style}" if chosen else style),
        (f"  {said}", "red" if failed else "dim"),
        ("  chosen", "bold green") if chosen else "",
    )


def _add_texts(place: Tree, item: Values, *, full: bool) -> None:
    if item.get("notes"):
        place.add(_line("review", item["notes"], full=full))
    if item.get("text"):
        place.add(_line("", item["text"], "dim italic", full=full))


def _usage_table(by_role: Mapping[str, Values]) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), show_edge=False, header_style="dim")
    for column in ("role", "calls", "failed", "requests", "prompt", "generated", "cached"):
        table.add_column(column, justify="left" if column == "role" else "right")
    names = ("calls", "failed_calls", "requests", "prompt_tokens", "completion_tokens", "cached_tokens")
    for role, used in by_role.items():
        table.add_row(Text(plain(role)), *(str(used.get(name, 0)) for name in names))
    return table


def _answer(result: Values, full: bool) -> Text:
    answer, good = result["answer"], result["answer"] is not None
    shown = (plain_lines(str(answer)) if full else plain(str(answer), SHORT)) if good else "none"
    return Text.assemble(
        ("answer  ", "dim"),
        (shown, "bold green" if good else "bold red"),
        (f"  stopped: {result['stop_reason']}", "dim"),
    )


def half_done(events: Sequence[Event]) -> dict[str, Any]:
    """As much of a Result as the events of a task that has none tell."""
    candidates: dict[str, Any] = {}
    by_role: dict[str, dict[str, int]] = {}
    decisions: list[Any] = []
    failures: list[Any] = []
    recalled: list[Any] = []
    replies: list[Any] = []
    written: list[Any] = []
    for event in events:
        data = event.data
        if event.type in ("node", "score"):
            candidates |= {item["id"]: item for item in data.get("candidates", ())}
        elif event.type in ("decision", "vote"):
            said = {name: value for name, value in data.items() if name != "time"}
            decisions.append({"type": event.type, "key": event.key, **said})
        elif event.type in ("failure", "budget"):
            error = data["error"]
            failures.append({"where": event.key, "error": error["type"], "message": error.get("message", "")})
        elif event.type == "recall":
            recalled = [_recalled(hit) for hit in data.get("value", {}).get("hits", ())]
        elif event.type == "write" and isinstance(data.get("value"), list):
            written = list(data["value"])
        elif event.type == "call":
            used, role = data.get("value", {}).get("usage", {}), by_role.setdefault(data["role"], {})
            for name in {*used, "calls"}:
                role[name] = role.get(name, 0) + int(used.get(name, data.get("count", 1)))
            texts = [item["text"] for item in data.get("value", {}).get("completions", ())]
            replies.append({"where": event.key, "role": data["role"], "texts": texts})
    names = {name for used in by_role.values() for name in used}
    usage = {name: sum(used.get(name, 0) for used in by_role.values()) for name in names}
    return {
        "candidates": list(candidates.values()),
        "decisions": decisions,
        "failures": failures,
        "replies": replies,
        "memory": {"recalled": recalled, "written": written},
        "usage": {**usage, "by_role": by_role},
    }


def _recalled(hit: Values) -> dict[str, Any]:
    text = hit.get("concept", {}).get("suggestion", "")
    return {"id": hit["id"], "score": hit["score"], "rendered": True, "text": text}
