"""A local MCP server: one process, spoken to by lines of JSON on its standard streams, never trusted with our memory or time.

Beside what the protocol's own client does: a line that does not end, a stream of rubbish and a server that ignores its end
are bounded; its whole process group is killed in the end; the last words of its standard error are kept for messages.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mcp.client._transport import TransportStreams

_LONGEST_LINE = 2**24
"""Bytes of one message."""
_MOST_RUBBISH = 100
"""Lines that are no messages: some servers print to the wrong stream."""
_LAST_WORDS = 2000
_GRACE = 1.0
"""Seconds that a server has to leave by itself."""
_INHERITED = ("HOME", "LANG", "LOGNAME", "PATH", "SHELL", "TERM", "TMPDIR", "USER")


@dataclass
class ServerProcess:
    """How a server is started, and how it fares."""

    command: str
    args: Sequence[str] = ()
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)
    """Beside what every program needs; nothing else of ours is handed on."""
    ended: str = ""
    """Why nothing more comes from it; empty = it runs."""
    last_words: str = field(default="", repr=False)

    @asynccontextmanager
    async def transport(self) -> AsyncIterator[TransportStreams]:
        """The streams that the protocol's client works on. Raises OSError when the process cannot be started."""
        import anyio
        from mcp.shared.message import SessionMessage

        child = await asyncio.create_subprocess_exec(
            self.command,
            *self.args,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env={**{name: os.environ[name] for name in _INHERITED if name in os.environ}, **self.environment},
            start_new_session=True,
            limit=_LONGEST_LINE,
        )
        incoming, reading = anyio.create_memory_object_stream[SessionMessage | Exception](0)
        writing, outgoing = anyio.create_memory_object_stream[SessionMessage](0)
        jobs = [
            asyncio.create_task(self._read(child, incoming)),
            asyncio.create_task(self._write(child, outgoing)),
            asyncio.create_task(self._listen(child)),
        ]
        try:
            yield reading, writing
        finally:
            await _end(child, jobs)
            for stream in (incoming, reading, writing, outgoing):
                stream.close()

    async def _read(self, child: asyncio.subprocess.Process, incoming: Any) -> None:
        """Messages to the client; closes the stream when there will be none, so that nobody waits for one."""
        import anyio

        assert child.stdout is not None
        rubbish = 0
        try:
            while True:
                try:
                    line = await child.stdout.readuntil(b"\n")
                except asyncio.IncompleteReadError:
                    self.ended = "it ended"
                    return
                except asyncio.LimitOverrunError:
                    self.ended = f"it sent a line of more than {_LONGEST_LINE >> 20} MiB"
                    return
                message = _message(line)
                rubbish += message is None
                if rubbish > _MOST_RUBBISH:
                    self.ended = f"it sent {rubbish} lines that are no messages, such as {line[:60]!r}"
                    return
                if message is not None:
                    await incoming.send(message)
        except (anyio.ClosedResourceError, anyio.BrokenResourceError, OSError) as error:
            self.ended = self.ended or f"the connection was closed ({type(error).__name__})"
        finally:
            incoming.close()

    async def _write(self, child: asyncio.subprocess.Process, outgoing: Any) -> None:
        assert child.stdin is not None
        with suppress(OSError):
            async for message in outgoing:
                text = message.message.model_dump_json(by_alias=True, exclude_unset=True)
                child.stdin.write(text.encode() + b"\n")
                await child.stdin.drain()

    async def _listen(self, child: asyncio.subprocess.Process) -> None:
        assert child.stderr is not None
        while more := await child.stderr.read(2**16):
            self.last_words = (self.last_words + more.decode(errors="replace"))[-_LAST_WORDS:]


async def _end(child: asyncio.subprocess.Process, jobs: Sequence[asyncio.Task[None]]) -> None:
    """Asks the server to leave, then kills it and whatever it started."""
    try:
        if child.stdin is not None:
            child.stdin.close()
        with suppress(TimeoutError):
            async with asyncio.timeout(_GRACE):
                await child.wait()
    finally:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(child.pid, signal.SIGKILL)
        for job in jobs:
            job.cancel()
        await asyncio.wait(jobs)
        await child.wait()


def _message(line: bytes) -> Any:
    """The message of a line; None = it is none."""
    from mcp.shared.message import SessionMessage
    from mcp.types import jsonrpc_message_adapter

    try:
        return SessionMessage(jsonrpc_message_adapter.validate_json(line, by_name=False))
    except ValueError:
        return None
