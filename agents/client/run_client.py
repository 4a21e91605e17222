"""A chat client inside a run: Journaled does trace, cache, record, replay and resume; Metered beside it the account."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from phronesis.agents.client.metered import Metered
from phronesis.core.budget import Account
from phronesis.core.chat import Batch, ChatRequest, Completion, LabelProbabilities, Reply, Usage, with_seed
from phronesis.core.effects import Effects, chunk_key, gaps
from phronesis.core.errors import BudgetExhausted, ModelError, NotRecorded
from phronesis.core.recording import Recording
from phronesis.core.reward import RewardRequest, Rewards
from phronesis.core.seeds import derive
from phronesis.core.side_by_side import side_by_side
from phronesis.core.site import Site

T = TypeVar("T")


@dataclass(frozen=True, slots=True, order=True)
class Chunk:
    """The samples ``first`` to ``first + count - 1`` of a call: one exchange."""

    first: int
    count: int
    lacking: bool = False
    """A replay that has no reply for them and may not ask."""
    level: int = 0
    """Step of the task's depth that the call is."""


class Journaled:
    """The ChatClient of one role in one task."""

    def __init__(
        self, metered: Metered, effects: Effects, *, seed: int, task: str, recording: Recording | None = None
    ) -> None:
        """``recording``: what a replay draws from before, and mostly instead of, asking the endpoint."""
        self._metered = metered
        self._recording = recording
        self._effects = effects
        self._seed = seed
        self._task = task
        self._asking = asyncio.Lock()
        self._tool_calls: dict[str, bool] = {}

    async def sample(self, request: ChatRequest, n: int, *, site: Site) -> tuple[Reply, ...]:
        """n replies in index order. A failed exchange fails its own samples only.

        Raises BudgetExhausted before anything is sent, or when no exchange ended in time."""
        if n == 0:
            return ()
        held = await self._admit(request, n, site, replayed=self._made_before(request, n, site))
        level = site.branch.account.level
        if self._effects.bank is not None:
            self._effects.bring_samples(
                site.key, site.role, request.to_json(), n, lambda first: self._seed_at(first, site), level=level
            )
        for first, count in self._effects.spans(site.key):
            self._effects.check(chunk_key(site.key, first, count), self._seeded(request, first, site).to_json())
        chunks = [replace(chunk, level=level) for chunk in await self._plan(request, n, site)]
        share = held // max(1, len(chunks))
        if len(chunks) == 1:
            parts = [await self._chunk(request, chunks[0], site, held)]
        else:
            parts = await side_by_side([self._chunk(request, chunk, site, share) for chunk in chunks])
            site.branch.account.release(held - share * len(chunks))
        replies = tuple(reply for part in parts for reply in part)
        if all(isinstance(reply, BudgetExhausted) for reply in replies):
            raise replies[0]  # type: ignore[misc]  # every element was just checked
        return tuple(_in_time(reply) for reply in replies)

    async def label_probabilities(
        self, request: ChatRequest, labels: Sequence[str], *, site: Site
    ) -> LabelProbabilities:
        """One call, one step of depth."""
        return await self._one(
            f"{site.key}?",
            {**request.to_json(), "labels": list(labels)},
            lambda: self._metered.endpoint.label_probabilities(request, labels),
            request,
            site,
            encode=LabelProbabilities.to_json,
            decode=LabelProbabilities.from_json,
        )

    async def reward(self, request: RewardRequest, *, site: Site) -> Rewards:
        """One call, one step of depth."""
        return await self._one(
            f"{site.key}~",
            request.to_json(),
            lambda: self._metered.endpoint.reward(request),
            request,
            site,
            encode=lambda rows: {"rows": rows},
            decode=lambda data: tuple(tuple(float(value) for value in row) for row in data["rows"]),
        )

    async def _one(
        self,
        key: str,
        wanted: Mapping[str, Any],
        make: Callable[[], Awaitable[tuple[T, Batch]]],
        request: ChatRequest | RewardRequest,
        site: Site,
        *,
        encode: Callable[[T], dict[str, Any]],
        decode: Callable[[Mapping[str, Any]], T],
    ) -> T:
        """The value of one call that is no sample, journalled under the key. Raises ModelError or BudgetExhausted."""
        bank, before = self._effects.bank, self._effects.has(key, wanted)
        before = before or bool(bank and self._same_budget and bank.holds(key, wanted))
        held = await self._admit(request, 1, site, replayed=before)
        note = {"role": site.role, "level": site.branch.account.level}
        self._effects.bring(key, wanted, type="call", note=note)
        recorded = self._effects.has(key, wanted)

        async def ask() -> tuple[T, Batch]:
            if not recorded and self._allowed(1) == 0:
                raise self._missing(1, site, held)

            async def work() -> tuple[tuple[T, Batch], Batch]:
                found, batch = await make()
                return (found, batch), batch

            return await self._metered.paid(site, 1, held, work)

        try:
            found, batch = await self._effects.effect(
                key,
                wanted,
                ask,
                type="call",
                encode=lambda pair: {**encode(pair[0]), "usage": pair[1].usage.to_json(), "latency": pair[1].latency},
                decode=lambda data: (decode(data), Batch(completions=(), usage=Usage.from_json(data["usage"]))),
                note=note,
            )
        except (ModelError, BudgetExhausted) as error:
            if recorded:
                self._replay_failure(site, 1, held, error)
            raise
        if recorded:
            self._replay(site, held, batch.usage)
        return found

    @property
    def model(self) -> str:
        """The model's name as far as it is known."""
        return self._metered.endpoint.model

    async def tokens(self, text: str) -> int:
        """As the endpoint counts; a replay asks nobody and estimates."""
        return round(len(text) / 3.5) if self._recording is not None else await self._metered.endpoint.tokens(text)

    async def tool_calls(self, *, site: Site) -> bool:
        """As the endpoint was when the task first asked, journalled once per role. A replay that may not call and whose
        recording does not say it raises NotRecorded."""
        async with self._asking:
            if site.role not in self._tool_calls:
                self._tool_calls[site.role] = await self._pinned_tool_calls(site)
        return self._tool_calls[site.role]

    async def _pinned_tool_calls(self, site: Site) -> bool:
        key, wanted, note = f"tool_calls#{site.role}", {"capability": "tool_calls"}, {"role": site.role}
        self._effects.bring(key, wanted, type="effect", note=note)
        parsed = False
        if not self._effects.has(key, wanted):
            if self._recording is not None and self._recording.allowance.left < 1:
                raise self._recording.missing(1, f"the tool calls of {site.role}")
            parsed = await self._metered.endpoint.tool_calls()

        async def found() -> bool:
            return parsed

        return await self._effects.effect(key, wanted, found, note=note)

    def _made_before(self, request: ChatRequest, n: int, site: Site) -> bool:
        """Whether the call was admitted once, under the same budget: in this run or in the recorded one."""
        if self._effects.spans(site.key):
            return True
        bank = self._effects.bank
        return bool(bank and self._same_budget and bank.knows(site.key, site.role, request.to_json(), n))

    @property
    def _same_budget(self) -> bool:
        """Whether what the recorded run was allowed is allowed to its replay."""
        return self._recording is not None and self._recording.denials

    async def _admit(self, request: ChatRequest | RewardRequest, n: int, site: Site, *, replayed: bool) -> int:
        """Reserves n calls; the answer of limits that depend on the clock or on arrival order is journalled."""
        account = site.branch.account
        key = f"{site.key}!"
        if replayed:
            return account.readmit(n)
        self._effects.bring_denial(key)
        if self._effects.has(key):
            limit = str(self._effects.recorded_error(key).details["limit"])
            raise account.deny(limit)
        prompt = sum(len(message.content) for message in request.messages) // 4
        try:
            return account.reserve(n, prompt_tokens=prompt, max_tokens=request.max_tokens)
        except BudgetExhausted as error:
            self._effects.record_error(key, error)
            raise

    def _seed_at(self, first: int, site: Site) -> int:
        return derive(self._seed, self._task, site.key, first)

    def _seeded(self, request: ChatRequest, first: int, site: Site) -> ChatRequest:
        return with_seed(request, self._seed_at(first, site))

    async def _plan(self, request: ChatRequest, n: int, site: Site) -> list[Chunk]:
        """The exchanges: the journalled ones as they were, the gaps cut as the endpoint asks."""
        recorded = self._effects.spans(site.key)
        plan = [Chunk(first, count) for first, count in recorded if first < n]
        for first, missing in gaps(recorded, n):
            at, allowed = first, self._allowed(missing)
            for size in await self._metered.endpoint.chunks(allowed, request) if allowed else ():
                plan.append(Chunk(at, size))
                at += size
            if allowed < missing:
                plan.append(Chunk(at, missing - allowed, lacking=True))
        return sorted(plan)

    def _allowed(self, calls: int) -> int:
        """How many of the calls that nobody recorded may be made: in a replay those of its allowance, else all."""
        return calls if self._recording is None else self._recording.allowance.take(calls)

    def _missing(self, calls: int, site: Site, held: int) -> NotRecorded:
        assert self._recording is not None
        site.branch.account.release(held)
        return self._recording.missing(calls, f"{site.role} at {site.branch.path or 'the task'}")

    async def _chunk(
        self, request: ChatRequest, chunk: Chunk, site: Site, held: int
    ) -> tuple[Completion | ModelError | BudgetExhausted, ...]:
        first, count = chunk.first, chunk.count
        key = chunk_key(site.key, first, count)
        seeded = self._seeded(request, first, site)
        wanted = seeded.to_json()
        recorded = self._effects.has(key, wanted)

        async def ask() -> Batch:
            if chunk.lacking:
                raise self._missing(count, site, held)

            async def work() -> tuple[Batch, Batch]:
                batch = await self._metered.endpoint.complete(seeded, count)
                return batch, batch

            return await self._metered.paid(site, count, held, work)

        try:
            batch = await self._effects.effect(
                key,
                wanted,
                ask,
                type="call",
                encode=_batch_to_json,
                decode=_batch_from_json,
                note={"role": site.role, "first": first, "count": count, "level": chunk.level},
            )
        except (ModelError, BudgetExhausted) as error:
            if recorded:
                self._replay_failure(site, count, held, error)
            return (error,) * count
        if recorded:
            self._replay(site, held, batch.usage)
        return batch.completions

    def _replay(self, site: Site, held: int, usage: Usage) -> None:
        site.branch.account.release(held)
        site.branch.account.book(site.role, usage)

    def _replay_failure(self, site: Site, calls: int, held: int, error: ModelError | BudgetExhausted) -> None:
        account: Account = site.branch.account
        account.release(held)
        if isinstance(error, NotRecorded):
            return
        if isinstance(error, BudgetExhausted):
            account.deny(str(error.details["limit"]))
            self._metered.book_failure(site, calls, {})
        else:
            self._metered.book_failure(site, calls, error.details)


def _batch_to_json(batch: Batch) -> dict[str, Any]:
    return {
        "completions": [completion.to_json() for completion in batch.completions],
        "usage": batch.usage.to_json(),
        "latency": round(batch.latency, 4),
    }


def _batch_from_json(data: dict[str, Any]) -> Batch:
    return Batch(
        completions=tuple(Completion.from_json(item) for item in data["completions"]),
        usage=Usage.from_json(data["usage"]),
        latency=data["latency"],
    )


def _in_time(reply: Completion | ModelError | BudgetExhausted) -> Reply:
    if isinstance(reply, BudgetExhausted):
        late = ModelError(f"stopped by the budget: {reply.message}")
        late.details.update(reply.details)
        return late
    return reply
