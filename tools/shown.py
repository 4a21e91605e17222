"""Any result of a tool as text for a model and as data for nodes, no larger than a process can well hold."""

from __future__ import annotations

from typing import Any

import orjson
from pydantic_core import PydanticSerializationError, to_json

from phronesis.core.tool import ToolOutput

MOST_TEXT = 2**20
"""Characters of a result that are kept. What a model is shown of it is the graph node's to decide, and far less."""


def bounded(text: str) -> str:
    """The text, or the first ``MOST_TEXT`` characters of it with a note of what is missing; halves of surrogate pairs, which
    no journal can hold, are replaced."""
    text = text if text.isascii() else text.encode("utf-8", "replace").decode()
    if len(text) <= MOST_TEXT:
        return text
    return f"{text[:MOST_TEXT]}\n[{len(text) - MOST_TEXT} more characters were thrown away]"


def output_of(value: Any, *, tool: str) -> ToolOutput:
    """A ToolOutput as it is; a text as the text; any other value as JSON text with the value as data.

    Data is left out where its text is too long to be kept whole. Raises TypeError for what JSON cannot say."""
    if isinstance(value, ToolOutput):
        text = bounded(value.text)
        return value if text == value.text else value.model_copy(update={"text": text})
    if isinstance(value, str):
        return ToolOutput(text=bounded(value))
    if value is None:
        return ToolOutput(text="done; nothing was returned")
    try:
        raw = to_json(value, inf_nan_mode="strings")
        text, data = raw.decode(), orjson.loads(raw)
    except (PydanticSerializationError, RecursionError, ValueError) as error:
        kind = type(value).__name__
        raise TypeError(f"the tool {tool!r} returned a {kind}, which cannot be told as JSON: {error}") from None
    return ToolOutput(text=bounded(text), data=data if len(text) <= MOST_TEXT else None)
