"""Where a request's tokens, time and energy go. Kim et al. 2025, arXiv 2506.04301.

A request is a set of exchanges: calls of the model and of tools, each with the exchanges it waited for.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

_SLACK = 1e-9


@dataclass(frozen=True, kw_only=True)
class Exchange:
    """One call."""

    kind: Literal["model", "tool"]
    start: float
    """Seconds, on one clock for the request."""
    end: float
    parents: tuple[int, ...] = ()
    """Places of earlier exchanges in the request that had to end first."""
    prompt_tokens: int = 0
    cached_tokens: int = 0
    """Those of them from the prefix cache."""
    completion_tokens: int = 0
    origins: Mapping[str, int] = field(default_factory=dict)
    """Prompt tokens by where they come from: instruction, examples, question, history, tool."""
    parts: Mapping[str, float] = field(default_factory=dict)
    """Seconds of it by what they went into: queue, prefill, decode."""

    @property
    def seconds(self) -> float:
        return self.end - self.start


@dataclass(frozen=True, kw_only=True)
class RequestAccount:
    """What one request took. Parts add up to totals; critical <= busy <= wall, and busy <= summed."""

    model_calls: int
    tool_calls: int
    prompt_tokens: int
    cached_tokens: int
    uncached_tokens: int
    completion_tokens: int
    origins: Mapping[str, int]
    """Tokens by origin, ``unknown`` for the prompt's rest and ``generated``; they add up to prompt + completion."""
    parts: Mapping[str, float]
    """Seconds by part, ``tool``, and ``other`` for the rest; they add up to ``summed``."""
    summed: float
    """Seconds of all exchanges, one after another."""
    critical: float
    """Seconds of the longest chain of exchanges that waited for each other."""
    busy: float
    """Seconds in which at least one exchange was under way."""
    wall: float
    """Seconds from the first start to the last end."""
    model_idle: float
    """Seconds of ``wall`` without a call of the model under way."""
    tool_idle: float
    """Seconds of them in which a tool was at work."""

    @property
    def idle_share(self) -> float | None:
        """Share of the time in which the model waited for tools, in [0, 1]; None when it took no time."""
        return self.tool_idle / self.wall if self.wall else None

    @property
    def cache_hit_rate(self) -> float | None:
        """Share of prompt tokens from the prefix cache; None without prompt tokens."""
        return self.cached_tokens / self.prompt_tokens if self.prompt_tokens else None


def account(exchanges: Sequence[Exchange]) -> RequestAccount:
    """The account of one request. Raises ValueError, naming the exchange, for an end before its start, a parent that stands
    later or had not ended, more cached than prompt tokens, and parts or origins of more than the whole."""
    longest: list[float] = []
    for place, item in enumerate(exchanges):
        _check(place, item, exchanges)
        longest.append(item.seconds + max((longest[parent] for parent in item.parents), default=0.0))
    models = [item for item in exchanges if item.kind == "model"]
    prompt, cached = sum(item.prompt_tokens for item in models), sum(item.cached_tokens for item in models)
    completion = sum(item.completion_tokens for item in models)
    summed = math.fsum(item.seconds for item in exchanges)
    wall = max((item.end for item in exchanges), default=0.0) - min((item.start for item in exchanges), default=0.0)
    busy, at_model = _covered(exchanges), _covered(models)
    origins = {name: int(count) for name, count in _added([item.origins for item in models]).items()}
    parts = _added([item.parts for item in models])
    parts["tool"] = math.fsum(item.seconds for item in exchanges if item.kind == "tool")
    return RequestAccount(
        model_calls=len(models),
        tool_calls=len(exchanges) - len(models),
        prompt_tokens=prompt,
        cached_tokens=cached,
        uncached_tokens=prompt - cached,
        completion_tokens=completion,
        origins={**origins, "unknown": prompt - sum(origins.values()), "generated": completion},
        parts={**parts, "other": summed - math.fsum(parts.values())},
        summed=summed,
        critical=max(longest, default=0.0),
        busy=busy,
        wall=wall,
        model_idle=wall - at_model,
        tool_idle=busy - at_model,
    )


class Latency(NamedTuple):
    """Seconds over requests."""

    mean: float
    variance: float
    """Population variance."""
    p95: float
    """The least value that at least 95 % of requests do not exceed."""


def latency(seconds: Sequence[float]) -> Latency:
    """Latency over requests; NaN without any."""
    if not seconds:
        return Latency(math.nan, math.nan, math.nan)
    ordered, count = sorted(seconds), len(seconds)
    mean = math.fsum(ordered) / count
    variance = math.fsum((value - mean) ** 2 for value in ordered) / count
    return Latency(mean, variance, ordered[math.ceil(0.95 * count) - 1])


def energy(mean_watts: float, busy_seconds: float) -> float:
    """Watt-hours: mean board power times busy time / 3600. Raises ValueError for negative values."""
    if not mean_watts >= 0 or not busy_seconds >= 0:
        raise ValueError(f"{mean_watts!r} W over {busy_seconds!r} s are no energy")
    return mean_watts * busy_seconds / 3600


def _check(place: int, item: Exchange, exchanges: Sequence[Exchange]) -> None:
    where = f"exchange {place}"
    if not item.end >= item.start:
        raise ValueError(f"{where} ends at {item.end!r}, before its start at {item.start!r}")
    for parent in item.parents:
        if not 0 <= parent < place:
            raise ValueError(f"{where} waits for {parent}, which is no earlier exchange")
        if exchanges[parent].end > item.start + _SLACK:
            raise ValueError(f"{where} starts before {parent}, for which it waits, has ended")
    if not 0 <= item.cached_tokens <= item.prompt_tokens or item.completion_tokens < 0:
        raise ValueError(f"{where} has token counts that do not fit each other")
    if min(item.origins.values(), default=0) < 0 or sum(item.origins.values()) > item.prompt_tokens:
        raise ValueError(f"{where} has prompt tokens of more origins than it has prompt tokens")
    if min(item.parts.values(), default=0.0) < 0 or math.fsum(item.parts.values()) > item.seconds + _SLACK:
        raise ValueError(f"{where} has parts of more seconds than it took")


def _covered(exchanges: Sequence[Exchange]) -> float:
    """Seconds in which at least one of them was under way."""
    total, until = 0.0, -math.inf
    for start, end in sorted((item.start, item.end) for item in exchanges):
        total += max(0.0, end - max(start, until))
        until = max(until, end)
    return total


def _added(tables: Sequence[Mapping[str, float]]) -> dict[str, float]:
    found: dict[str, float] = {}
    for table in tables:
        for name, value in table.items():
            found[name] = found.get(name, 0) + value
    return found
