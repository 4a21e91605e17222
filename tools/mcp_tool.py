"""The tools of an MCP server: ``mcp(command="...", args=[...])`` starts one, ``mcp(url="...")`` speaks to one.

One session serves a run. What a server says of its tools and what they return is data from a stranger: descriptions are cut
and labelled, and its hints (it only reads, it destroys nothing) are shown but change nothing: whether a person is asked and
whether state is kept is for the recipe to say. Secrets are named in the recipe (``env={TOKEN = "$TOKEN"}``) and crossed out
of everything that comes back. Arguments are checked by the server.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import PurePath
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import orjson
from pydantic import Field

from phronesis.core.errors import ConfigurationError, SetupError, ToolError
from phronesis.core.tool import Tool, ToolEntry, ToolOutput, ToolSpec, ToolSurroundings
from phronesis.tools.mcp_process import ServerProcess
from phronesis.tools.mcp_secrets import Secrets
from phronesis.tools.mcp_session import McpServer
from phronesis.tools.options import ToolOptions
from phronesis.tools.shown import bounded

if TYPE_CHECKING:
    from mcp.types import CallToolResult
    from mcp.types import Tool as ServerTool

_LONGEST_DESCRIPTION = 1500
_LONGEST_SCHEMA = 20_000
_NAME = re.compile(r"[A-Za-z_][\w-]{0,63}")


class McpOptions(ToolOptions):
    """Which server, and what of it is used."""

    command: str = ""
    """Program that is the server, speaking on its standard streams."""
    args: tuple[str, ...] = ()
    url: str = ""
    """Address of a server that speaks HTTP (streamable)."""
    only: tuple[str, ...] = ()
    """The server's names of the tools to use; none = all."""
    prefix: str = ""
    """Stands before each tool's name."""
    dangerous: bool = True
    """Whether a person is asked before a call."""
    stateful: bool = False
    """The server remembers something between calls (an open page, a transaction): a resume does not go past it."""
    timeout: float = Field(default=30.0, gt=0)
    """Seconds for connecting and for each call."""
    env: Any = Field(default_factory=dict)
    """Variables of the server's; ``$NAME`` in a value is our variable of that name."""
    headers: Any = Field(default_factory=dict)
    """Sent with each request to ``url``; values name a variable: ``{Authorization = "Bearer $TOKEN"}``."""


class McpTool:
    """One tool of a server; the server is closed with the first of its tools that is."""

    def __init__(self, server: McpServer, name: str, spec: ToolSpec) -> None:
        self._server = server
        self._name = name
        self._spec = spec

    @property
    def spec(self) -> ToolSpec:
        return self._spec

    async def call(self, arguments: Mapping[str, Any]) -> ToolOutput:
        """What the server answers. Raises ToolError for its errors and for its death."""
        return _output(await self._server.call(self._name, arguments), self._server.secrets)

    async def close(self) -> None:
        await self._server.close()


async def _open(options: McpOptions, around: ToolSurroundings) -> Sequence[Tool]:
    if find_spec("mcp") is None:
        raise SetupError("MCP servers need the package mcp", mend="pip install 'phronesis[mcp]'")
    server = _server(options)
    try:
        offered = await server.tools()
        missing = [name for name in options.only if name not in {tool.name for tool in offered}]
        if missing:
            known = ", ".join(sorted(tool.name for tool in offered)) or "none"
            raise ConfigurationError(
                f"the MCP server {server.label} has no tool {missing[0]!r}", mend=f"it has: {known}"
            )
        chosen = [tool for tool in offered if not options.only or tool.name in options.only]
        return [McpTool(server, tool.name, _spec(tool, options, server)) for tool in chosen]
    except BaseException:
        await server.close()
        raise


def _server(options: McpOptions) -> McpServer:
    if bool(options.command) == bool(options.url):
        raise ConfigurationError(
            "mcp needs one of command and url", mend='write mcp(command="...") or mcp(url="http://...")'
        )
    variables = Secrets.filled(options.env, what="env", all_secret=False)
    headers = Secrets.filled(options.headers, what="headers", all_secret=True)
    if options.url:
        parts = urlsplit(options.url)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.username or parts.password:
            raise ConfigurationError(
                "mcp: url is no plain http address (secrets belong into headers)",
                mend='write url="http://HOST:PORT/mcp"',
            )
        return McpServer(
            parts.hostname,
            url=options.url,
            headers=headers.values,
            secrets=headers,
            stateful=options.stateful,
            timeout=options.timeout,
        )
    process = ServerProcess(options.command, options.args, variables.values)
    label = " ".join([PurePath(options.command).name, *(PurePath(part).name for part in options.args[:2])])[:60]
    return McpServer(label, process=process, secrets=variables, stateful=options.stateful, timeout=options.timeout)


def _spec(tool: ServerTool, options: McpOptions, server: McpServer) -> ToolSpec:
    """Raises ToolError for a name or a schema that no model can be told."""
    name = options.prefix + re.sub(r"[^\w-]", "_", tool.name, flags=re.ASCII)
    if not _NAME.fullmatch(name):
        raise ToolError(
            f"the MCP server {server.label} calls a tool {tool.name[:100]!r}, which cannot be a tool's name here",
            mend="set prefix, or leave it out with only=[...]",
        )
    _check_schema(tool, server.label)
    return ToolSpec(
        name=name,
        description=server.secrets.without(_described(tool, server.label)),
        parameters=server.secrets.without_in(tool.input_schema),
        dangerous=options.dangerous,
        stateful=options.stateful,
        timeout=options.timeout,
    )


def _described(tool: ServerTool, label: str) -> str:
    text = (tool.description or "no description").strip()
    text = text if len(text) <= _LONGEST_DESCRIPTION else f"{text[:_LONGEST_DESCRIPTION]} [cut off]"
    hints = []
    if tool.annotations is not None:
        hints = ["it only reads"] if tool.annotations.read_only_hint else []
        hints += ["it may destroy"] if tool.annotations.destructive_hint else []
    claims = f" It says that {' and '.join(hints)}." if hints else ""
    return f"[described by the MCP server {label}] {text}{claims}"


def _check_schema(tool: ServerTool, label: str) -> None:
    from jsonschema.exceptions import SchemaError
    from jsonschema.validators import validator_for

    schema = tool.input_schema
    try:
        if schema.get("type") != "object":
            raise ValueError(f"its type is {str(schema.get('type'))[:60]!r}, not 'object'")
        if len(orjson.dumps(schema)) > _LONGEST_SCHEMA:
            raise ValueError(f"it has more than {_LONGEST_SCHEMA} bytes")
        validator_for(schema).check_schema(schema)
    except (SchemaError, ValueError, TypeError, RecursionError) as error:
        said = error.message if isinstance(error, SchemaError) else str(error)
        raise ToolError(
            f"the tool {tool.name[:100]!r} of the MCP server {label} has a schema that is none: {said[:200]}",
            mend="leave it out with only=[...]",
        ) from None


def _output(result: CallToolResult, secrets: Secrets) -> ToolOutput:
    """Texts as they are, other content named with its size. Raises ToolError for a result that says it is an error."""
    parts = [_part(item) for item in result.content]
    data = result.structured_content
    if data is not None and not any(parts):
        parts = [orjson.dumps(data).decode()]
    text = bounded(secrets.without("\n".join(part for part in parts if part)))
    if result.is_error:
        raise ToolError(text or "the server says that the call failed, and not why")
    return ToolOutput(text=text or "done; nothing was returned", data=secrets.without_in(data))


def _part(item: Any) -> str:
    if item.type == "text":
        return str(item.text)
    if item.type == "resource":
        held = getattr(item.resource, "text", None)
        return str(held) if held is not None else f"[resource {item.resource.uri}, left out]"
    if item.type == "resource_link":
        return f"[link to {item.uri}]"
    return (
        f"[{item.type} {getattr(item, 'mime_type', '')}, {len(getattr(item, 'data', '') or '')} characters, left out]"
    )


ENTRY = ToolEntry("mcp", "the tools of an MCP server (extra mcp)", McpOptions, _open)
