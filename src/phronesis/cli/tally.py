"""What came out of the tasks of a run, counted as they end; a long run's results are not kept."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from phronesis.core.chat import Usage
from phronesis.core.result import Result

KEPT = 50
"""Results that are kept for a table; with more tasks only the sums are."""
NAMED = 10
"""Failed tasks that are named."""


class Tally:
    """Sums over results, and the results themselves while they are few."""

    def __init__(self) -> None:
        self.tasks = 0
        self.failed = 0
        self.usage = Usage()
        self.run_id = ""
        self.results: list[Result] | None = []
        """In the order the tasks were given; None when they were too many."""
        self.failures: list[str] = []
        """The first failed tasks and why they failed, a line each."""

    def add(self, result: Result) -> None:
        """Takes a result in."""
        used = result.usage
        self.tasks += 1
        self.run_id = result.run_id
        self.usage += Usage(
            calls=used.calls, prompt_tokens=used.prompt_tokens, completion_tokens=used.completion_tokens
        )
        if result.status == "failed":
            self.failed += 1
            if len(self.failures) < NAMED:
                reason = result.failures[0].message if result.failures else result.stop_reason
                self.failures.append(f"[{result.task_id}] failed: {reason}")
        if self.results is not None:
            self.results = [*self.results, result] if len(self.results) < KEPT else None

    @property
    def exit_code(self) -> int:
        return 1 if self.failed else 0


class InOrder:
    """Hands results on in the order of their tasks, as soon as all before them are there."""

    def __init__(self, ids: Sequence[str], emit: Callable[[Result], None]) -> None:
        self._ids = ids
        self._emit = emit
        self._next = 0
        self._early: dict[str, Result] = {}

    def put(self, result: Result) -> None:
        """Takes a result in and hands on what can be."""
        self._early[result.task_id] = result
        while self._next < len(self._ids) and self._ids[self._next] in self._early:
            self._emit(self._early.pop(self._ids[self._next]))
            self._next += 1

    def end(self) -> None:
        """Hands on the rest: tasks before them will have no Result this time."""
        for name in self._ids[self._next :]:
            if name in self._early:
                self._emit(self._early.pop(name))
