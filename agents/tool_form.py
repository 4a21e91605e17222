"""The prompted protocol's form: tools as a prompt describes them, and the JSON schema of a reply."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from phronesis.core.tool import ToolSpec

_KEPT = ("type", "enum", "const", "anyOf", "items", "properties", "required", "additionalProperties")
"""Keywords that shape a reply and that servers know; limits and patterns are left to the tool."""
_TEXT = {"type": "string"}


def described(tool: ToolSpec) -> str:
    """A line on what the tool does, and one per argument: name, type, what it means."""
    wanted = frozenset(tool.parameters.get("required", ()))
    lines = [f"- {tool.name}: {' '.join(tool.description.split())}"]
    for name, schema in tool.parameters.get("properties", {}).items():
        meaning = " ".join(str(schema.get("description", "")).split())
        optional = "" if name in wanted else ", optional"
        lines.append(f'    "{name}" ({_type(schema)}{optional})' + (f": {meaning}" if meaning else ""))
    return "\n".join(lines)


def call_form(tools: Sequence[ToolSpec], *, parallel_calls: int) -> str:
    """How a reply calls; the argument names are those of the first tool."""
    call = f'"tool": "{tools[0].name}", "arguments": {json.dumps(_example(tools[0]))}'
    if parallel_calls == 1:
        return f'{{"thought": "I use {tools[0].name} to find out ...", {call}}}'
    return f'{{"thought": "I use {tools[0].name} to find out ...", "calls": [{{{call}}}, ...]}}'


def reply_schema(tools: Sequence[ToolSpec], *, parallel_calls: int = 1) -> dict[str, Any]:
    """The JSON schema of a reply: a call of one of the tools with its own arguments, or an answer.

    Schemas of arguments are cut to their shape; one with references is any object."""
    answer = _closed({"thought": _TEXT, "answer": _TEXT})
    calls = [{"tool": {"const": tool.name}, "arguments": _shape(tool.parameters)} for tool in tools]
    if parallel_calls == 1 or not tools:
        forms = [_closed({"thought": _TEXT, **call}) for call in calls]
    else:
        several = {"type": "array", "items": {"anyOf": [_closed(call) for call in calls]}, "minItems": 1}
        forms = [_closed({"thought": _TEXT, "calls": {**several, "maxItems": parallel_calls}})]
    return {"anyOf": [*forms, answer]} if forms else answer


def _closed(properties: Mapping[str, Any]) -> dict[str, Any]:
    """An object with these keys, all of them and no other."""
    return {
        "type": "object",
        "properties": dict(properties),
        "required": list(properties),
        "additionalProperties": False,
    }


def _shape(schema: Mapping[str, Any]) -> dict[str, Any]:
    return {"type": "object"} if '"$ref"' in json.dumps(schema) else _cut(schema)


def _cut(schema: Any) -> Any:
    """The schema with nothing but the keywords that shape a reply."""
    if not isinstance(schema, Mapping):
        return schema
    kept = {name: schema[name] for name in _KEPT if name in schema}
    if "properties" in kept:
        kept["properties"] = {name: _cut(item) for name, item in kept["properties"].items()}
    for name in ("items", "additionalProperties"):
        if name in kept:
            kept[name] = _cut(kept[name])
    if "anyOf" in kept:
        kept["anyOf"] = [_cut(item) for item in kept["anyOf"]]
    return kept


def _type(schema: Mapping[str, Any]) -> str:
    """A schema's type in a word or few."""
    if "enum" in schema:
        return "one of " + ", ".join(json.dumps(item, ensure_ascii=False) for item in schema["enum"])
    if "anyOf" in schema:
        return " or ".join(_type(item) for item in schema["anyOf"])
    if schema.get("type") == "array" and isinstance(schema.get("items"), Mapping):
        return f"list of {_type(schema['items'])}"
    named = schema.get("type", "any")
    return " or ".join(map(str, named)) if isinstance(named, list) else str(named)


def _example(tool: ToolSpec) -> dict[str, str]:
    return {name: "..." for name in tool.parameters.get("required") or tool.parameters.get("properties", {})}
