"""Replies to typed values: parse, repair, and one re-ask; each call counted."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any, TypeVar

import orjson
from pydantic import BaseModel, ValidationError

from phronesis.core.chat import ChatRequest, Completion, completion_of
from phronesis.core.errors import MalformedReply
from phronesis.core.ports import ChatClient
from phronesis.core.site import Site
from phronesis.core.task import Message

M = TypeVar("M", bound=BaseModel)
_QUOTE = re.compile(r'(?<!\\)"')
_FENCE = re.compile(r"```(?:json)?(.*?)```", re.DOTALL)
_LONGEST, _MOST_BRACES = 4000, 64
"""What is longer, or opens more braces, is not repaired: that takes time that grows with their product."""


def decode(completion: Completion, reply: type[M]) -> M:
    """The typed reply. Fences and prose around one JSON object are tolerated, and so are small JSON errors.

    Raises MalformedReply with the text kept: for an empty or cut-off reply, and for one that lacks a wanted key. Nothing
    is ever filled in."""
    text = completion.text.strip()
    if not text:
        raise MalformedReply("the reply is empty", text="", reason="empty")
    if completion.finish == "length":
        raise MalformedReply("the reply was cut off by max_tokens", text=text[:2000], reason="cut off")
    try:
        return reply.model_validate(json_of(text))
    except ValidationError as error:
        problems = "; ".join(f"{'.'.join(map(str, item['loc'])) or 'reply'}: {item['msg']}" for item in error.errors())
        raise MalformedReply(
            f"the reply is not a {reply.__name__.lstrip('_')}: {problems}", text=text[:2000], reason="keys"
        ) from None


def json_of(text: str) -> Any:
    """The JSON of a reply: the whole of it, else what a fence holds, else from the first brace to the last; then
    repaired. A text that breaks off inside a string is not: nobody knows how it went on."""
    fenced = _FENCE.search(text)
    candidates = [text, *([fenced[1].strip()] if fenced else [])]
    candidates += [_braced(part) for part in reversed(candidates) if "{" in part]
    for candidate in candidates:
        try:
            return orjson.loads(candidate)
        except ValueError:
            continue
    found = candidates[-1]
    if len(found) > _LONGEST or found.count("{") > _MOST_BRACES or len(_QUOTE.findall(found)) % 2:
        return None
    from json_repair import repair_json

    try:
        return repair_json(found, return_objects=True)
    except (ValueError, RecursionError):  # brackets inside one another without end
        return None


def _braced(text: str) -> str:
    """From the first brace to the last closing one, or to the end where none closes."""
    end = text.rfind("}") + 1
    start = text.find("{")
    return text[start:end] if end > start else text[start:]


async def ask(client: ChatClient, request: ChatRequest, reply: type[M], *, site: Site) -> M:
    """A typed reply: the schema is sent along, the reply decoded, and once more asked for when it cannot be.

    Cost: 1 call, or 2. Raises MalformedReply when the second one is no better; ModelError; BudgetExhausted."""
    wanted = replace(request, reply_schema=reply.model_json_schema())
    (first,) = await client.sample(wanted, 1, site=site)
    completion = completion_of(first)
    try:
        return decode(completion, reply)
    except MalformedReply as error:
        keys = ", ".join(f'"{name}"' for name in reply.model_fields)
        said = Message(role="assistant", content=completion.text.strip()[:2000] or "(nothing)")
        order = (
            f"That cannot be used: {error.message}. Reply with one JSON object with the keys {keys} and nothing else."
        )
        turns = (*request.messages, said, Message(role="user", content=order))
        again = replace(wanted, messages=turns, prefill="")
        (second,) = await client.sample(again, 1, site=site.again())
        return decode(completion_of(second), reply)
