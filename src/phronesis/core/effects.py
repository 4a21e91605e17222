"""The one door for everything nondeterministic that a run sees: replies, recall hits, tool results, denials.

``effect`` journals a value before anybody sees it and, on resume, hands out the journalled value instead of making it
again. The key names the place in the run; the hash of the request stands beside it and is checked, so a journal never
answers a question it was not asked.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from itertools import takewhile
from typing import Any, Literal, TypeVar

from phronesis.core.bank import Bank, unrecorded
from phronesis.core.chat import request_hash
from phronesis.core.errors import ConceptStoreError, OutcomeUnknown, PhronesisError, ReplayDiverged, ToolError, revive
from phronesis.core.events import Event, EventType
from phronesis.core.journal import Journal

T = TypeVar("T")
EffectType = Literal["call", "effect", "recall", "write"]
_EFFECTS: frozenset[str] = frozenset({"call", "effect", "recall", "write"})


class Effects:
    """The effects of one task."""

    def __init__(
        self,
        journal: Journal,
        task: str,
        *,
        elapsed: Callable[[], float] = lambda: 0.0,
        bank: Bank | None = None,
    ) -> None:
        """``bank``: the recording a replay draws from. What it serves is journalled here and then found as on resume."""
        self._journal = journal
        self._task = task
        self._elapsed = elapsed
        self._recorded: dict[str, Event] = {}
        self._intents: set[str] = set()
        self._used: set[str] = set()
        self._spans: dict[str, set[tuple[int, int]]] = {}
        self._before_retry: set[str] = set()
        self.bank = bank
        self.seconds_before = 0.0
        for event in journal.recorded.of(task):
            self._recover(event)

    def _recover(self, event: Event) -> None:
        self.seconds_before = max(self.seconds_before, event.elapsed)
        if event.type == "intent":
            self._intents.add(event.key)
        elif event.type == "retry":
            self._before_retry = set(self._recorded)
            self.seconds_before = 0.0
        elif event.type in _EFFECTS or event.type in ("failure", "budget"):
            self._before_retry.discard(event.key)
            self._take_in(event)
            if self.bank is not None and "drawn" in event.data:
                site, index = event.data["drawn"]
                self.bank.mark(site, index, int(event.data["count"]))

    def _take_in(self, event: Event) -> None:
        self._recorded[event.key] = event
        if "first" in event.data:
            span = (int(event.data["first"]), int(event.data["count"]))
            self._spans.setdefault(event.key.rpartition("[")[0], set()).add(span)

    def watch(self, elapsed: Callable[[], float]) -> None:
        """Sets the clock whose reading goes beside each event."""
        self._elapsed = elapsed

    def spans(self, base: str) -> list[tuple[int, int]]:
        """(first, count) of the chunks of a sampled call that earlier sessions journalled, in index order."""
        return sorted(self._spans.get(base, ()))

    def begun(self, bases: Sequence[str]) -> list[str]:
        """Those of the sampled calls of which earlier sessions journalled something, in the order they did."""
        return [base for base in self._spans if base in bases]

    def has(self, key: str, request: Any = None) -> bool:
        """Whether a value or a failure is journalled under the key. What was recorded before a retry counts for the same
        request only; elsewhere another request diverges."""
        event = self._recorded.get(key)
        if event is not None and request is not None and key in self._before_retry:
            return bool(event.data["hash"] == request_hash(request))
        return event is not None

    def check(self, key: str, request: Any) -> None:
        """Raises ReplayDiverged when the journal holds another request under the key."""
        if self.has(key, request):
            self._same_request(key, self._recorded[key], request)

    def recorded_error(self, key: str) -> PhronesisError:
        """The journalled failure under the key."""
        return revive(self._recorded[key].data["error"])

    def record_error(self, key: str, error: PhronesisError) -> None:
        """Journals a denial or failure that no request stands behind."""
        self._append("budget" if "limit" in error.details else "failure", key, {"error": error.to_json()})

    def bring_denial(self, key: str) -> None:
        """Takes a denial over from the bank."""
        event = None if self.bank is None or self.has(key) else self.bank.denial(key)
        if event is not None:
            self._append("budget", key, {"error": event.data["error"], "replayed": True})

    def bring(self, key: str, request: Any, *, type: EffectType, note: Mapping[str, Any] | None = None) -> None:
        """Takes a value or failure over from the bank, unless the journal has one."""
        role = str((note or {}).get("role", ""))
        event = None if self.bank is None or self.has(key) else self.bank.value(key, role, type, request)
        if event is not None:
            said = {name: event.data[name] for name in ("value", "error") if name in event.data}
            heading = {**(note or {}), "hash": request_hash(request), "request": request}
            self._append(event.type, key, {**heading, **said, "replayed": True})

    def bring_samples(
        self,
        site: str,
        role: str,
        request: Mapping[str, Any],
        n: int,
        seed: Callable[[int], int],
        *,
        level: int = 0,
    ) -> None:
        """Takes what there is of n samples over from the bank, where the journal has gaps.

        ``seed``: the seed this run would have sent with an exchange that begins with the sample of that index; ``level``:
        the step of the task's depth that the call is."""
        if self.bank is None:
            return
        for first, count in gaps(self.spans(site), n):
            for drawn in self.bank.draw(site, role, request, first, count):
                seeded = {**request, "seed": seed(drawn.first)}
                heading = {"role": role, "first": drawn.first, "count": drawn.count, "level": level}
                heading |= {"hash": request_hash(seeded), "request": seeded, "drawn": list(drawn.source)}
                key = chunk_key(site, drawn.first, drawn.count)
                self._append(drawn.type, key, {**heading, **drawn.data, "replayed": True})

    async def effect(
        self,
        key: str,
        request: Any,
        do: Callable[[], Awaitable[T]],
        *,
        type: EffectType = "effect",
        encode: Callable[[T], Any] = lambda value: value,
        decode: Callable[[Any], T] = lambda value: value,
        note: Mapping[str, Any] | None = None,
        impure: bool = False,
    ) -> T:
        """The value under ``key``: the journalled one, or what ``do`` makes, journalled before it is returned.

        Errors marked ``recorded`` are journalled and raised again on replay; others pass through and leave no trace.
        ``impure`` work announces itself first: found announced but unfinished, it is refused, never silently repeated.
        Raises ReplayDiverged when the journal holds another request under the key."""
        assert key not in self._used, f"two effects of one run share the key {key!r}"
        self._used.add(key)
        if "first" not in (note or {}):
            self.bring(key, request, type=type, note=note)
        event = self._recorded[key] if self.has(key, request) else None
        if event is not None:
            self._same_request(key, event, request)
            if event.type in ("failure", "budget"):
                raise revive(event.data["error"])
            return decode(event.data["value"])
        heading = {**(note or {}), "hash": request_hash(request), "request": request}
        if self.replays and impure:
            missing = unrecorded(ToolError, f"result of {key!r}, and a replay does not run it")
            self._append("failure", key, {**heading, "error": missing.to_json()})
            raise missing
        if self.replays and type == "write":
            raise ConceptStoreError(f"a replay writes no memory: {key!r} is left out")
        if impure:
            if key in self._intents:
                raise OutcomeUnknown(
                    f"{key!r} was started before the run was stopped and its outcome is unknown",
                    mend="check what it did, then start a new run",
                )
            self._append("intent", key, {"request": request})
        try:
            value = await do()
        except PhronesisError as error:
            if error.recorded:
                kind: EventType = "budget" if "limit" in error.details else "failure"
                self._append(kind, key, {**heading, "error": error.to_json()})
            raise
        self._append(type, key, {**heading, "value": encode(value)})
        return value

    @property
    def replays(self) -> bool:
        """Whether this is a replay, which changes nothing outside its own run: it searches, calls and asks nobody."""
        return self.bank is not None and not self.bank.lends

    def note(self, type: EventType, key: str, data: Mapping[str, Any]) -> None:
        """Journals something that follows from effects: a decision, a score, a vote."""
        self._journal.note(Event(type, self._task, key, data, self._elapsed()))

    def _append(self, type: EventType, key: str, data: Mapping[str, Any]) -> None:
        event = Event(type, self._task, key, data, self._elapsed())
        self._journal.append(event)
        if type != "intent":
            self._before_retry.discard(key)
            self._take_in(event)

    def _same_request(self, key: str, event: Event, request: Any) -> None:
        if "request" not in event.data:
            raise ReplayDiverged(f"the journal was written without texts, so {key!r} cannot be replayed")
        if event.data["hash"] == request_hash(request):
            return
        where = first_difference(event.data["request"], request)
        raise ReplayDiverged(
            f"the journal holds another request under {key!r}: {where}",
            mend="the recipe, the prompts or the version changed since the run; start a new run",
        )


def gaps(spans: Sequence[tuple[int, int]], n: int) -> list[tuple[int, int]]:
    """(first, count) of what the spans, which are in order and apart, leave out of 0 .. n - 1."""
    found, at = [], 0
    for first, count in [*spans, (n, 0)]:
        if first > at:
            found.append((at, min(first, n) - at))
        at = max(at, first + count)
    return [(first, count) for first, count in found if count > 0]


def chunk_key(base: str, first: int, count: int) -> str:
    """Key of samples ``first`` to ``first + count - 1`` of a call."""
    return f"{base}[{first}:{first + count}]"


def first_difference(recorded: Any, wanted: Any, path: str = "request") -> str:
    """Where two JSON values first differ, in words, each side cut to 60 characters around it."""
    if isinstance(recorded, Mapping) and isinstance(wanted, Mapping):
        for name in sorted({*recorded, *wanted}, key=str):
            if recorded.get(name) != wanted.get(name):
                return first_difference(recorded.get(name), wanted.get(name), f"{path}.{name}")
    if isinstance(recorded, (list, tuple)) and isinstance(wanted, (list, tuple)):
        for index, (left, right) in enumerate(zip(recorded, wanted, strict=False)):
            if left != right:
                return first_difference(left, right, f"{path}[{index}]")
        at = min(len(recorded), len(wanted))
        if len(recorded) != len(wanted):
            left, right = (side[at] if len(side) > at else None for side in (recorded, wanted))
            return first_difference(left, right, f"{path}[{at}]")
    start = 0
    if isinstance(recorded, str) and isinstance(wanted, str):
        same = takewhile(lambda pair: pair[0] == pair[1], zip(recorded, wanted, strict=False))
        start = max(0, sum(1 for _ in same) - 20)
    return f"{path} was {_short(recorded, start)} and is now {_short(wanted, start)}"


def _short(value: Any, start: int) -> str:
    """The value, or 60 characters of it from ``start`` on."""
    if isinstance(value, str) and start:
        return f"...{value[start : start + 60]!r}"
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
