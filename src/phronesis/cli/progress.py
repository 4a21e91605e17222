"""Live progress of a run from its journal's events: a small screen on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import TYPE_CHECKING, Any

from phronesis.cli.live_text import LiveText
from phronesis.cli.plain import counted, plain
from phronesis.cli.sourced import Call, Search, sourced
from phronesis.core.journal import Event

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.live import Live

    from phronesis.graphs.recipe import Recipe


MANY = 20
"""With more tasks than this there is no line per call."""
SHARES = 20
"""Lines that a long run prints where there is no terminal, at the most."""


def duration(seconds: float) -> str:
    """``42 s``, ``3 min 5 s``, ``2 h 10 min``."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    return f"{whole // 60} min {whole % 60} s" if whole < 3600 else f"{whole // 3600} h {whole % 3600 // 60} min"


def describe(event: Event) -> str | None:
    """One line about an event, or None when it says nothing a person waits for."""
    data = event.data
    if event.type == "call":
        value = data.get("value", {})
        usage = value.get("usage", {})
        cost = f"{usage.get('completion_tokens', 0)} tokens in {value.get('latency', 0):.1f} s"
        cost += ", from the recording" if data.get("replayed") else ""
        return f"{data['role']}: {data.get('count', 1)} call(s), {cost}"
    if event.type == "decision":
        return _decision(data)
    if event.type == "vote":
        weights = ", ".join(f"{plain(str(answer), 40)}: {weight:.2f}" for answer, weight in data["weights"].items())
        return f"vote: {plain(str(data['answer']), 40)} ({weights})" if weights else "vote: nobody could vote"
    if event.type == "recall":
        value = data.get("value", {})
        return f"memory: {len(value.get('hits', ()))} concept(s) found in version {value.get('version')}"
    if event.type == "write" and isinstance(data.get("value"), list):
        return "memory: " + ", ".join(f"{item['outcome']} {item.get('id') or ''}".strip() for item in data["value"])
    if event.type in ("effect", "node") and (found := sourced(event)) is not None:
        return f"{found.line()}{'  (from the recording)' if data.get('replayed') else ''}"
    if event.type == "question":
        return f"waits for a person: {plain(str(data.get('text', '')), 200)}"
    if event.type == "effect" and "asked" in data:
        answer = data.get("value", {})
        return f"a person said: {plain(str(answer.get('choice', '')))} {plain(str(answer.get('reason', '')), 100)}".rstrip()
    if event.type in ("failure", "budget"):
        return f"{event.type}: {plain(data['error'].get('message', ''), 300)}"
    if event.type == "task_finished":
        result = data["result"]
        answer = plain(str(result["answer"]), 80)
        return f"answer: {answer} ({result['stop_reason']}, {counted(result['usage']['calls'], 'call')})"
    return None


def _decision(data: Any) -> str:
    if data["rule"] == "gate":
        return f"gate: {'hard, refining' if data['hard'] else 'good enough'} ({data['reason']})"
    if data["rule"] == "acceptance":
        return f"memory: {'accepted' if data['accepted'] else 'nothing learned'} ({data['reason']})"
    if data["rule"] == "verdict":
        from phronesis.cli.verdict_tree import verdict_line

        return verdict_line(data)
    if "label" in data:
        from phronesis.cli.verdict_tree import opinion_line

        return opinion_line(data)
    if data["rule"] == "assessment":
        from phronesis.cli.verdict_tree import unjudged, unjudged_line

        if unjudged(data):
            return unjudged_line(data)
    if data["rule"] == "feedback":
        return f"told the next attempt: {plain(str(data.get('text', '')), 200)}"
    told = {name: value for name, value in data.items() if name != "rule" and value not in ({}, [], "", None)}
    return f"{data['rule']}: {', '.join(f'{name} {plain(str(value), 100)}' for name, value in told.items())}"


def reporter(what: str, *, every: float = 5.0) -> Callable[[float, str], None]:
    """For long work outside a run: prints what is done, for how long, and the last word about it, every few seconds."""
    shown = -every

    def heard(seconds: float, line: str) -> None:
        nonlocal shown
        if seconds - shown >= every:
            shown = seconds
            print(f"{what} {seconds:.0f} s  {line[:120]}", file=sys.stderr, flush=True)

    return heard


class Progress:
    """Hears events; use it as a context manager around the run."""

    def __init__(self, *, recipe: Recipe | None, total: int | None, quiet: bool) -> None:
        """``total``: tasks, None = not known yet. ``quiet``: show nothing."""
        self.run_id = ""
        self._recipe = recipe
        self.total = total
        self._quiet = quiet
        self._live: Live | None = None
        self._text = LiveText()
        self._done = 0
        self._failed = 0
        self._calls = 0
        self._tokens = 0
        self._searches = 0
        self._tools = 0
        self._started = time.monotonic()
        self._lines: list[str] = []
        self._candidates: dict[str, dict[str, dict[str, Any]]] = {}
        self._judged: set[tuple[str, object]] = set()
        self._task = ""

    def __enter__(self) -> Progress:
        if not self._quiet and sys.stderr.isatty():
            self._draw_from_here()
        return self

    def _draw_from_here(self) -> None:
        """A new screen below whatever stands there."""
        from rich.console import Console
        from rich.live import Live

        self._live = Live(console=Console(stderr=True), refresh_per_second=8, transient=True, get_renderable=self.draw)
        self._live.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.stop()
        elif self._many and not self._quiet:
            print(self._status(), file=sys.stderr, flush=True)

    @contextmanager
    def stopped(self) -> Iterator[None]:
        """Nothing is drawn meanwhile: a person is asked something."""
        if self._live is None:
            yield
            return
        self._live.stop()
        try:
            yield
        finally:
            self._draw_from_here()

    @property
    def observer(self) -> LiveText | None:
        """What shows replies as they come; None where there is no terminal to show them on."""
        return self._text if self._live is not None and sys.stdout.isatty() else None

    @property
    def _many(self) -> bool:
        """Too many tasks for a line per call."""
        return (self.total or 0) > MANY

    def hear(self, event: Event) -> None:
        """Takes in one event; called on the run's loop."""
        if self._quiet:
            return
        self._count(event)
        if self._many:
            self._hear_of_many(event)
            return
        line = describe(event)
        if line is None or self._said_before(event):
            return
        prefix = f"[{plain(event.task, 60)}] " if (self.total or 0) > 1 else ""
        if self._live is None:
            print(f"{prefix}{line}", file=sys.stderr, flush=True)
        self._lines = [*self._lines[-7:], f"{prefix}{line}"]

    def _said_before(self, event: Event) -> bool:
        """Whether it is the assessment that a verdict was made of."""
        if event.type == "decision" and event.data["rule"] in ("verdict", "assessment"):
            place = (event.task, event.data.get("of"))
            if event.data["rule"] == "assessment":
                return place in self._judged
            self._judged.add(place)
        return False

    def _hear_of_many(self, event: Event) -> None:
        """On a terminal the last failed tasks; elsewhere a line whenever another twentieth of the tasks is done."""
        if event.type != "task_finished":
            return
        if event.data["result"]["status"] == "failed":
            self._lines = [*self._lines[-7:], f"[{plain(event.task, 60)}] failed"]
        total = self.total or 1
        if self._live is None and self._done * SHARES // total > (self._done - 1) * SHARES // total < SHARES - 1:
            print(self._status(), file=sys.stderr, flush=True)

    def _status(self) -> str:
        """How far it is, what it cost, how fast it goes, and how long it will take at that rate."""
        seconds = time.monotonic() - self._started
        total, rate = self.total or self._done, self._done / seconds if seconds > 0 else 0.0
        left = duration((total - self._done) / rate) if rate > 0 and self._done < total else ""
        spent = f"{self._done}/{total} tasks  {self._failed} failed  {self._calls} calls  {self._tokens} tokens"
        spent += f"  {counted(self._searches, 'search', 'searches')}" if self._searches else ""
        spent += f"  {counted(self._tools, 'tool call')}" if self._tools else ""
        return f"{spent}  {60 * rate:.0f} tasks/min  {duration(seconds)}{f'  {left} left' if left else ''}"

    def _count(self, event: Event) -> None:
        if event.type == "call" and "value" in event.data:
            usage = event.data["value"].get("usage", {})
            self._calls += usage.get("calls", 0)
            self._tokens += usage.get("prompt_tokens", 0) + usage.get("completion_tokens", 0)
        found = sourced(event) if event.type != "intent" else None
        self._searches += len(found.queries) if isinstance(found, Search) else 0
        self._tools += isinstance(found, Call)
        if event.type == "task_finished":
            self._done += 1
            self._failed += event.data["result"]["status"] == "failed"
            self._candidates.pop(event.task, None)
            self._judged = {place for place in self._judged if place[0] != event.task}
        if event.type in ("node", "score") and "candidates" in event.data and not self._many:
            self._task = event.task
            shown = self._candidates.setdefault(event.task, {})
            shown.update((item["id"], dict(item)) for item in event.data["candidates"])

    def draw(self) -> RenderableType:
        """The screen now."""
        from rich.console import Group
        from rich.table import Table
        from rich.text import Text

        parts: list[RenderableType] = []
        candidates = self._candidates.get(self._task, {})
        if candidates:
            title = Text(f"candidates of {plain(self._task, 60)}")
            table = Table(title=title, title_justify="left", box=None, padding=(0, 2))
            for column in ("candidate", "answer", "reward", "tokens", ""):
                table.add_column(column)
            for item in list(candidates.values())[-12:]:
                reward = "" if item.get("reward") is None else f"{item['reward']:.3f}"
                state = "" if item["status"] == "ok" else item["status"]
                answer = Text(plain(str(item["answer"] or ""), 60))
                table.add_row(Text(item["id"]), answer, reward, str(item["tokens"]), state)
            parts.append(table)
        if self._live is not None:
            console = self._live.console
            written = self._text.draw(console, max(4, console.height // 2))
            parts += [] if written is None else [written]
        parts += [Text(line, style="dim", overflow="ellipsis", no_wrap=True) for line in self._lines]
        name = self._recipe.name if self._recipe else "resumed run"
        parts.append(Text(f"{name} {self.run_id}  {self._status()}{self._limits()}", style="bold"))
        return Group(*parts)

    def _limits(self) -> str:
        limits = self._recipe.file.budget.limits() if self._recipe else {}
        return f"  budget per task: {', '.join(f'{k} {v:g}' for k, v in limits.items())}" if limits else ""
