"""Live progress of a run from its journal's events: a small screen on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import TYPE_CHECKING, Any

from phronesis.core.journal import Event

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.live import Live

    from phronesis.graphs.recipe import Recipe


def describe(event: Event) -> str | None:
    """One line about an event, or None when it says nothing a person waits for."""
    data = event.data
    if event.type == "call":
        value = data.get("value", {})
        usage = value.get("usage", {})
        cost = f"{usage.get('completion_tokens', 0)} tokens in {value.get('latency', 0):.1f} s"
        return f"{data['role']}: {data.get('count', 1)} call(s), {cost}"
    if event.type == "decision":
        return _decision(data)
    if event.type == "vote":
        weights = ", ".join(f"{answer}: {weight:.2f}" for answer, weight in data["weights"].items())
        return f"vote: {data['answer']} ({weights})" if weights else "vote: nobody could vote"
    if event.type == "recall":
        value = data.get("value", {})
        return f"memory: {len(value.get('hits', ()))} concept(s) found in version {value.get('version')}"
    if event.type in ("failure", "budget"):
        return f"{event.type}: {data['error']['message']}"
    if event.type == "task_finished":
        result = data["result"]
        return f"answer: {result['answer']} ({result['stop_reason']}, {result['usage']['calls']} calls)"
    return None


def _decision(data: Any) -> str:
    if data["rule"] == "gate":
        return f"gate: {'hard, refining' if data['hard'] else 'good enough'} ({data['reason']})"
    if data["rule"] == "acceptance":
        return f"memory: {'accepted' if data['accepted'] else 'nothing learned'} ({data['reason']})"
    return f"{data['rule']}: {data}"


class Progress:
    """Hears events; use it as a context manager around the run."""

    def __init__(self, *, recipe: Recipe | None, total: int | None, quiet: bool) -> None:
        """``total``: tasks, None = not known yet. ``quiet``: show nothing."""
        self.run_id = ""
        self._recipe = recipe
        self._total = total
        self._quiet = quiet
        self._live: Live | None = None
        self._done = 0
        self._calls = 0
        self._tokens = 0
        self._started = time.monotonic()
        self._lines: list[str] = []
        self._candidates: dict[str, dict[str, dict[str, Any]]] = {}
        self._task = ""

    def __enter__(self) -> Progress:
        if not self._quiet and sys.stderr.isatty():
            from rich.console import Console
            from rich.live import Live

            self._live = Live(
                console=Console(stderr=True), refresh_per_second=8, transient=True, get_renderable=self.draw
            )
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.stop()

    def hear(self, event: Event) -> None:
        """Takes in one event; called on the run's loop."""
        if self._quiet:
            return
        self._count(event)
        line = describe(event)
        if line is None:
            return
        prefix = f"[{event.task}] " if (self._total or 0) > 1 else ""
        if self._live is None:
            print(f"{prefix}{line}", file=sys.stderr, flush=True)
        self._lines = [*self._lines[-7:], f"{prefix}{line}"]

    def _count(self, event: Event) -> None:
        if event.type == "call" and "value" in event.data:
            usage = event.data["value"].get("usage", {})
            self._calls += usage.get("calls", 0)
            self._tokens += usage.get("prompt_tokens", 0) + usage.get("completion_tokens", 0)
        if event.type == "task_finished":
            self._done += 1
            self._candidates.pop(event.task, None)
        if event.type in ("node", "score") and "candidates" in event.data:
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
            table = Table(title=f"candidates of {self._task}", title_justify="left", box=None, padding=(0, 2))
            for column in ("candidate", "answer", "reward", "tokens", ""):
                table.add_column(column)
            for item in list(candidates.values())[-12:]:
                reward = "" if item.get("reward") is None else f"{item['reward']:.3f}"
                state = "" if item["status"] == "ok" else item["status"]
                table.add_row(item["id"], str(item["answer"] or ""), reward, str(item["tokens"]), state)
            parts.append(table)
        parts += [Text(line, style="dim", overflow="ellipsis", no_wrap=True) for line in self._lines]
        total = "" if self._total is None else f"/{self._total}"
        seconds = time.monotonic() - self._started
        name = self._recipe.name if self._recipe else "resumed run"
        status = f"{name} {self.run_id}  tasks {self._done}{total}  calls {self._calls}  tokens {self._tokens}"
        parts.append(Text(f"{status}  {seconds:.0f} s{self._limits()}", style="bold"))
        return Group(*parts)

    def _limits(self) -> str:
        limits = self._recipe.file.budget.model_dump(exclude_none=True) if self._recipe else {}
        return f"  budget per task: {', '.join(f'{k} {v:g}' for k, v in limits.items())}" if limits else ""
