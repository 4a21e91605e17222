"""Replies of a tool user, read: calls that a server parsed, calls written as JSON, answers, and what is neither."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeGuard

import orjson

from phronesis.agents.decode import json_of
from phronesis.core.chat import Completion
from phronesis.core.task import Message, WrittenCall
from phronesis.core.tool import ToolCall

_TAGGED = re.compile(r"<tool_call>(.*?)(?:</tool_call>|$)", re.DOTALL)
"""How Qwen and Hermes models write a call."""
_CALLED, _GIVEN, _SEVERAL = ("tool", "name", "function"), ("arguments", "parameters"), ("calls", "tool_calls")
_KNOWN = frozenset({*_CALLED, *_GIVEN, *_SEVERAL, "thought", "answer", "id", "type"})
_NO_TOOL = frozenset({"", "none", "null"})
PLACEHOLDER = "<the answer>"
"""What stands in the form of a reply for the answer; weak models copy it."""
_CUT_OFF = "the reply was cut off by max_tokens"
_LONGEST_QUOTE, _MOST_STARTS = 2000, 64
"""Characters of an unusable reply that are repeated; places of a reply where an object is looked for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """One turn of a model: calls, an answer, or a problem; one of the three and no more."""

    thought: str = ""
    """What it wrote beside them."""
    calls: tuple[ToolCall, ...] = ()
    answer: str | None = None
    problem: str = ""
    """Why the reply is neither; empty when it is one of them."""
    text: str = ""
    """What the model wrote; calls that the server parsed are added as it would have written them."""
    message: Message
    """The turn as the next request repeats it: what counted of it, or, with a problem, what was written."""
    native: bool = False
    """Whether the server's own form of calls was used."""
    left_out: int = 0
    """Calls beyond the number that one reply may make."""


class _Unreadable(Exception):
    """A call that cannot be read."""


def read_prompted(completion: Completion, *, most: int = 1) -> Turn:
    """The turn that a reply in the prompted protocol is. Tolerated: fences, prose around the object, small JSON errors, the
    model's own <tool_call> tags, OpenAI's names of the keys, arguments as text. A call that only prose speaks of is none."""
    text = completion.text.strip()
    if not text:
        return _problem(_CUT_OFF if completion.finish == "length" else "the reply is empty", text)
    try:
        thought, calls, answer = _written(text, whole=completion.finish != "length")
    except _Unreadable as error:
        return _problem(str(error), text)
    if not calls:
        message = _as_json({"thought": thought, "answer": answer})
        return Turn(thought=thought, answer=answer, text=text, message=message)
    kept = tuple(calls[:most])
    made = [{"tool": call.name, "arguments": call.arguments} for call in kept]
    message = _as_json({"thought": thought, **(made[0] if len(made) == 1 else {"calls": made})})
    return Turn(thought=thought, calls=kept, text=text, message=message, left_out=len(calls) - len(kept))


def read_native(completion: Completion, tools: Sequence[str], *, most: int = 1) -> Turn:
    """The turn that a reply of a server that parses calls is: without a call, its text is the answer.

    Calls that the parser missed are read from the text: in the model's own tags, or as JSON that names one of the tools."""
    said = completion.text.strip()
    text = "\n".join([*([said] if said else []), *map(_tagged, completion.tool_calls)])
    try:
        calls = [_call(call.model_dump(), index) for index, call in enumerate(completion.tool_calls)]
        if not calls:
            said, calls = _missed(said, tools, whole=completion.finish != "length")
    except _Unreadable as error:
        return _problem(str(error), text, native=True)
    if calls:
        kept = tuple(calls[:most])
        written = [
            WrittenCall(id=call.id, name=call.name, arguments=orjson.dumps(call.arguments).decode()) for call in kept
        ]
        message = Message(role="assistant", content=said, tool_calls=tuple(written))
        beside, spare = said or completion.reasoning, len(calls) - len(kept)
        return Turn(thought=beside, calls=kept, text=text, message=message, native=True, left_out=spare)
    if completion.finish == "length":
        return _problem(_CUT_OFF, text, native=True)
    if not said:
        return _problem("the reply is empty", text, native=True)
    message = Message(role="assistant", content=said)
    return Turn(thought=completion.reasoning, answer=said, text=text, message=message, native=True)


def _problem(problem: str, text: str, *, native: bool = False) -> Turn:
    message = Message(role="assistant", content=text[:_LONGEST_QUOTE] or "(nothing)")
    return Turn(problem=problem, text=text, message=message, native=native)


def _as_json(form: Mapping[str, Any]) -> Message:
    return Message(role="assistant", content=json.dumps(form, ensure_ascii=False))


def _tagged(call: WrittenCall) -> str:
    return f'<tool_call>{{"name": {json.dumps(call.name)}, "arguments": {call.arguments}}}</tool_call>'


def _written(text: str, *, whole: bool) -> tuple[str, list[ToolCall], str | None]:
    """Thought, calls and answer of a text; without calls there is an answer. Raises _Unreadable."""
    if not text.startswith("{") and (tags := _TAGGED.findall(text)):
        before = text[: text.index("<tool_call>")].strip()
        return before, _in_tags(tags, whole=whole), None
    found = _object(text, whole=whole)
    if found is None:
        raise _Unreadable('the reply holds no JSON object with "tool" or "answer"' if whole else _CUT_OFF)
    thought = found.get("thought")
    calls = [_call(item, index) for index, item in enumerate(_items(found))]
    answer = None if calls else _answer(found)
    return thought if isinstance(thought, str) else "", calls, answer


def _missed(said: str, tools: Sequence[str], *, whole: bool) -> tuple[str, list[ToolCall]]:
    """What a server's parser left in the text: (the text without it, calls)."""
    if tags := _TAGGED.findall(said):
        return said[: said.index("<tool_call>")].strip(), _in_tags(tags, whole=whole)
    named = any(f'"{tool}"' in said for tool in tools)
    found = _object(said, whole=whole) if named and "{" in said else None
    calls = [] if found is None else [_call(item, index) for index, item in enumerate(_items(found))]
    return ("", calls) if calls and all(call.name in tools for call in calls) else (said, [])


def _in_tags(tags: Sequence[str], *, whole: bool) -> list[ToolCall]:
    found = [_object(tag, whole=whole) for tag in tags]
    items = [item for item in found if item is not None and _items(item)]
    if len(items) < len(tags):
        raise _Unreadable("what stands in <tool_call> is no JSON object with a name and arguments")
    return [_call(item, index) for index, item in enumerate(items)]


def _object(text: str, *, whole: bool) -> dict[str, Any] | None:
    """The first JSON object of the text that is a call or an answer: what a model writes behind a call, it made up.

    An object inside a broken one is none: it begins neither the JSON nor a line. ``whole``: repairs are tried too."""
    starts = [max(0, text.find("{")), *(found.start() + 1 for found in re.finditer(r"\n\{", text))]
    for start in starts[:_MOST_STARTS]:
        try:
            found, _ = json.JSONDecoder().raw_decode(text, start)
        except (ValueError, RecursionError):
            continue
        if _speaks(found):
            return found
    repaired = json_of(text) if whole and "{" in text else None
    several = repaired if isinstance(repaired, list) else [repaired]
    return next((item for item in several if _speaks(item)), None)


def _speaks(found: Any) -> TypeGuard[dict[str, Any]]:
    """Whether it is a call or an answer."""
    return isinstance(found, dict) and bool(found.keys() & {*_CALLED, *_SEVERAL, "answer"})


def _items(found: Mapping[str, Any]) -> list[Any]:
    """What the object calls; none when it answers."""
    for key in _SEVERAL:
        if isinstance(found.get(key), list) and found[key]:
            return list(found[key])
    name = next((found[key] for key in _CALLED if found.get(key) is not None), None)
    if name is None or (isinstance(name, str) and name.strip().lower() in _NO_TOOL):
        return []
    return [found]


def _call(item: Any, index: int) -> ToolCall:
    """A call, whatever its keys are called. Raises _Unreadable."""
    if isinstance(item, dict) and isinstance(item.get("function"), dict):
        item = {**item["function"], "id": item.get("id")}
    name = next((item[key] for key in _CALLED if item.get(key)), None) if isinstance(item, dict) else None
    if not isinstance(name, str):
        raise _Unreadable(f"a call names no tool: {_short(item)}")
    given = next((item[key] for key in _GIVEN if key in item), None)
    if not any(key in item for key in _GIVEN):
        given = {key: value for key, value in item.items() if key not in _KNOWN}
    if isinstance(given, str) and given.strip():
        try:
            given = json.loads(given)
        except (ValueError, RecursionError):
            raise _Unreadable(f"the arguments of {name!r} are no JSON object: {_short(given)}") from None
    if given is None or given == "":
        given = {}
    if not isinstance(given, dict):
        raise _Unreadable(f"the arguments of {name!r} are no JSON object: {_short(given)}")
    return ToolCall(id=str(item.get("id") or f"call_{index}"), name=name.strip(), arguments=given)


def _answer(found: Mapping[str, Any]) -> str:
    """The answer as text. Raises _Unreadable."""
    answer = found.get("answer")
    text = answer if isinstance(answer, str) else "" if answer is None else json.dumps(answer, ensure_ascii=False)
    if text.strip() in ("", "...", PLACEHOLDER):
        raise _Unreadable(f"the reply calls no tool, and its answer is {_short(answer)}")
    return text.strip()


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 120 else text[:117] + "..."
