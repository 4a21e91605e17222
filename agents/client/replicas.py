"""Several servers of one model behind one endpoint: a request goes to the least loaded, and past one that is down.

Which replica answered leaves no trace in requests, seeds or journals. What a run may ask for is what all of them can do.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace

from phronesis.agents.client.endpoint import Endpoint
from phronesis.agents.client.labels import label_probabilities
from phronesis.agents.client.profile import OF_REWARDS, Capability, Profile, weakest
from phronesis.agents.client.retry import RetryRule, one_batch
from phronesis.agents.client.thinking import think_within
from phronesis.core.chat import Batch, ChatRequest, LabelProbabilities
from phronesis.core.errors import ConfigurationError, ModelError, RateLimited, Retryable, ServerFailed, TimedOut
from phronesis.core.ports import Observer
from phronesis.core.reward import RewardRequest, Rewards
from phronesis.core.side_by_side import side_by_side

_STRIKES = 3
"""Failures in a row after which a replica is left alone; one that refuses the connection is at once."""


@dataclass
class _Health:
    """How a replica has been lately."""

    failures: int = 0
    down_until: float = 0.0

    def failed(self, error: Retryable, now: float, rest: float) -> None:
        if isinstance(error, RateLimited):
            return
        self.failures += 1
        if error.details.get("refused") or self.failures >= _STRIKES:
            self.down_until = now + rest

    def answered(self) -> None:
        self.failures, self.down_until = 0, 0.0


class _Queue:
    """Those that wait until some replica has room, first come first served: who waits is not bound to a slow one."""

    def __init__(self, full: Callable[[], bool]) -> None:
        self._full = full
        self._inside = 0
        self._waiting: deque[asyncio.Future[None]] = deque()

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Waits for room. Nobody waits while nothing of ours is on its way, for nobody would be told."""
        waited = False
        while self._inside and (self._full() or (self._waiting and not waited)):
            place: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            (self._waiting.appendleft if waited else self._waiting.append)(place)
            try:
                await place
            except asyncio.CancelledError:
                if place in self._waiting:
                    self._waiting.remove(place)
                else:
                    self._call(1)
                raise
            waited = True
        self._inside += 1
        try:
            yield
        finally:
            self._inside -= 1
            self._call(2)

    def _call(self, count: int) -> None:
        """Wakes that many: one for the place given back, one for a place that a growing limit may have added."""
        for _ in range(count):
            while self._waiting:
                place = self._waiting.popleft()
                if not place.done():
                    place.set_result(None)
                    break


@dataclass(kw_only=True)
class Replicas:
    """A ChatEndpoint over several, for one event loop. All must serve the model by the same name, and be up at the start."""

    endpoints: Sequence[Endpoint]
    """In the order that decides between equally loaded ones; two at least, each with its own address."""
    retry: RetryRule = field(default_factory=RetryRule)
    """For a request that every replica failed once."""
    rest: float = 15.0
    """Seconds for which a replica that is down is left alone, unless all of them are."""
    clock: Callable[[], float] = time.monotonic
    _profile: Profile | None = field(default=None, repr=False)
    _health: dict[str, _Health] = field(init=False, repr=False)
    _queue: _Queue = field(init=False, repr=False)

    def __post_init__(self) -> None:
        """Raises ConfigurationError for an address that is named twice."""
        addresses = [endpoint.base_url for endpoint in self.endpoints]
        for address in addresses:
            if addresses.count(address) > 1:
                raise ConfigurationError(f"the address {address} is named twice", mend="name each replica once")
        self._health = {address: _Health() for address in addresses}
        self._queue = _Queue(lambda: self._choose(self.endpoints).load >= 1.0)

    @property
    def model(self) -> str:
        """The model's name as far as it is known."""
        return self.endpoints[0].model

    @property
    def stale(self) -> bool:
        """Whether one of them is no longer what it was when it was asked."""
        return any(endpoint.stale for endpoint in self.endpoints)

    async def profile(self) -> Profile:
        """What every replica can do. Raises EndpointUnreachable that names one that is down or serves another model."""
        if self._profile is None:
            first, *others = self.endpoints
            name = (await first.profile()).model
            for endpoint in others:
                endpoint.wanted_model = name or endpoint.wanted_model
            profiles = await side_by_side([endpoint.profile() for endpoint in self.endpoints])
            common = weakest(profiles)
            for endpoint in self.endpoints:
                endpoint.narrow(common)
            self._profile = common
        return self._profile

    async def require(self, capabilities: Sequence[Capability], *, who: str) -> None:
        """Raises CapabilityMissing that names the replica which lacks one."""
        if not capabilities or not OF_REWARDS.issuperset(capabilities):
            await self.profile()
        await side_by_side([endpoint.require(capabilities, who=who) for endpoint in self.endpoints])

    async def chunks(self, n: int, request: ChatRequest) -> tuple[int, ...]:
        """n cut into requests that each of the replicas serves."""
        await self.profile()
        most = min(await side_by_side([endpoint.most_choices(n, request) for endpoint in self.endpoints]))
        full, rest = divmod(n, most)
        return (most,) * full + ((rest,) if rest else ())

    async def complete(self, request: ChatRequest, n: int) -> Batch:
        """One exchange with n choices, with whichever replica has room; tried again as the retry rule says.

        Raises as ``Endpoint.complete`` does; ServerFailed when none answers."""
        return await self._complete(request, n, None)

    async def complete_streamed(self, request: ChatRequest, observer: Observer) -> Batch:
        """One completion, shown to the observer while it comes; otherwise as ``complete``."""
        return await self._complete(request, 1, observer)

    async def _complete(self, request: ChatRequest, n: int, observer: Observer | None) -> Batch:
        profile = await self.profile()

        async def plain(request: ChatRequest, n: int) -> Batch:
            async def attempt() -> Batch:
                async with self._queue.turn():
                    return await self._somewhere(lambda endpoint: endpoint.attempt(request, n, observer))

            return await one_batch(attempt, self.retry)

        limit = request.sampling.thinking_limit
        if limit is None:
            return await plain(request, n)
        profile.require("prefill", who=f"thinking_tokens = {limit}", url=self._addresses)
        return await think_within(plain, request, n, tokens=limit)

    async def label_probabilities(
        self, request: ChatRequest, labels: Sequence[str]
    ) -> tuple[LabelProbabilities, Batch]:
        """See ``labels.label_probabilities``; needs logprobs."""
        profile = await self.profile()
        profile.require("logprobs", who="label_probabilities", url=self._addresses)
        return await label_probabilities(self.complete, request, labels, most=profile.logprobs)

    async def reward(self, request: RewardRequest) -> tuple[Rewards, Batch]:
        """As ``Endpoint.reward``; a replica that keeps failing passes the request on."""
        rows: Rewards = ()

        async def ask(endpoint: Endpoint) -> Batch:
            nonlocal rows
            rows, batch = await endpoint.reward(request)
            return batch

        batch = await self._somewhere(ask)
        return rows, batch

    async def stream(self, request: ChatRequest) -> AsyncIterator[str]:
        """The reply of the least loaded replica, piece by piece. Raises ServerFailed when the stream is cut."""
        await self.profile()
        async for piece in self._choose(self.endpoints).stream(request):
            yield piece

    async def tokens(self, text: str) -> int:
        """Length in tokens, by whichever replica has room; an estimate where it cannot tell."""
        await self.profile()
        return await self._choose(self.endpoints).tokens(text)

    async def tool_calls(self) -> bool:
        """Whether every replica gives calls of tools back parsed."""
        await self.profile()
        return all(await side_by_side([endpoint.tool_calls() for endpoint in self.endpoints]))

    @property
    def _addresses(self) -> str:
        return ", ".join(endpoint.base_url for endpoint in self.endpoints)

    def _choose(self, among: Sequence[Endpoint]) -> Endpoint:
        """The least loaded one that is up; when all are down, the one that has been so for longest."""
        if up := self._up(among):
            return min(up, key=lambda endpoint: endpoint.load)
        return min(among, key=lambda endpoint: self._health[endpoint.base_url].down_until)

    def _up(self, among: Sequence[Endpoint]) -> list[Endpoint]:
        now = self.clock()
        return [endpoint for endpoint in among if self._health[endpoint.base_url].down_until <= now]

    async def _somewhere(self, work: Callable[[Endpoint], Awaitable[Batch]]) -> Batch:
        """The first replica's reply; each is asked once. One that is down is asked only when all of them are.

        A time-out is not passed on: the next one would most likely take as long."""
        left = self._up(self.endpoints) or list(self.endpoints)
        requests = 0
        while True:
            endpoint = self._choose(left)
            left.remove(endpoint)
            health = self._health[endpoint.base_url]
            try:
                batch = await work(endpoint)
            except ModelError as error:
                requests += int(error.details.get("requests", 1))
                error.details["requests"] = requests
                if isinstance(error, Retryable):
                    health.failed(error, self.clock(), self.rest)
                if not left and error.details.get("refused") and not self._up(self.endpoints):
                    raise ServerFailed(f"none of {self._addresses} answers: {error.message}", **error.details) from None
                if not left or isinstance(error, TimedOut) or not isinstance(error, Retryable):
                    raise
            else:
                health.answered()
                return replace(batch, usage=replace(batch.usage, requests=requests + batch.usage.requests))
