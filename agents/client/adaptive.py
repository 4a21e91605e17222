"""How many requests an endpoint is sent at a time: the rule, without clocks, threads or sockets.

The limit begins at ``first`` and doubles per round of successes as long as it is what holds requests back (slow start). A
refusal (429, or 503 with Retry-After) cuts it to ``cut`` of what was in flight, once per window: refusals of requests that
had started before the cut do not cut again. After a cut it grows by one per round; ``calm`` seconds without another cut bring
the doubling back. Source: the congestion control of TCP (RFC 5681), with requests for segments and refusals for losses.

Slowness cuts too, but only where it is plain: every reply of a whole window took ``slower`` times as long per token as the
best comparable ones (same size of prompt and reply within a factor of two), and more than the load explains. A server that
queues or batches is slower per request in proportion to the load, or less; that is no reason to send it less.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

_KINDS = 64
"""Most kinds of request whose pace is remembered."""
_ENOUGH = 16
"""Replies with fewer tokens say nothing about the pace."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AdaptiveRule:
    """The numbers of the rule."""

    first: int = 64
    """Requests in flight at the start: a fan-out of 64 is not held back on a cold endpoint."""
    cut: float = 0.8
    """What is left of the limit after a cut."""
    calm: float = 60.0
    """Seconds after the last cut from which the limit doubles again."""
    slower: float = 4.0
    """Seconds per token over the best seen, from which a reply counts as slow."""
    quick: float = 1.0
    """Replies within this many seconds are never slow, whatever the others took."""
    least_when_slow: int = 4
    """Slowness never cuts below this: fewer requests seldom mend what others do to the server."""


class Start(NamedTuple):
    """What is remembered of a request that went out."""

    number: int
    in_flight: int
    """Requests in flight, this one included."""
    full: bool = False
    """Nine tenths of the places were taken when it went out, its own included."""


class Pace(NamedTuple):
    """How quickly a reply came."""

    kind: tuple[int, int]
    """Sizes of prompt and reply, as powers of two."""
    per_token: float
    """Seconds per generated token."""
    seconds: float
    """The whole reply."""


class Change(NamedTuple):
    """A cut, for people who ask why a run is slow."""

    at: float
    """Reading of the caller's clock."""
    before: int
    after: int
    why: Literal["refused", "slow"]


def pace_of(seconds: float, *, prompt_tokens: int, tokens: int) -> Pace | None:
    """The pace of a reply; ``tokens`` are those of its longest choice. None when it is too short to tell."""
    if tokens < _ENOUGH or seconds <= 0:
        return None
    return Pace((prompt_tokens.bit_length(), tokens.bit_length()), max(seconds / tokens, 1e-9), seconds)


class _Best(NamedTuple):
    per_token: float
    load: float


class AdaptiveLimit:
    """The limit of one endpoint. Not thread-safe: its owner holds a lock."""

    def __init__(self, most: int, rule: AdaptiveRule | None = None) -> None:
        """``most``: the limit is never above it."""
        self.most = most
        self.rule = rule or AdaptiveRule()
        self.closed_until = -math.inf
        """Nothing starts before this reading of the clock."""
        self._places = float(min(most, self.rule.first))
        self._doubling = True
        self._started = 0
        self._cut_number = 0
        self._cut_at = -math.inf
        self._best: dict[tuple[int, int], _Best] = {}
        self._slow = 0
        self._changes: deque[Change] = deque(maxlen=32)

    @property
    def limit(self) -> int:
        """Requests that may be in flight now, in [1, most]."""
        return int(self._places)

    @property
    def changes(self) -> Sequence[Change]:
        """The last 32 cuts, oldest first."""
        return tuple(self._changes)

    def start(self, in_flight: int) -> Start:
        """Notes that a request goes out."""
        self._started += 1
        return Start(self._started, in_flight, in_flight >= 0.9 * self.limit)

    def succeeded(self, start: Start, *, now: float, in_flight: int, pace: Pace | None = None) -> None:
        """A reply came; ``in_flight`` counts its request. Grows the limit when all of it was used, now or, while it doubles,
        when the request went out (TCP's slow start asks for no more)."""
        if start.number <= self._cut_number:
            return
        if pace is not None:
            self._slow = self._slow + 1 if self._is_slow(pace, max(start.in_flight, in_flight)) else 0
            if self._slow >= max(8, self.limit):
                self._cut(self._places, now, "slow", least=self.rule.least_when_slow)
                return
        if in_flight < self.limit and not (self._doubling and start.full):
            return
        self._doubling = self._doubling or now - self._cut_at >= self.rule.calm
        self._places = min(float(self.most), self._places + (1.0 if self._doubling else 1.0 / self._places))

    def refused(self, start: Start, *, now: float, in_flight: int, retry_after: float | None = None) -> None:
        """The server had no room. Cuts once per window; a request that was alone in flight was not one too many."""
        if retry_after is not None:
            self.closed_until = max(self.closed_until, now + retry_after)
        if start.number > self._cut_number and in_flight > 1:
            self._cut(min(self._places, in_flight), now, "refused", least=1)

    def _cut(self, base: float, now: float, why: Literal["refused", "slow"], *, least: int) -> None:
        before = self.limit
        self._places = min(self._places, max(float(least), base * self.rule.cut))
        self._doubling = False
        self._slow = 0
        self._cut_number = self._started
        self._cut_at = now
        if self.limit < before:
            self._changes.append(Change(now, before, self.limit, why))

    def _is_slow(self, pace: Pace, load: int) -> bool:
        """Also learns the pace: downwards quickly, upwards by a little, so that a lasting change becomes the norm."""
        best = self._best.pop(pace.kind, None) or _Best(pace.per_token, load)
        slowdown = pace.per_token / best.per_token
        if slowdown < 1:
            learnt = _Best(best.per_token * (0.8 + 0.2 * slowdown), 0.8 * best.load + 0.2 * load)
        else:
            learnt = best._replace(per_token=best.per_token * (1 + 0.0001 * min(slowdown - 1, self.rule.slower)))
        self._best[pace.kind] = learnt
        if len(self._best) > _KINDS:
            del self._best[next(iter(self._best))]
        return pace.seconds > self.rule.quick and slowdown > max(self.rule.slower, load / best.load)
