"""Limits, and the account of what was spent against them.

An account is a tree: at a fan-out each branch gets a sub-account for the most its stage can need, in index order, so that
the cap on calls is exact whatever the arrival order; ``join`` brings back what a branch did not spend. Depth (the critical
path in calls) is counted the same way: calls in one account follow each other, branches run side by side.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from phronesis.core.chat import Usage
from phronesis.core.errors import BudgetExhausted


class Budget(BaseModel):
    """Limits of one task; None = no limit."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    calls: int | None = Field(default=None, ge=0)
    """Completions that may be asked for; never exceeded."""
    tokens: int | None = Field(default=None, ge=0)
    """Prompt and generated tokens; overshoot is at most the calls in flight."""
    seconds: float | None = Field(default=None, ge=0)
    """Active time, over all sessions of a resumed run."""
    depth: int | None = Field(default=None, ge=0)
    """Longest chain of calls that wait for one another."""
    tools: dict[str, Annotated[int, Field(ge=0)]] = {}
    """Units of a tool, by its name; ``search`` counts the queries of a strategy's own searches too. Never exceeded; branches
    side by side share them in the order they ask."""

    def limits(self) -> dict[str, float]:
        """The limits that there are, by the names they are set by: ``calls``, ``tools.search``."""
        whole = self.model_dump(exclude_none=True, exclude={"tools"})
        return {**whole, **{f"tools.{name}": units for name, units in self.tools.items()}}


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolSpent:
    """What one tool was used for. Adds up with ``+``."""

    calls: int = 0
    """Asked for, refused ones included."""
    units: int = 0
    """Spent units."""
    failed: int = 0
    refused: int = 0
    """Units not granted, and calls that were not allowed."""

    def __add__(self, other: ToolSpent) -> ToolSpent:
        return ToolSpent(
            calls=self.calls + other.calls,
            units=self.units + other.units,
            failed=self.failed + other.failed,
            refused=self.refused + other.refused,
        )


@dataclass
class Spent:
    """Totals of a whole tree of accounts, by role."""

    by_role: dict[str, Usage] = field(default_factory=dict)
    by_tool: dict[str, ToolSpent] = field(default_factory=dict)
    tokens_in_flight: int = 0
    completions_seen: int = 0
    completion_tokens_seen: int = 0
    denied: str | None = None

    @property
    def total(self) -> Usage:
        return sum(self.by_role.values(), Usage())

    def estimate(self, prompt_tokens: int, calls: int, max_tokens: int) -> int:
        """Tokens that a request will probably cost: its prompt and the running mean of replies (first: half the cap)."""
        if self.completions_seen:
            mean = self.completion_tokens_seen / self.completions_seen
        else:
            mean = max_tokens / 2
        return prompt_tokens + int(calls * min(mean, max_tokens))


class _Clock:
    """The active seconds of a whole tree of accounts."""

    def __init__(self, read: Callable[[], float], seconds_before: float) -> None:
        self._read = read
        self._start = read() - seconds_before
        self._stopped = 0.0
        self._waiting = 0

    @property
    def seconds(self) -> float:
        return (self._stopped if self._waiting else self._read()) - self._start

    def pause(self) -> None:
        if not self._waiting:
            self._stopped = self._read()
        self._waiting += 1

    def go_on(self) -> None:
        if self._waiting:
            self._waiting -= 1
            if not self._waiting:
                self._start += self._read() - self._stopped


class Account:
    """What a task, or one branch of it, may spend and has spent."""

    def __init__(
        self,
        budget: Budget | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
        seconds_before: float = 0.0,
    ) -> None:
        """``seconds_before``: active time of earlier sessions of a resumed run."""
        self.budget = budget or Budget()
        self.cap = self.budget.calls
        self.spent_calls = 0
        self.depth = 0
        self._depth_before = 0
        self._held = 0
        self._children: dict[str, Account] = {}
        self._spent = Spent()
        self._clock = _Clock(clock, seconds_before)

    def _child(self, calls: int) -> Account:
        child = object.__new__(Account)
        child.budget = self.budget
        child.cap = calls if self.cap is None else min(calls, self.remaining or 0)
        child.spent_calls = child.depth = child._held = 0
        child._depth_before = self.level
        child._children = {}
        child._spent = self._spent
        child._clock = self._clock
        return child

    @property
    def remaining(self) -> int | None:
        """Calls still free here; None = no limit."""
        return None if self.cap is None else self.cap - self.spent_calls - self._held

    @property
    def seconds(self) -> float:
        """Active seconds so far."""
        return self._clock.seconds

    def pause(self) -> None:
        """Stops the clock of the whole task, branches too, while it waits for others or for a person. Pauses may overlap:
        it stands still until as many ``go_on`` have come."""
        self._clock.pause()

    def go_on(self) -> None:
        """Starts the clock again; without a pause it does nothing."""
        self._clock.go_on()

    @property
    def seconds_left(self) -> float | None:
        return None if self.budget.seconds is None else self.budget.seconds - self.seconds

    @property
    def level(self) -> int:
        """Steps of depth so far, those before this sub-account included: the step that was booked last."""
        return self._depth_before + self.depth

    @property
    def usage(self) -> Usage:
        """Totals of the whole tree."""
        return self._spent.total

    @property
    def by_role(self) -> Mapping[str, Usage]:
        return self._spent.by_role

    @property
    def by_tool(self) -> Mapping[str, ToolSpent]:
        return self._spent.by_tool

    @property
    def denied(self) -> str | None:
        """The limit that stopped something, or None."""
        return self._spent.denied

    def grant(self, wanted: int) -> int:
        """How many of the wanted calls the cap allows, from 0 to ``wanted``; noted when it is fewer."""
        granted = wanted if self.remaining is None else max(0, min(wanted, self.remaining))
        if granted < wanted:
            self._spent.denied = self._spent.denied or "calls"
        return granted

    def split(self, stages: Mapping[str, int]) -> dict[str, Account]:
        """Sub-accounts by name, in the order given, each with at most the calls named and at most what is left."""
        made = {}
        for name, calls in stages.items():
            child = self._child(calls)
            self._held += child.cap or 0
            self._children[name] = made[name] = child
        return made

    def has_child(self, name: str) -> bool:
        """Whether a sub-account of that name is open."""
        return name in self._children

    def child(self, name: str) -> Account:
        """An open sub-account."""
        return self._children[name]

    def join(self, names: Iterable[str]) -> None:
        """Closes sub-accounts: what they spent is booked here, what they did not is free again, the deepest counts."""
        deepest = 0
        for name in names:
            child = self._children.pop(name)
            self._held -= child.cap or 0
            self.spent_calls += child.spent_calls
            deepest = max(deepest, child.depth)
        self.depth += deepest

    def close(self) -> None:
        """Joins whatever a stopped run left open, depth first."""
        for child in self._children.values():
            child.close()
        self.join(tuple(self._children))

    def reserve(self, calls: int, *, prompt_tokens: int = 0, max_tokens: int = 0) -> int:
        """Books calls before they are made, as one step of depth; returns the tokens held for them.

        Raises BudgetExhausted, and books nothing, when a limit does not allow them."""
        self._check("calls", self.remaining is not None and calls > self.remaining, self.cap)
        deep = self.budget.depth
        self._check("depth", deep is not None and self.level + 1 > deep, deep)
        left = self.seconds_left
        self._check("seconds", left is not None and left <= 0, self.budget.seconds)
        held = self._spent.estimate(prompt_tokens, calls, max_tokens)
        limit = self.budget.tokens
        over = limit is not None and self.usage.tokens + self._spent.tokens_in_flight + held > limit
        self._check("tokens", over, limit)
        self.spent_calls += calls
        self.depth += 1
        self._spent.tokens_in_flight += held
        return held

    def readmit(self, calls: int) -> int:
        """Books calls that an earlier session of the run was allowed to make; nothing is held for them."""
        self.spent_calls += calls
        self.depth += 1
        return 0

    def release(self, held: int) -> None:
        """Frees tokens that ``reserve`` held."""
        self._spent.tokens_in_flight -= held

    def book(self, role: str, usage: Usage) -> None:
        """Adds what was really spent."""
        self._spent.by_role[role] = self._spent.by_role.get(role, Usage()) + usage
        self._spent.completions_seen += usage.calls
        self._spent.completion_tokens_seen += usage.completion_tokens

    def units_left(self, tool: str) -> int | None:
        """Units of a tool that may still be used; None = no limit."""
        limit = self.budget.tools.get(tool)
        return None if limit is None else max(0, limit - self._spent.by_tool.get(tool, ToolSpent()).units)

    def take_units(self, tool: str, wanted: int) -> int:
        """Books as many of the wanted units as may be used, from 0 to ``wanted``, and returns how many; noted when it is
        fewer."""
        left = self.units_left(tool)
        return self.readmit_units(tool, wanted, wanted if left is None else min(wanted, left))

    def readmit_units(self, tool: str, wanted: int, granted: int) -> int:
        """Books units that an earlier session of the run was granted, and returns them."""
        if granted < wanted:
            self._spent.denied = self._spent.denied or f"tools.{tool}"
        self.book_tool(tool, ToolSpent(units=granted))
        return granted

    def book_tool(self, tool: str, spent: ToolSpent) -> None:
        """Adds what a call of a tool spent."""
        self._spent.by_tool[tool] = self._spent.by_tool.get(tool, ToolSpent()) + spent

    def deny(self, limit: str) -> BudgetExhausted:
        """Notes that a limit stopped something and returns the error to raise. ``tools.NAME`` is the limit of a tool."""
        self._spent.denied = self._spent.denied or limit
        tool = limit.removeprefix("tools.")
        value = self.budget.tools.get(tool) if tool != limit else getattr(self.budget, limit)
        return BudgetExhausted(
            f"the budget of {value} {limit} is used up", mend=f"raise it with --budget {limit}=...", limit=limit
        )

    def _check(self, limit: str, broken: bool, value: float | int | None) -> None:
        if broken:
            raise self.deny(limit)


@dataclass(frozen=True, slots=True)
class Branch:
    """A place in a run: the path that names it and the account it spends from."""

    path: str
    account: Account

    def at(self, name: str, account: Account | None = None) -> Branch:
        """The place one step further down; the same account unless another is given."""
        return Branch(f"{self.path}/{name}" if self.path else name, account or self.account)
