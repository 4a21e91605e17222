"""One session with an MCP server: opened by a task of its own, used by all, closed by it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from phronesis.core.errors import PhronesisError, SetupError, ToolError
from phronesis.tools.mcp_process import ServerProcess
from phronesis.tools.mcp_secrets import Secrets

if TYPE_CHECKING:
    from mcp import Client
    from mcp.types import CallToolResult
    from mcp.types import Tool as ServerTool

_MOST_PAGES = 20
_MOST_TOOLS = 200
_CLOSED = -32000
"""The protocol library's code for a connection that is gone."""


class McpServer:
    """A server that is connected to when first asked, and again, once a call, when it died in between."""

    def __init__(
        self,
        label: str,
        *,
        process: ServerProcess | None = None,
        url: str = "",
        headers: Mapping[str, str] | None = None,
        secrets: Secrets,
        stateful: bool,
        timeout: float,
    ) -> None:
        """One of ``process`` and ``url``. ``stateful``: the server remembers, so a new session is not the old one."""
        self.label = label
        self.secrets = secrets
        self._process = process
        self._url = url
        self._headers = dict(headers or {})
        self._stateful = stateful
        self._timeout = timeout
        self._session: _Session | None = None
        self._opening = asyncio.Lock()
        self._calls = 0

    async def tools(self) -> list[ServerTool]:
        """What the server offers. Raises SetupError when it cannot be reached, ToolError when it does not answer in time or
        answers rubbish."""
        session = await self._alive()
        found: list[ServerTool] = []
        cursor: str | None = None
        try:
            async with asyncio.timeout(self._timeout):
                for _ in range(_MOST_PAGES):
                    page = await session.client.list_tools(cursor=cursor)
                    found += page.tools
                    cursor = page.next_cursor
                    if not cursor:
                        break
        except TimeoutError:
            raise ToolError(self._said(f"did not list its tools within {self._timeout:g} s")) from None
        except Exception as error:
            raise self._failure(error, session, "listing its tools") from None
        if cursor or len(found) > _MOST_TOOLS:
            raise ToolError(self._said(f"offers more than {_MOST_TOOLS} tools"), mend="use a smaller server")
        return found

    async def call(self, name: str, arguments: Mapping[str, Any]) -> CallToolResult:
        """The server's answer. Raises ToolError when it dies meanwhile or cannot be brought back.

        A cancelled call of a server that keeps no state and does nothing else ends its session: whoever hangs in it goes."""
        try:
            session = await self._alive()
        except SetupError as error:
            raise ToolError(error.message, mend=error.mend) from None
        self._calls += 1
        try:
            return await session.client.call_tool(name, dict(arguments))
        except asyncio.CancelledError:
            if not self._stateful and self._calls == 1:
                session.retire()
            raise
        except Exception as error:
            raise self._failure(error, session, f"the call of {name!r}") from None
        finally:
            self._calls -= 1

    async def close(self) -> None:
        """Ends the session; a local server's whole process group with it."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def _alive(self) -> _Session:
        async with self._opening:
            if self._session is not None and not self._session.gone:
                return self._session
            if self._session is not None:
                why = self._session.gone
                if self._stateful:
                    raise ToolError(
                        self._said(f"is gone, and what it remembered with it: {why}"), mend="start a new run"
                    )
                await self._session.close()
            self._session = None
            session = _Session(
                self._process and ServerProcess(self._process.command, self._process.args, self._process.environment),
                self._url,
                self._headers,
            )
            try:
                async with asyncio.timeout(self._timeout):
                    await session.open()
            except TimeoutError:
                await session.close()
                raise SetupError(
                    self._said(f"did not answer within {self._timeout:g} s"), mend="check command= or url=; timeout=..."
                ) from None
            except BaseException as error:
                await session.close()
                if isinstance(error, asyncio.CancelledError):
                    raise
                raise self._unreachable(error, session) from None
            self._session = session
            return session

    def _said(self, what: str) -> str:
        return self.secrets.without(f"the MCP server {self.label} {what}")

    def _unreachable(self, error: BaseException, session: _Session) -> PhronesisError:
        reason = session.gone or f"{type(error).__name__}: {error}"
        return SetupError(
            self._said(f"cannot be used: {reason[:300]}{session.last_words}"),
            mend="check command=, args=, url= and env=",
        )

    def _failure(self, error: Exception, session: _Session, during: str) -> ToolError:
        """``error`` as a ToolError; notes when the session is gone."""
        from mcp import MCPError

        leaf = _leaf(error)
        if isinstance(leaf, MCPError) and leaf.code != _CLOSED and not session.gone:
            return ToolError(self._said(f"refused {during}: {str(leaf)[:1000]}"))
        if isinstance(leaf, MCPError | OSError) or session.gone or type(leaf).__module__.startswith(("anyio", "httpx")):
            session.lose(f"{type(leaf).__name__}: {leaf}")
            return ToolError(self._said(f"died during {during}: {session.gone[:300]}{session.last_words}"))
        return ToolError(self._said(f"answered rubbish to {during}: {type(leaf).__name__}: {str(leaf)[:300]}"))


class _Session:
    """The protocol's client inside the task that opened it: it must be closed where it was opened."""

    client: Client

    def __init__(self, process: ServerProcess | None, url: str, headers: Mapping[str, str]) -> None:
        self._process = process
        self._url = url
        self._headers = headers
        self._stop = asyncio.Event()
        self._owner: asyncio.Task[None] | None = None
        self._lost = ""

    @property
    def gone(self) -> str:
        """Why the session is over; empty = it is not."""
        if self._process is not None and self._process.ended:
            return self._process.ended
        if not self._lost and self._owner is not None and self._owner.done():
            return "the connection was closed"
        return self._lost

    @property
    def last_words(self) -> str:
        words = self._process.last_words.strip() if self._process is not None else ""
        return f"; its last words: {words[-500:]}" if words else ""

    def lose(self, why: str) -> None:
        """Notes that nothing more can be had from it."""
        self._lost = self._lost or why

    def retire(self) -> None:
        """Ends it without waiting."""
        self.lose("it was ended after a call that did not come back")
        self._stop.set()

    async def open(self) -> None:
        """Raises whatever the connection fails with."""
        ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._owner = asyncio.create_task(self._own(ready))
        await ready

    async def _own(self, ready: asyncio.Future[None]) -> None:
        try:
            async with self._connection() as client:
                self.client = client
                if not ready.done():
                    ready.set_result(None)
                await self._stop.wait()
        except Exception as error:
            leaf = _leaf(error)
            self.lose(f"{type(leaf).__name__}: {leaf}")
            if not ready.done():
                ready.set_exception(leaf)

    def _connection(self) -> Client:
        from mcp import Client

        if self._process is not None:
            return Client(self._process.transport(), cache=None)
        if not self._headers:
            return Client(self._url, cache=None)
        from mcp.client.streamable_http import streamable_http_client
        from mcp.shared._httpx_utils import create_mcp_http_client

        return Client(
            streamable_http_client(self._url, http_client=create_mcp_http_client(headers=dict(self._headers))),
            cache=None,
        )

    async def close(self) -> None:
        self._stop.set()
        if self._owner is None:
            return
        connected = hasattr(self, "client")
        done, _ = await asyncio.wait([self._owner], timeout=5 if connected else 0)
        if not done:
            self._owner.cancel()
            await asyncio.wait([self._owner], timeout=5)
        with suppress(asyncio.CancelledError):
            if self._owner.done():
                self._owner.exception()


def _leaf(error: BaseException) -> BaseException:
    """The first error of a group of them."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
