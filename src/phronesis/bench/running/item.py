"""One graded task of a bench: a line of ``items.jsonl``. Metrics and reports read these and nothing else."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from phronesis.core.events import Event
from phronesis.core.result import Failure

ItemStatus = Literal["ok", "failed", "ungraded"]
SURROUNDINGS = frozenset(
    {"EndpointUnreachable", "ServerFailed", "TimedOut", "RateLimited", "Retryable", "ModelChanged"}
)
"""Failures of the surroundings and not of a task. Tasks that failed by them alone are solved again on resume."""


class _Value(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class CallCost(_Value):
    """One exchange with a model: n choices of one request."""

    role: str
    level: int
    """Step of the task's depth, from 1; exchanges of one level ran side by side or could have."""
    calls: int
    """Choices; a label or reward call is one."""
    prompt_tokens: int = 0
    """Read once for all choices."""
    cached_tokens: int = 0
    """Those of them that the server had in its prefix cache."""
    completion_tokens: int = 0
    """Over all choices."""
    longest: int = 0
    """Tokens of the longest choice."""
    seconds: float = 0.0
    """Latency; of a reply from a bank the recorded one."""
    at: float = 0.0
    """Active seconds of the task when the reply was there."""
    served: bool = False
    """Whether a bank gave it and nothing was paid."""
    failed: bool = False


class AttemptGrade(_Value):
    """One candidate of a Result, graded."""

    id: str
    answer: str | None
    correct: bool
    status: Literal["ok", "unparsable", "failed"]
    tokens: int = 0
    round: int = 0
    parents: tuple[str, ...] = ()
    mean_logprob: float | None = None
    reward: float | None = None
    scores: dict[str, float | None] = {}
    kind: str = "chain"


class Item(_Value):
    """What came of one task in one cell."""

    arm: str
    set: str
    repeat: int
    task: str
    status: ItemStatus
    """``failed``: no attempt came out, or it crashed, which counts as wrong; ``ungraded``: the grader failed, which counts as
    neither and is reported."""
    correct: bool = False
    score: float = 0.0
    parsed: bool = False
    """Whether the answer could be read."""
    answer: str | None = None
    gold: str = ""
    figures: dict[str, float] = {}
    group: str = ""
    cluster: str = ""
    stop: str = ""
    depth: int = 0
    seconds: float = 0.0
    """Active seconds of the task, and for each level that a bank served the longest recorded latency."""
    calls: tuple[CallCost, ...] = ()
    attempts: tuple[AttemptGrade, ...] = ()
    recalled: tuple[str, ...] = ()
    """Concepts that stood in its prompts."""
    written: tuple[str, ...] = ()
    """Concepts that it wrote or updated."""
    degraded: tuple[str, ...] = ()
    failures: tuple[Failure, ...] = ()
    """The first few."""
    run_id: str = ""

    @property
    def graded(self) -> bool:
        return self.status != "ungraded"

    @property
    def lost_calls(self) -> bool:
        """Whether it came out although its surroundings lost it calls: with all of them it might have come out otherwise."""
        return self.status == "ok" and any(failure.error in SURROUNDINGS for failure in self.failures)

    @property
    def prompt_tokens(self) -> int:
        return sum(call.prompt_tokens for call in self.calls)

    @property
    def total_tokens(self) -> int:
        """B_total: tokens generated over all calls."""
        return sum(call.completion_tokens for call in self.calls)

    @property
    def sequential_tokens(self) -> int:
        """B_seq: tokens generated along the critical path, the longest choice of each level added up."""
        longest: dict[int, int] = {}
        for call in self.calls:
            longest[call.level] = max(longest.get(call.level, 0), call.longest)
        return sum(longest.values())

    @property
    def model_calls(self) -> int:
        return sum(call.calls for call in self.calls)

    @property
    def paid_calls(self) -> int:
        """Calls that no bank served."""
        return sum(call.calls for call in self.calls if not call.served)


def call_costs(events: Sequence[Event]) -> tuple[CallCost, ...]:
    """The exchanges that a task's journal events record, in their order; what a bank lacked and nobody was asked is none."""
    exchanges = (event for event in events if event.type in ("call", "failure") and _asked_of_a_model(event))
    return tuple(_cost(event) for event in exchanges if (event.data.get("error") or {}).get("type") != "NotRecorded")


def _asked_of_a_model(event: Event) -> bool:
    """Whether the event is about a model's call; searches and pure tools have roles too."""
    role = str(event.data.get("role", ""))
    return role not in ("", "search") and not role.startswith("tool ")


def _cost(event: Event) -> CallCost:
    data: Mapping[str, Any] = event.data
    value = data.get("value") or {}
    usage = value.get("usage", {})
    completion = int(usage.get("completion_tokens", 0))
    return CallCost(
        role=str(data["role"]),
        level=int(data.get("level", 1)),
        calls=int(data.get("count", 1)),
        prompt_tokens=int(usage.get("prompt_tokens", 0)),
        cached_tokens=int(usage.get("cached_tokens", 0)),
        completion_tokens=completion,
        longest=max((int(item["tokens"]) for item in value.get("completions", ())), default=completion),
        seconds=round(float(value.get("latency", 0.0)), 4),
        at=event.elapsed,
        served=bool(data.get("replayed")),
        failed="error" in data,
    )


def served_seconds(calls: Sequence[CallCost]) -> float:
    """The longest recorded latency of each level that a bank served whole, added up: time that nobody waited this time."""
    paid = {call.level for call in calls if not call.served}
    longest: dict[int, float] = {}
    for call in calls:
        if call.level not in paid:
            longest[call.level] = max(longest.get(call.level, 0.0), call.seconds)
    return math.fsum(longest.values())
