"""Any tool of LangChain as a tool of ours: ``TOOL = langchain_tool(WikipediaQueryRun(...), pure=True)``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import orjson
from pydantic import BaseModel, ValidationError
from pydantic_core import PydanticSerializationError, to_json

from phronesis.core.errors import ConfigurationError, ToolError
from phronesis.core.tool import ToolOutput, ToolSpec
from phronesis.tools.shown import bounded
from phronesis.tools.threads import in_thread

if TYPE_CHECKING:
    from langchain_core.tools import BaseTool


class LangChainTool:
    """Calls a tool of LangChain; an artifact it returns beside its content becomes the data."""

    def __init__(self, tool: BaseTool, spec: ToolSpec) -> None:
        """``langchain_tool`` makes one."""
        self._tool = tool
        self._spec = spec

    @property
    def spec(self) -> ToolSpec:
        return self._spec

    async def call(self, arguments: Mapping[str, Any]) -> ToolOutput:
        """Raises ToolError for arguments that its schema refuses, for its ToolException and for a result with status error;
        its other errors come through. A tool without an async side runs in a thread and cannot be stopped."""
        from langchain_core.tools import ToolException

        call = {"name": self._tool.name, "args": dict(arguments), "id": "call", "type": "tool_call"}
        try:
            if _is_async(self._tool):
                message = await self._tool.ainvoke(call)
            else:
                message = await in_thread(lambda: self._tool.invoke(call))
        except ToolException as error:
            raise ToolError(f"{self._spec.name}: {error}") from None
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            where = ".".join(str(part) for part in first["loc"])
            shown = repr(first["input"])[:80]
            raise ToolError(
                f"{self._spec.name}: {where} = {shown} does not fit: {first['msg']}", mend=f"correct {where}"
            ) from None
        text = bounded(_text(getattr(message, "content", message)))
        if getattr(message, "status", "success") == "error":
            raise ToolError(text or f"{self._spec.name} failed and does not say why")
        return ToolOutput(text=text or "done; nothing was returned", data=_data(getattr(message, "artifact", None)))

    async def close(self) -> None:
        """Nothing is held."""


def langchain_tool(
    tool: BaseTool,
    *,
    name: str | None = None,
    pure: bool = False,
    dangerous: bool = True,
    stateful: bool = False,
    timeout: float = 30.0,
    units: str | None = None,
) -> LangChainTool:
    """The tool as one of ours, with its own schema and description; the options are those of ``ToolSpec``.

    ``dangerous`` unless said otherwise, because nothing is known of what it does. Raises ConfigurationError for a tool whose
    name or schema does not fit."""
    called = name or tool.name
    try:
        kind = tool.tool_call_schema
        schema = kind if isinstance(kind, dict) else _schema(kind)
        spec = ToolSpec(
            name=called,
            description=tool.description or called,
            parameters=schema,
            pure=pure,
            dangerous=dangerous,
            stateful=stateful,
            timeout=timeout,
            units=units,
        )
    except (ValidationError, ValueError, TypeError, AttributeError) as error:
        said = error.errors()[0]["msg"] if isinstance(error, ValidationError) else str(error)
        raise ConfigurationError(
            f"the LangChain tool {called!r} does not fit: {said}", mend="pass name=..., or check its args_schema"
        ) from None
    return LangChainTool(tool, spec)


def _schema(kind: Any) -> dict[str, Any]:
    """Without the title and description that repeat the tool's."""
    found = kind.model_json_schema() if issubclass(kind, BaseModel) else kind.schema()
    return {key: value for key, value in found.items() if key not in ("title", "description")}


def _is_async(tool: BaseTool) -> bool:
    from langchain_core.tools import BaseTool, StructuredTool, Tool

    if isinstance(tool, StructuredTool | Tool):
        return tool.coroutine is not None
    return type(tool)._arun is not BaseTool._arun


def _text(content: Any) -> str:
    """The texts of a message's content; blocks of other kinds are named."""
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        return str(content)
    parts = [
        item if isinstance(item, str) else str(item["text"]) if "text" in item else f"[{item.get('type')}, left out]"
        for item in content
    ]
    return "\n".join(parts)


def _data(artifact: Any) -> Any:
    """The artifact as JSON, or nothing where JSON cannot say it."""
    try:
        return orjson.loads(to_json(artifact, inf_nan_mode="strings"))
    except (PydanticSerializationError, ValueError, RecursionError):
        return None
