"""A chat client inside a run: Metered does the account, Journaled does trace, cache, record, replay and resume."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import Any, TypeVar

from phronesis.core.budget import Account
from phronesis.core.chat import Batch, ChatRequest, Completion, LabelProbabilities, Reply, Usage, with_seed
from phronesis.core.effects import Effects, chunk_key
from phronesis.core.errors import BudgetExhausted, ModelError
from phronesis.core.ports import ChatEndpoint
from phronesis.core.seeds import derive
from phronesis.core.side_by_side import side_by_side
from phronesis.core.site import Site

T = TypeVar("T")


class Metered:
    """Books calls before they are made and what they cost afterwards; ends them when the seconds are used up."""

    def __init__(self, endpoint: ChatEndpoint) -> None:
        self.endpoint = endpoint

    async def paid(self, site: Site, calls: int, held: int, work: Callable[[], Awaitable[tuple[T, Batch]]]) -> T:
        """The value of ``work``, its usage booked. Raises BudgetExhausted when the time is up before it ends."""
        account = site.branch.account
        left = account.seconds_left
        try:
            async with asyncio.timeout(None if left is None else max(left, 0.0)):
                value, batch = await work()
        except TimeoutError:
            self.book_failure(site, calls, {})
            raise account.deny("seconds") from None
        except ModelError as error:
            self.book_failure(site, calls, error.details)
            raise
        finally:
            account.release(held)
        account.book(site.role, batch.usage)
        return value

    @staticmethod
    def book_failure(site: Site, calls: int, details: dict[str, Any]) -> None:
        """A failed call is counted apart: it was tried and brought nothing."""
        spent = Usage(failed_calls=calls, requests=int(details.get("requests", 0)))
        site.branch.account.book(site.role, replace(Usage.from_json(details.get("paid", {})), calls=0) + spent)


class Journaled:
    """The ChatClient of one role in one task."""

    def __init__(self, metered: Metered, effects: Effects, *, seed: int, task: str) -> None:
        self._metered = metered
        self._effects = effects
        self._seed = seed
        self._task = task

    async def sample(self, request: ChatRequest, n: int, *, site: Site) -> tuple[Reply, ...]:
        """n replies in index order. A failed exchange fails its own samples only.

        Raises BudgetExhausted before anything is sent, or when no exchange ended in time."""
        if n == 0:
            return ()
        recorded = self._effects.spans(site.key)
        held = await self._admit(request, n, site, replayed=bool(recorded))
        chunks = await self._plan(request, n, recorded)
        share = held // max(1, len(chunks))
        if len(chunks) == 1:
            parts = [await self._chunk(request, *chunks[0], site, held)]
        else:
            parts = await side_by_side([self._chunk(request, first, count, site, share) for first, count in chunks])
            site.branch.account.release(held - share * len(chunks))
        replies = tuple(reply for part in parts for reply in part)
        if all(isinstance(reply, BudgetExhausted) for reply in replies):
            raise replies[0]  # type: ignore[misc]  # every element was just checked
        return tuple(_in_time(reply) for reply in replies)

    async def label_probabilities(
        self, request: ChatRequest, labels: Sequence[str], *, site: Site
    ) -> LabelProbabilities:
        """One call, one step of depth."""
        key = f"{site.key}?"
        recorded = self._effects.has(key)
        held = await self._admit(request, 1, site, replayed=recorded)
        wanted = {**request.to_json(), "labels": list(labels)}

        async def ask() -> tuple[LabelProbabilities, Batch]:
            async def work() -> tuple[tuple[LabelProbabilities, Batch], Batch]:
                found, batch = await self._metered.endpoint.label_probabilities(request, labels)
                return (found, batch), batch

            return await self._metered.paid(site, 1, held, work)

        try:
            found, batch = await self._effects.effect(
                key,
                wanted,
                ask,
                type="call",
                encode=lambda pair: {**pair[0].to_json(), "usage": pair[1].usage.to_json(), "latency": pair[1].latency},
                decode=lambda data: (
                    LabelProbabilities.from_json(data),
                    Batch(completions=(), usage=Usage.from_json(data["usage"])),
                ),
                note={"role": site.role},
            )
        except (ModelError, BudgetExhausted) as error:
            if recorded:
                self._replay_failure(site, 1, held, error)
            raise
        if recorded:
            self._replay(site, held, batch.usage)
        return found

    async def tokens(self, text: str) -> int:
        return await self._metered.endpoint.tokens(text)

    async def _admit(self, request: ChatRequest, n: int, site: Site, *, replayed: bool) -> int:
        """Reserves n calls; the answer of limits that depend on the clock or on arrival order is journalled."""
        account = site.branch.account
        key = f"{site.key}!"
        if replayed:
            return account.readmit(n)
        if self._effects.has(key):
            limit = str(self._effects.recorded_error(key).details["limit"])
            raise account.deny(limit)
        prompt = sum(len(message.content) for message in request.messages) // 4
        try:
            return account.reserve(n, prompt_tokens=prompt, max_tokens=request.sampling.max_tokens)
        except BudgetExhausted as error:
            self._effects.record_error(key, error)
            raise

    async def _plan(self, request: ChatRequest, n: int, recorded: list[tuple[int, int]]) -> list[tuple[int, int]]:
        """(first, count) of each request: the journalled ones as they were, the gaps cut as the endpoint asks."""
        plan: list[tuple[int, int]] = []
        at = 0
        for first, count in [*recorded, (n, 0)]:
            if first > at:
                for size in await self._metered.endpoint.chunks(first - at, request):
                    plan.append((at, size))
                    at += size
            if count:
                plan.append((first, count))
                at = first + count
        return plan

    async def _chunk(
        self, request: ChatRequest, first: int, count: int, site: Site, held: int
    ) -> tuple[Completion | ModelError | BudgetExhausted, ...]:
        key = chunk_key(site.key, first, count)
        recorded = self._effects.has(key)
        seeded = with_seed(request, derive(self._seed, self._task, site.key, first))

        async def ask() -> Batch:
            async def work() -> tuple[Batch, Batch]:
                batch = await self._metered.endpoint.complete(seeded, count)
                return batch, batch

            return await self._metered.paid(site, count, held, work)

        try:
            batch = await self._effects.effect(
                key,
                seeded.to_json(),
                ask,
                type="call",
                encode=_batch_to_json,
                decode=_batch_from_json,
                note={"role": site.role, "first": first, "count": count},
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
