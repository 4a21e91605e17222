"""HTTP: one keep-alive pool per event loop and address. The only file of the package that imports aiohttp.

Retries, limits and meaning belong to the callers; this file turns transport failures into our errors and nothing else.
"""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from typing import Any

import aiohttp
import orjson

from phronesis.core.errors import ConfigurationError, ServerFailed, TimedOut

_POOLS: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, dict[str, aiohttp.ClientSession]] = (
    weakref.WeakKeyDictionary()
)


_HOLDS: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, int] = weakref.WeakKeyDictionary()


@dataclass(frozen=True, slots=True)
class HttpReply:
    """Status, headers (lower-case names) and body of an exchange."""

    status: int
    headers: Mapping[str, str]
    body: bytes


def _session(base_url: str) -> aiohttp.ClientSession:
    pools = _POOLS.setdefault(asyncio.get_running_loop(), {})
    session = pools.get(base_url)
    if session is None or session.closed:
        connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=60, ttl_dns_cache=300)
        session = pools[base_url] = aiohttp.ClientSession(connector=connector)
    return session


def hold_pools(loop: asyncio.AbstractEventLoop | None = None) -> None:
    """Keeps the loop's pools open until as many ``release_pools`` as holds were called on it."""
    held = loop or asyncio.get_running_loop()
    _HOLDS[held] = _HOLDS.get(held, 0) + 1


async def release_pools() -> None:
    """Lets go of the running loop's pools; the last one closes them, so that nobody has to clean up after a run."""
    loop = asyncio.get_running_loop()
    _HOLDS[loop] = _HOLDS.get(loop, 0) - 1
    if _HOLDS[loop] <= 0:
        del _HOLDS[loop]
        await close_pools()


async def close_pools() -> None:
    """Closes the pools of the running loop now."""
    for session in _POOLS.pop(asyncio.get_running_loop(), {}).values():
        await session.close()


def _headers(api_key: str | None, extra: Mapping[str, str] | None) -> dict[str, str]:
    headers = {"Content-Type": "application/json", **(extra or {})}
    if api_key:
        if not api_key.isprintable():
            raise ConfigurationError(
                "the API key holds a line break or another character that cannot be sent",
                mend="set OPENAI_API_KEY again",
            )
        headers["Authorization"] = f"Bearer {api_key}"
    return headers


async def exchange(
    method: str,
    base_url: str,
    path: str,
    *,
    body: Mapping[str, Any] | None = None,
    api_key: str | None = None,
    timeout: float = 600.0,
    headers: Mapping[str, str] | None = None,
) -> HttpReply:
    """One request and its whole reply, any status.

    Raises ServerFailed when the connection cannot be made or breaks, TimedOut after ``timeout`` seconds. Cancelling the
    caller closes the request, which tells the server to stop generating."""
    data = None if body is None else orjson.dumps(body)
    limit = aiohttp.ClientTimeout(total=timeout, sock_connect=min(10.0, timeout))
    try:
        async with _session(base_url).request(
            method, base_url + path, data=data, headers=_headers(api_key, headers), timeout=limit
        ) as response:
            payload = await response.read()
            lowered = {name.lower(): value for name, value in response.headers.items()}
            return HttpReply(response.status, lowered, payload)
    except TimeoutError:
        raise TimedOut(f"no reply from {base_url}{path} within {timeout:g} s", url=base_url) from None
    except (aiohttp.ClientError, OSError) as error:
        refused = isinstance(error, aiohttp.ClientConnectorError)
        raise ServerFailed(
            f"connection to {base_url} {'refused' if refused else 'lost'}: {error}", url=base_url, refused=refused
        ) from None


async def events(
    base_url: str,
    path: str,
    *,
    body: Mapping[str, Any],
    refusal: Callable[[HttpReply], Exception],
    api_key: str | None = None,
    timeout: float = 600.0,
) -> AsyncIterator[Any]:
    """The JSON payloads of a server-sent event stream until ``[DONE]``.

    Raises what ``refusal`` makes of a status of 400 and above; ServerFailed when the stream ends without ``[DONE]`` (cut in
    half) or reports an error."""
    limit = aiohttp.ClientTimeout(total=timeout, sock_connect=min(10.0, timeout))
    try:
        async with _session(base_url).post(
            base_url + path, data=orjson.dumps(body), headers=_headers(api_key, None), timeout=limit
        ) as response:
            if response.status >= 400:
                lowered = {name.lower(): value for name, value in response.headers.items()}
                raise refusal(HttpReply(response.status, lowered, await response.read()))
            async for raw in response.content:
                line = raw.strip()
                if not line.startswith(b"data:"):
                    continue
                payload = line[5:].strip()
                if payload == b"[DONE]":
                    return
                item = orjson.loads(payload)
                if isinstance(item, dict) and item.get("error"):
                    raise ServerFailed(f"the stream from {base_url} reports {str(item['error'])[:300]}", url=base_url)
                yield item
    except TimeoutError:
        raise TimedOut(f"the stream from {base_url}{path} took longer than {timeout:g} s", url=base_url) from None
    except (aiohttp.ClientError, OSError, ValueError) as error:
        raise ServerFailed(f"the stream from {base_url} broke off: {error}", url=base_url) from None
    raise ServerFailed(f"the stream from {base_url} ended before [DONE]", url=base_url)
