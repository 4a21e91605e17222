"""One model at one OpenAI-compatible address: vLLM, llama.cpp or anything else that speaks the chat format."""

from __future__ import annotations

import asyncio
import time
import weakref
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import orjson

from phronesis.agents.client.adaptive import pace_of
from phronesis.agents.client.connection import Connection
from phronesis.agents.client.labels import label_probabilities
from phronesis.agents.client.limiter import Place
from phronesis.agents.client.pooling import missing_route, parse_rewards, reward_body
from phronesis.agents.client.probe import Probe, most_choices, parses_tool_calls, probe
from phronesis.agents.client.profile import OF_REWARDS, Capability, Profile, model_changed
from phronesis.agents.client.retry import one_batch
from phronesis.agents.client.reward_probe import probe_rewards
from phronesis.agents.client.streaming import Assembly
from phronesis.agents.client.thinking import think_within
from phronesis.agents.client.wire import begins_thinking, chat_body, parse_reply
from phronesis.core.chat import Batch, ChatRequest, Completion, LabelProbabilities
from phronesis.core.errors import EndpointUnreachable, ModelChanged, ModelError, Refused, Retryable, ServerFailed
from phronesis.core.http import exchange
from phronesis.core.ports import Observer
from phronesis.core.reward import RewardRequest, Rewards

_CHAT = "/v1/chat/completions"


@dataclass(kw_only=True)
class Endpoint(Connection):
    """Sends requests with retries, a limit per address, and the adaptations the server needs."""

    wanted_model: str | None = None
    """None = the first model the server lists."""
    pinned: bool = False
    """A run began with ``wanted_model``: it does not go on with another one."""
    send_seed: bool | None = None
    """Whether seeds are sent; None = as the profile says."""
    _profile: Profile | None = field(default=None, repr=False)
    _reward_profile: Profile | None = field(default=None, repr=False)
    _streams: bool = field(default=True, repr=False)
    _stream_usage: bool = field(default=True, repr=False)
    _probing: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Lock] = field(
        default_factory=weakref.WeakKeyDictionary, repr=False
    )

    @property
    def model(self) -> str:
        """The model's name as far as it is known."""
        known = self._profile or self._reward_profile
        return known.model if known else (self.wanted_model or "")

    async def profile(self) -> Profile:
        """What the endpoint can do; asked once. Raises EndpointUnreachable."""
        if self._profile is None:
            async with self._asking:
                if self._profile is None:
                    self._profile = await self._probed(probe)
        return self._profile

    async def reward_profile(self) -> Profile:
        """What a reward model's endpoint can do; asked once, apart from ``profile``, as a pooling server cannot chat.

        Raises EndpointUnreachable."""
        if self._reward_profile is None:
            async with self._asking:
                if self._reward_profile is None:
                    self._reward_profile = await self._probed(probe_rewards)
        return self._reward_profile

    async def _probed(self, probe: Probe) -> Profile:
        try:
            return await probe(self._probe_send, url=self.base_url, wanted_model=self.wanted_model)
        except Retryable as error:
            raise self._not_ready(error) from None
        except EndpointUnreachable as error:
            if self.pinned and "served" in error.details:
                raise model_changed(self.wanted_model, f"{self.base_url} serves", error.details["served"]) from None
            raise

    def _not_ready(self, error: Retryable) -> EndpointUnreachable:
        return EndpointUnreachable(
            f"{self.base_url} is not ready: {error.message}", mend="wait until it is, or read its log"
        )

    async def tool_calls(self) -> bool:
        """Whether calls of tools come back parsed; asked once, when something needs to know. Raises EndpointUnreachable."""
        profile = await self.profile()
        if profile.tool_calls is None:
            async with self._asking:
                profile = self._profile or profile
                if profile.tool_calls is None:
                    try:
                        parsed = await parses_tool_calls(self._probe_send, profile.model)
                    except Retryable as error:
                        raise self._not_ready(error) from None
                    profile = self._profile = replace(profile, tool_calls=parsed)
        return bool(profile.tool_calls)

    def narrow(self, common: Profile) -> None:
        """Uses no more than what other servers of the model can do too, so that replies do not depend on the server."""
        assert self._profile is not None
        self._profile = replace(
            self._profile,
            logprobs=common.logprobs,
            max_n=common.max_n,
            greedy_n=common.greedy_n,
            structured=common.structured,
            seed=common.seed,
        )

    @property
    def _asking(self) -> asyncio.Lock:
        """One probe at a time and loop."""
        return self._probing.setdefault(asyncio.get_running_loop(), asyncio.Lock())

    async def require(self, capabilities: Sequence[Capability], *, who: str) -> None:
        """Raises CapabilityMissing for the first one the endpoint lacks. Asks the server only what they are about."""
        if not capabilities:
            await self.profile()
        if "tool_calls" in capabilities:
            await self.tool_calls()
        for capability in capabilities:
            profile = await (self.reward_profile() if capability in OF_REWARDS else self.profile())
            profile.require(capability, who=who, url=self.base_url)

    async def chunks(self, n: int, request: ChatRequest) -> tuple[int, ...]:
        """n cut into requests: as many choices per request as the server serves, the rest in the last."""
        full, rest = divmod(n, most := await self.most_choices(n, request))
        return (most,) * full + ((rest,) if rest else ())

    async def most_choices(self, n: int, request: ChatRequest) -> int:
        """The most choices one request may ask for, as far as n of them need it to be known.

        The first n that is larger than what came before is tried with one tiny request, marked as a probe; a server that
        refuses it is asked for its limit, once. A constant of the endpoint, whichever call found it out."""
        profile = await self.profile()
        if request.sampling.thinking_limit is not None:
            return 1
        if request.sampling.temperature == 0 and not profile.greedy_n:
            return 1
        wanted = min(profile.max_n, 1 << (n - 1).bit_length() if n else 1)
        if wanted > profile.proven_n:
            async with self._asking:
                profile = await self._proven(wanted)
        return profile.max_n

    async def _proven(self, wanted: int) -> Profile:
        profile = self._profile
        assert profile is not None
        wanted = min(wanted, profile.max_n)
        if wanted > profile.proven_n:
            try:
                found = await most_choices(self._probe_send, profile.model, wanted, proven=profile.proven_n)
            except Retryable:
                found = None
            if found is not None:
                most = profile.max_n if found == wanted else found
                profile = self._profile = replace(profile, proven_n=found, max_n=most)
        return profile

    async def complete(self, request: ChatRequest, n: int) -> Batch:
        """One exchange with n choices, tried again as the retry rule says.

        Raises the last ModelError, with the number of requests it took in ``details['requests']``; CapabilityMissing,
        before anything is sent, when the server lacks what the request needs."""
        return await self._complete(request, n, None)

    async def complete_streamed(self, request: ChatRequest, observer: Observer) -> Batch:
        """One completion, shown to the observer while it comes; otherwise as ``complete``."""
        return await self._complete(request, 1, observer)

    async def _complete(self, request: ChatRequest, n: int, observer: Observer | None) -> Batch:
        async def plain(request: ChatRequest, n: int) -> Batch:
            return await one_batch(lambda: self.attempt(request, n, observer), self.retry)

        limit = request.sampling.thinking_limit
        if limit is None:
            return await plain(request, n)
        (await self.profile()).require("prefill", who=f"thinking_tokens = {limit}", url=self.base_url)
        return await think_within(plain, request, n, tokens=limit)

    async def attempt(self, request: ChatRequest, n: int, observer: Observer | None = None) -> Batch:
        """One exchange with n choices, never tried again; one choice when it is observed. Raises as ``complete`` does."""
        profile = await self.profile()
        self._check(request, profile)
        body = chat_body(request, n, profile, send_seed=self._seeded(profile))
        if request.reply_schema is not None and not profile.structured:
            del body["response_format"]
        async with self._limiter.hold() as place:
            sent = time.perf_counter()
            if observer is None or not self._streams:
                whole, requests = await self._post(_CHAT, body, place), 1
            else:
                whole, requests = await self._streamed(body, request, profile, observer, place)
            latency = time.perf_counter() - sent
            try:
                completions, usage = parse_reply(whole, n, profile, request, self.base_url)
            except ModelChanged:
                self.stale = True
                raise
            longest = max(completion.tokens for completion in completions)
            place.succeeded(pace_of(latency, prompt_tokens=usage.prompt_tokens, tokens=longest))
        if n > 1 and not profile.counts_all_choices and not all(completion.tokens for completion in completions):
            completions = await self._counted(completions)
            usage = replace(usage, completion_tokens=sum(completion.tokens for completion in completions))
        if observer is not None and not usage.completion_tokens:
            completions = await self._counted(completions)
            prompt = await self.tokens("\n".join(message.content for message in request.messages))
            usage = replace(usage, prompt_tokens=prompt, completion_tokens=completions[0].tokens)
        return Batch(completions=completions, usage=replace(usage, requests=requests), latency=latency)

    async def _counted(self, completions: Sequence[Completion]) -> tuple[Completion, ...]:
        return tuple([replace(item, tokens=item.tokens or await self.tokens(item.written)) for item in completions])

    async def _streamed(
        self, body: Mapping[str, Any], request: ChatRequest, profile: Profile, observer: Observer, place: Place
    ) -> tuple[bytes, int]:
        """The body of a whole reply, its pieces shown as they came, and the requests it took: two for the first one at a
        server that does not add the usage to a stream. A server that streams nothing is not asked to again."""
        usage = self._stream_usage
        for requests in (1, 2):
            observer.restart()
            assembly = self._assembly(request, profile)
            came = False
            options = {"stream_options": {"include_usage": True}} if usage else {}
            try:
                async for event in self._events(_CHAT, {**body, "stream": True, **options}, place):
                    came = True
                    for piece in assembly.take(event):
                        observer.piece(piece.text, thinking=piece.thinking)
            except Refused as error:
                error.details["requests"] = requests
                if not usage or error.details.get("status") not in (400, 422):
                    raise
                usage = False
            except ServerFailed as error:
                self._streams = came or bool(error.details.get("refused") or error.details.get("status"))
                raise
            else:
                self._stream_usage = usage
                return assembly.whole(), requests
        raise AssertionError("a request without stream_options is the last one")

    def _assembly(self, request: ChatRequest, profile: Profile) -> Assembly:
        echoed = request.prefill if profile.prefill == "echo" else ""
        return Assembly(self.base_url, echoed=echoed, opened=begins_thinking(request, profile))

    async def label_probabilities(
        self, request: ChatRequest, labels: Sequence[str]
    ) -> tuple[LabelProbabilities, Batch]:
        """See ``labels.label_probabilities``; needs logprobs."""
        profile = await self.profile()
        profile.require("logprobs", who="label_probabilities", url=self.base_url)
        return await label_probabilities(self.complete, request, labels, most=profile.logprobs)

    async def reward(self, request: RewardRequest) -> tuple[Rewards, Batch]:
        """What a reward model makes of a solution, and what it cost; tried again as the retry rule says.

        Raises CapabilityMissing where the server has no such route, MalformedReply for anything but what was asked for."""
        body = reward_body(request, await self.reward_profile())
        rows: Rewards = ()

        async def attempt() -> Batch:
            nonlocal rows
            async with self._limiter.hold() as place:
                reply = await self._post(request.route, body, place)
                rows, usage = parse_rewards(reply, request, self.base_url)
                place.succeeded()
            return Batch(completions=(), usage=usage)

        try:
            batch = await one_batch(attempt, self.retry)
        except ModelError as error:
            raise missing_route(error, request, self.base_url) or error from None
        return rows, batch

    async def stream(self, request: ChatRequest) -> AsyncIterator[str]:
        """The reply piece by piece, prefill and thinking left out. Raises ServerFailed when the stream is cut."""
        profile = await self.profile()
        self._check(request, profile)
        body = {**chat_body(request, 1, profile, send_seed=self._seeded(profile)), "stream": True}
        assembly = self._assembly(request, profile)
        async with self._limiter.hold() as place:
            async for event in self._events(_CHAT, body, place):
                for piece in assembly.take(event):
                    if not piece.thinking:
                        yield piece.text
            place.succeeded()

    async def tokens(self, text: str) -> int:
        """Length in tokens by the server's own tokenizer; characters / 3.5 where it has no /tokenize."""
        if (await self.profile()).tokenize:
            body = {"model": self.model, "prompt": text, "content": text}
            try:
                reply = await exchange("POST", self._root, "/tokenize", body=body, api_key=self.api_key, timeout=30)
                payload: Any = orjson.loads(reply.body)
                return int(payload["count"]) if "count" in payload else len(payload["tokens"])
            except (Retryable, ValueError, KeyError, TypeError):
                pass
        return round(len(text) / 3.5)

    def _seeded(self, profile: Profile) -> bool:
        return profile.seed if self.send_seed is None else self.send_seed

    def _check(self, request: ChatRequest, profile: Profile) -> None:
        """Raises CapabilityMissing before anything is sent."""
        if request.prefill:
            profile.require("prefill", who="this request", url=self.base_url)
        if request.logprobs:
            profile.require("logprobs", who="this request", url=self.base_url)
