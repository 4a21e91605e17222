"""One address: exchanges under its limit and time-out, refusals as typed errors that the limit hears of."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from phronesis.agents.client.limiter import Limiter, Place, limiter_for
from phronesis.agents.client.probe import PROBE_HEADER
from phronesis.agents.client.retry import RetryRule, with_retries
from phronesis.agents.client.wire import error_of
from phronesis.core.errors import ConfigurationError, ModelError, RateLimited
from phronesis.core.http import HttpReply, events, exchange


@dataclass(kw_only=True)
class Connection:
    """What is known of an address before anything is known of its model."""

    base_url: str
    """Address with /v1."""
    api_key: str | None = field(default=None, repr=False)
    concurrency: int = 64
    """Requests in flight at this address, over the whole process; never more."""
    limiter: Literal["adaptive", "fixed"] = "adaptive"
    """``adaptive``: fewer than ``concurrency`` while the server refuses or slows down."""
    timeout: float = 600.0
    """Seconds per exchange."""
    retry: RetryRule = field(default_factory=RetryRule)
    stale: bool = field(default=False, repr=False)
    """The server is no longer what it was when it was asked: the next run asks anew, the runs that use it do not."""

    def __post_init__(self) -> None:
        """Raises ConfigurationError for an address that holds a password: addresses are shown, keys are not."""
        if "@" in self.base_url.partition("//")[2].partition("/")[0]:
            raise ConfigurationError("the endpoint's address holds a password", mend="put it into the API key instead")

    @property
    def load(self) -> float:
        """Requests in flight and waiting for each one that the server may be sent."""
        return self._limiter.load

    @property
    def _limiter(self) -> Limiter:
        return limiter_for(self.base_url, self.concurrency, adaptive=self.limiter == "adaptive")

    @property
    def _root(self) -> str:
        return self.base_url.rstrip("/").removesuffix("/v1")

    async def _post(self, path: str, body: Mapping[str, Any], place: Place) -> bytes:
        """The body of a reply with status 200. Raises ModelError."""
        reply = await exchange("POST", self._root, path, body=body, api_key=self.api_key, timeout=self.timeout)
        if reply.status != 200:
            raise self._refusal(reply, place)
        return reply.body

    def _events(self, path: str, body: Mapping[str, Any], place: Place) -> AsyncIterator[Any]:
        """The JSON values of a stream. Raises ModelError, ServerFailed for a stream that is cut."""
        return events(
            self._root,
            path,
            body=body,
            refusal=lambda reply: self._refusal(reply, place),
            api_key=self.api_key,
            timeout=self.timeout,
        )

    def _refusal(self, reply: HttpReply, place: Place | None = None) -> ModelError:
        """The typed error; the limiter is told of it where the server said that it has no room."""
        error = error_of(reply, self.base_url, secret=self.api_key)
        self.stale = self.stale or reply.status == 404
        pause = error.details.get("retry_after")
        if place is not None and (isinstance(error, RateLimited) or (reply.status == 503 and pause is not None)):
            place.refused(pause if pause is None or pause <= self.retry.patience else None)
        return error

    async def _probe_send(self, method: str, path: str, body: dict[str, Any] | None) -> HttpReply:
        """One exchange of the probe. 429 and 5xx but 501 are tried again; raises Retryable when they stay."""

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
            if reply.status == 429 or (reply.status >= 500 and reply.status != 501):
                raise self._refusal(reply)
            return reply

        return await with_retries(once, replace(self.retry, retries=min(self.retry.retries, 2)))
