"""Live progress of a bench: a line per cell on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import sys
import time
from collections import deque
from collections.abc import Mapping
from types import TracebackType
from typing import TYPE_CHECKING

from phronesis.bench.dataset import DataSet
from phronesis.bench.running.folder import BenchFolder
from phronesis.bench.running.item import Item
from phronesis.bench.running.plan import BenchPlan, Cell, cells
from phronesis.cli.progress import duration

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.live import Live

_EVERY = 5.0
"""Seconds between lines where there is no terminal."""
_RECENT = 24
"""Items from which the time left is told: arms differ, and what a bank serves comes at once."""


class BenchProgress:
    """Hears items; use it as a context manager around the work."""

    def __init__(self, plan: BenchPlan, sets: Mapping[str, DataSet], folder: BenchFolder, *, quiet: bool) -> None:
        self._quiet = quiet
        self._totals = {cell: len(sets[cell.set].examples) for cell in cells(plan) if cell.set in sets}
        self._done: dict[Cell, dict[str, Item | None]] = {cell: {} for cell in self._totals}
        self._tokens = 0
        for item in folder.items():
            self._note(Cell(item.arm, item.set, item.repeat), item)
        self._tokens = 0
        self._started = self._shown = time.monotonic()
        self._times: deque[float] = deque(maxlen=_RECENT)
        self._live: Live | None = None

    @property
    def _count(self) -> int:
        return sum(len(done) for done in self._done.values())

    def __enter__(self) -> BenchProgress:
        if not self._quiet and sys.stderr.isatty():
            from rich.console import Console
            from rich.live import Live

            self._live = Live(console=Console(stderr=True), refresh_per_second=4, get_renderable=self.draw)
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.stop()
        elif not self._quiet:
            print(self.status(), file=sys.stderr, flush=True)

    def _note(self, cell: Cell, item: Item) -> None:
        if cell in self._done:
            self._done[cell][item.task] = item.model_copy(update={"calls": (), "attempts": ()})
            self._tokens += item.total_tokens

    def hear(self, cell: Cell, item: Item) -> None:
        """Takes in an item that was written."""
        self._note(cell, item)
        now = time.monotonic()
        self._times.append(now)
        if self._live is None and not self._quiet and now - self._shown >= _EVERY:
            self._shown = now
            print(f"{self._line(cell)}  |  {self.status()}", file=sys.stderr, flush=True)

    def _line(self, cell: Cell) -> str:
        done = [item for item in self._done[cell].values() if item is not None]
        right, graded = sum(item.correct for item in done), sum(item.graded for item in done)
        bad = sum(item.status != "ok" for item in done)
        share = f"{100 * right / graded:.0f} % right" if graded else ""
        repeat = f" ({cell.repeat + 1})" if max(other.repeat for other in self._totals) else ""
        failed = f"  {bad} failed or ungraded" if bad else ""
        return f"{cell.set} / {cell.arm}{repeat}  {len(done)}/{self._totals[cell]}  {share}{failed}"

    def status(self) -> str:
        """How far all of it is and how long it will take."""
        total, count = sum(self._totals.values()), self._count
        now = time.monotonic()
        seconds, recent = now - self._started, now - self._times[0] if self._times else 0.0
        rate = (len(self._times) - 1) / recent if recent > 0 else 0.0
        left = f"  about {duration((total - count) / rate)} left" if rate > 0 and count < total else ""
        return f"{count}/{total} items  {self._tokens} tokens  {duration(seconds)}{left}"

    def draw(self) -> RenderableType:
        """The screen now."""
        from rich.console import Group
        from rich.text import Text

        begun = [cell for cell, done in self._done.items() if done]
        lines = [Text(self._line(cell)) for cell in begun[-20:]]
        return Group(*lines, Text(self.status(), style="bold"))
