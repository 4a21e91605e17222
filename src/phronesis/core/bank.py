"""Recorded effects of one task, handed out again: what a replay draws from. It never serves a resume.

Values (recall hits, label probabilities, tool results, denials) are found by key and request, or by request alone. Samples
are found by role and request, the seed left out, in the order of their places: a strategy that draws the same request in
other portions finds its samples. Each is handed out once: the place that drew it gets it back, any other place the first
that is left.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from phronesis.core.chat import request_hash
from phronesis.core.errors import NotRecorded, PhronesisError
from phronesis.core.events import Event, EventType

_NUMBER = re.compile(r"(\d+)")
_VALUES = frozenset({"call", "effect", "recall"})
E = TypeVar("E", bound=PhronesisError)


def unrecorded(kind: type[E], what: str) -> E:
    """The failure of a replay that lacks something which no call can bring: a search, a tool's result, an answer."""
    return kind(f"the recording has no {what}", mend="start a run", not_recorded=True)


def is_unrecorded(error: Mapping[str, Any]) -> bool:
    """Whether a journalled failure says that a replay lacked something; it is no recording of anything."""
    return error["type"] == NotRecorded.__name__ or bool((error.get("details") or {}).get("not_recorded"))


@dataclass(frozen=True, slots=True)
class Sample:
    """One recorded sample of a call, or the failure in its place."""

    site: str
    index: int
    exchange: Event
    offset: int
    """Its place among the exchange's choices."""

    @property
    def came_out(self) -> bool:
        return self.exchange.type == "call"

    @property
    def logprobs(self) -> int:
        return int(self.exchange.data["request"].get("logprobs", 0))


@dataclass(frozen=True, slots=True)
class Drawn:
    """Samples ``first`` to ``first + count - 1`` of a new call, all from one recorded exchange, in its order."""

    first: int
    count: int
    type: EventType
    data: Mapping[str, Any]
    """``value`` or ``error``, as an event holds it."""
    source: tuple[str, int]
    """Recorded place and index of the first one."""


def bank_hash(request: Any) -> str:
    """The hash of a request without its seed and without how many log-probabilities it asks for."""
    if isinstance(request, Mapping):
        request = {name: value for name, value in request.items() if name not in ("seed", "logprobs")}
    return request_hash(request)


class Bank:
    """The recording of one task."""

    def __init__(
        self,
        events: Iterable[Event],
        *,
        denials: bool = True,
        without: frozenset[str] = frozenset(),
        lends: bool = False,
    ) -> None:
        """``denials``: whether recorded denials by a limit still hold. ``without``: roles that are not served, because
        another model now has them. ``lends``: only replies are handed out, to a run that is no replay: what a memory or a
        tool gave is asked for anew."""
        self.lends = lends
        self._by_key: dict[str, Event] = {}
        self._by_request: dict[tuple[str, str, str], Event] = {}
        self._samples: dict[tuple[str, str], list[Sample]] = {}
        self._places: dict[tuple[str, int], Sample] = {}
        self._taken: set[tuple[str, int]] = set()
        for event in events:
            role = str(event.data.get("role", ""))
            if role in without or (event.type == "budget" and not denials) or (lends and not role):
                continue
            if event.type in ("failure", "budget"):
                if is_unrecorded(event.data["error"]):
                    continue
            elif event.type not in _VALUES:
                continue
            if "first" in event.data:
                self._deposit(event, role)
            else:
                self._by_key[event.key] = event
                if event.type in _VALUES:
                    wanted = (event.type, role, bank_hash(event.data["request"]))
                    self._by_request.setdefault(wanted, event)
        for samples in self._samples.values():
            samples.sort(key=lambda sample: (_natural(sample.site), sample.index))

    def _deposit(self, event: Event, role: str) -> None:
        site, first = event.key.rpartition("[")[0], int(event.data["first"])
        wanted = (role, bank_hash(event.data["request"]))
        for offset in range(int(event.data["count"])):
            sample = Sample(site, first + offset, event, offset)
            self._samples.setdefault(wanted, []).append(sample)
            self._places[site, first + offset] = sample

    def __bool__(self) -> bool:
        return bool(self._by_key or self._places)

    def mark(self, site: str, index: int, count: int) -> None:
        """Notes samples as handed out, by an earlier session of the replay."""
        self._taken.update((site, index + offset) for offset in range(count))

    def denial(self, key: str) -> Event | None:
        """A recorded denial of a whole call."""
        event = self._by_key.get(key)
        return event if event is not None and event.type == "budget" else None

    def value(self, key: str, role: str, type: EventType, request: Any) -> Event | None:
        """The event recorded under the key, else under the role, for the same request."""
        if self.holds(key, request):
            return self._by_key[key]
        return self._by_request.get((type, role, bank_hash(request)))

    def holds(self, key: str, request: Any) -> bool:
        """Whether a value was recorded under this very key for the same request."""
        event = self._by_key.get(key)
        return event is not None and "request" in event.data and bank_hash(event.data["request"]) == bank_hash(request)

    def knows(self, site: str, role: str, request: Mapping[str, Any], n: int) -> bool:
        """Whether the recorded run made this very call, for n samples or more."""
        found = self._samples.get((role, bank_hash(request)), ())
        return sum(sample.site == site for sample in found) >= n

    def draw(self, site: str, role: str, request: Mapping[str, Any], first: int, count: int) -> list[Drawn]:
        """What there is for samples ``first`` to ``first + count - 1``, in index order; missing ones are left out.

        A recorded failure is handed out at its own place only."""
        least = int(request.get("logprobs", 0))
        usable = [item for item in self._samples.get((role, bank_hash(request)), ()) if item.logprobs >= least]
        own = {item.index: item for item in usable if item.site == site}
        found: dict[int, Sample] = {}
        for index in range(first, first + count):
            sample = own.get(index)
            if sample is not None and (site, index) not in self._taken:
                found[index] = sample
                self._taken.add((site, index))
        others = iter([item for item in usable if item.came_out and (item.site, item.index) not in self._taken])
        for index in range(first, first + count):
            if index not in found and (sample := next(others, None)) is not None:
                found[index] = sample
                self._taken.add((sample.site, sample.index))
        return [_drawn(stretch, least) for stretch in _stretches(found)]


def _natural(text: str) -> tuple[tuple[int, str], ...]:
    """A sort key that puts ``s2`` before ``s10``."""
    return tuple((int(part), "") if part.isdecimal() else (-1, part) for part in _NUMBER.split(text))


def _stretches(found: Mapping[int, Sample]) -> list[list[tuple[int, Sample]]]:
    """Neighbours that come from neighbouring choices of one exchange, together."""
    rows: list[list[tuple[int, Sample]]] = []
    for index, sample in sorted(found.items(), key=lambda pair: pair[0]):
        if rows:
            before, last = rows[-1][-1]
            if before + 1 == index and last.exchange is sample.exchange and last.offset + 1 == sample.offset:
                rows[-1].append((index, sample))
                continue
        rows.append([(index, sample)])
    return rows


def _drawn(stretch: list[tuple[int, Sample]], logprobs: int) -> Drawn:
    (first, sample), count = stretch[0], len(stretch)
    exchange, source = sample.exchange, (sample.site, sample.index)
    if not sample.came_out:
        return Drawn(first, count, exchange.type, {"error": exchange.data["error"]}, source)
    value = exchange.data["value"]
    completions = value["completions"][sample.offset : sample.offset + count]
    if sample.logprobs > logprobs:
        completions = [_with_fewer_logprobs(item, logprobs) for item in completions]
    usage = value["usage"]
    if count < int(exchange.data["count"]):
        usage = {
            **usage,
            "calls": count,
            "requests": 1,
            "completion_tokens": sum(item["tokens"] for item in completions),
        }
    return Drawn(first, count, "call", {"value": {**value, "completions": completions, "usage": usage}}, source)


def _with_fewer_logprobs(completion: Mapping[str, Any], wanted: int) -> dict[str, Any]:
    """The completion as a request for fewer log-probabilities would have brought it."""
    kept = {name: value for name, value in completion.items() if name != "logprobs"}
    rows = completion.get("logprobs")
    if wanted and rows is not None:
        kept["logprobs"] = {name: value for name, value in rows.items() if name != "top"}
        if wanted > 1 and "top" in rows:
            kept["logprobs"]["top"] = [row[:wanted] for row in rows["top"]]
    return kept
