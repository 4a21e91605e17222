"""One model at one OpenAI-compatible address: vLLM, llama.cpp or anything else that speaks the chat format."""

from __future__ import annotations

import asyncio
import time
import weakref
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import orjson

from phronesis.agents.client.labels import label_probabilities
from phronesis.agents.client.limiter import limiter_for
from phronesis.agents.client.probe import PROBE_HEADER, probe
from phronesis.agents.client.profile import Capability, Profile
from phronesis.agents.client.retry import RetryRule, with_retries
from phronesis.agents.client.wire import chat_body, error_of, parse_reply
from phronesis.core.chat import Batch, ChatRequest, Completion, LabelProbabilities, Usage
from phronesis.core.errors import ConfigurationError, EndpointUnreachable, ModelError, Retryable
from phronesis.core.http import HttpReply, events, exchange


@dataclass(kw_only=True)
class Endpoint:
    """Sends requests with retries, a limit per address, and the adaptations the server needs."""

    base_url: str
    """Address with /v1."""
    api_key: str | None = field(default=None, repr=False)
    wanted_model: str | None = None
    """None = the first model the server lists."""
    send_seed: bool = True
    """False: seeds are never sent."""
    concurrency: int = 64
    """Requests in flight at this address, over the whole process."""
    timeout: float = 600.0
    """Seconds per exchange."""
    retry: RetryRule = field(default_factory=RetryRule)
    _profile: Profile | None = field(default=None, repr=False)
    _probing: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Lock] = field(
        default_factory=weakref.WeakKeyDictionary, repr=False
    )

    def __post_init__(self) -> None:
        """Raises ConfigurationError for an address that holds a password: addresses are shown, keys are not."""
        if "@" in self.base_url.partition("//")[2].partition("/")[0]:
            raise ConfigurationError("the endpoint's address holds a password", mend="put it into the API key instead")

    @property
    def model(self) -> str:
        """The model's name as far as it is known."""
        return self._profile.model if self._profile else (self.wanted_model or "")

    @property
    def _root(self) -> str:
        return self.base_url.rstrip("/").removesuffix("/v1")

    async def profile(self) -> Profile:
        """What the endpoint can do; asked once. Raises EndpointUnreachable."""
        if self._profile is None:
            async with self._probing.setdefault(asyncio.get_running_loop(), asyncio.Lock()):
                if self._profile is None:
                    try:
                        self._profile = await probe(self._probe_send, url=self.base_url, wanted_model=self.wanted_model)
                    except Retryable as error:
                        raise EndpointUnreachable(
                            f"{self.base_url} is not ready: {error.message}", mend="wait until it is, or read its log"
                        ) from None
        return self._profile

    async def require(self, capabilities: Sequence[Capability], *, who: str) -> None:
        """Raises CapabilityMissing for the first one the endpoint lacks."""
        profile = await self.profile()
        for capability in capabilities:
            profile.require(capability, who=who, url=self.base_url)

    async def chunks(self, n: int, request: ChatRequest) -> tuple[int, ...]:
        """n cut into requests: as many choices per request as the server serves, the rest in the last."""
        most = (await self.profile()).max_n
        full, rest = divmod(n, most)
        return (most,) * full + ((rest,) if rest else ())

    async def complete(self, request: ChatRequest, n: int) -> Batch:
        """One exchange with n choices, tried again as the retry rule says.

        Raises the last ModelError, with the number of requests it took in ``details['requests']``; CapabilityMissing,
        before anything is sent, when the server lacks what the request needs."""
        profile = await self.profile()
        self._check(request, profile)
        body = chat_body(request, n, profile, send_seed=self.send_seed)
        if request.reply_schema is not None and not profile.structured:
            del body["response_format"]
        started = time.perf_counter()
        attempts = 0

        def count() -> None:
            nonlocal attempts
            attempts += 1

        async def once() -> tuple[tuple[Completion, ...], Usage]:
            async with limiter_for(self.base_url, self.concurrency).hold():
                reply = await exchange(
                    "POST",
                    self._root,
                    "/v1/chat/completions",
                    body=body,
                    api_key=self.api_key,
                    timeout=self.timeout,
                )
            if reply.status != 200:
                raise self._refusal(reply)
            return parse_reply(reply.body, n, profile, request, self.base_url)

        try:
            completions, usage = await with_retries(once, self.retry, on_attempt=count)
        except ModelError as error:
            error.details["requests"] = attempts
            raise
        if n > 1 and not profile.counts_all_choices and not all(completion.tokens for completion in completions):
            completions = await self._counted(completions)
            usage = replace(usage, completion_tokens=sum(completion.tokens for completion in completions))
        return Batch(
            completions=completions,
            usage=replace(usage, requests=attempts),
            latency=time.perf_counter() - started,
        )

    async def _counted(self, completions: Sequence[Completion]) -> tuple[Completion, ...]:
        return tuple([replace(item, tokens=item.tokens or await self.tokens(item.text)) for item in completions])

    async def label_probabilities(
        self, request: ChatRequest, labels: Sequence[str]
    ) -> tuple[LabelProbabilities, Batch]:
        """See ``labels.label_probabilities``; needs logprobs."""
        profile = await self.profile()
        profile.require("logprobs", who="label_probabilities", url=self.base_url)
        return await label_probabilities(self.complete, request, labels, most=profile.logprobs)

    async def stream(self, request: ChatRequest) -> AsyncIterator[str]:
        """The reply piece by piece, prefill left out. Raises ServerFailed when the stream is cut."""
        profile = await self.profile()
        self._check(request, profile)
        body = {**chat_body(request, 1, profile, send_seed=self.send_seed), "stream": True}
        skip = request.prefill if profile.prefill == "echo" else ""
        async with limiter_for(self.base_url, self.concurrency).hold():
            async for payload in events(
                self._root,
                "/v1/chat/completions",
                body=body,
                refusal=self._refusal,
                api_key=self.api_key,
                timeout=self.timeout,
            ):
                choices = payload.get("choices") or [{}]
                piece = (choices[0].get("delta") or {}).get("content") or ""
                if skip:
                    cut = len(piece) if skip.startswith(piece) else len(skip) if piece.startswith(skip) else 0
                    skip, piece = (skip[cut:] if cut else ""), piece[cut:]
                if piece:
                    yield piece

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

    def _check(self, request: ChatRequest, profile: Profile) -> None:
        """Raises CapabilityMissing before anything is sent."""
        if request.prefill:
            profile.require("prefill", who="this request", url=self.base_url)
        if request.logprobs:
            profile.require("logprobs", who="this request", url=self.base_url)

    def _refusal(self, reply: HttpReply) -> ModelError:
        return error_of(reply, self.base_url, secret=self.api_key)

    async def _probe_send(self, method: str, path: str, body: dict[str, Any] | None) -> HttpReply:
        """One exchange of the probe. 429 and 5xx are tried again; raises Retryable when they stay."""

        async def once() -> HttpReply:
            reply = await exchange(
                method,
                self._root,
                path,
                body=body,
                api_key=self.api_key,
                timeout=min(120.0, self.timeout),
                headers={PROBE_HEADER: "1"},
            )
            if reply.status == 429 or reply.status >= 500:
                raise self._refusal(reply)
            return reply

        return await with_retries(once, replace(self.retry, retries=min(self.retry.retries, 2)))
