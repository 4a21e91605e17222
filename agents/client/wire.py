"""The OpenAI chat format: our requests to its JSON, its JSON to our completions."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from itertools import accumulate, pairwise
from operator import itemgetter
from typing import Any

import orjson

from phronesis.agents.client.profile import Profile
from phronesis.agents.client.thinking import CLOSED, split_thinking
from phronesis.core.chat import Alternative, ChatRequest, Completion, FinishReason, TokenLogprobs, Usage
from phronesis.core.collector import collector_paused
from phronesis.core.errors import ContextOverflow, ModelChanged, ModelError, RateLimited, Refused, ServerFailed
from phronesis.core.http import HttpReply
from phronesis.core.task import Message, WrittenCall

_TOKEN, _LOGPROB = itemgetter("token"), itemgetter("logprob")
_CONTEXT_SIGNS = ("context length", "context size", "exceed_context", "maximum context", "too many tokens")


def chat_body(request: ChatRequest, n: int, profile: Profile, *, send_seed: bool) -> dict[str, Any]:
    """The JSON body of POST /chat/completions. Fields a server might not know are left out unless they are set."""
    sampling = request.sampling
    messages = list(map(_sent, request.messages))
    body: dict[str, Any] = {
        "model": profile.model,
        "messages": messages,
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
        "max_tokens": sampling.max_tokens,
    }
    for name in ("top_k", "min_p", "min_tokens"):
        if getattr(sampling, name) is not None:
            body[name] = getattr(sampling, name)
    if sampling.thinking is not None:
        body["chat_template_kwargs"] = {"enable_thinking": sampling.thinking}
    if n > 1:
        body["n"] = n
    if request.stop:
        body["stop"] = list(request.stop)
    if request.seed is not None and send_seed:
        body["seed"] = request.seed
    if request.prefill:
        messages.append({"role": "assistant", "content": request.prefill})
        body["continue_final_message"] = True
        body["add_generation_prompt"] = False
    if request.logprobs:
        body["logprobs"] = True
        if request.logprobs > 1:
            body["top_logprobs"] = min(request.logprobs, profile.logprobs or request.logprobs)
    if request.reply_schema is not None:
        schema = {"name": "reply", "schema": request.reply_schema, "strict": True}
        body["response_format"] = {"type": "json_schema", "json_schema": schema}
    if request.tools:
        body["tools"] = [{"type": "function", "function": tool._asdict()} for tool in request.tools]
        body["tool_choice"] = "auto"
    return body


def _sent(message: Message) -> dict[str, Any]:
    """A message as servers take it."""
    data = message.to_json()
    if message.tool_calls:
        data["tool_calls"] = [
            {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
            for call in message.tool_calls
        ]
    return data


def error_of(reply: HttpReply, url: str, *, secret: str | None = None) -> ModelError:
    """The typed failure for a status of 400 and above; the secret, should the server repeat it, is left out."""
    text = reply.body[:600].decode("utf-8", "replace")
    try:
        payload = orjson.loads(reply.body)
        inner = payload.get("error", payload) if isinstance(payload, dict) else payload
        text = str(inner.get("message", inner) if isinstance(inner, dict) else inner)[:600]
    except ValueError:
        pass
    text = text.replace(secret, "***") if secret else text
    status = reply.status
    if status == 429:
        return RateLimited(f"{url} answered 429: {text}", status=status, retry_after=_seconds(reply.headers))
    if status >= 500 or status == 408:
        return ServerFailed(f"{url} answered {status}: {text}", status=status, retry_after=_seconds(reply.headers))
    if status in (400, 413, 422) and any(sign in text.lower() for sign in _CONTEXT_SIGNS):
        return ContextOverflow(
            f"prompt and reply do not fit the model: {text}",
            mend="shorten the task, lower max_tokens, or serve the model with a longer context",
            status=status,
        )
    mend = "set OPENAI_API_KEY" if status in (401, 403) else None
    return Refused(f"{url} answered {status}: {text}", mend=mend, status=status)


def _seconds(headers: Mapping[str, str]) -> float | None:
    """Retry-After, in seconds or as a date; a date is read against the server's own clock, where it sends one."""
    value = headers.get("retry-after", "")
    try:
        seconds = float(value)
    except ValueError:
        until = _date(value)
        if until is None:
            return None
        seconds = (until - (_date(headers.get("date", "")) or datetime.now(UTC))).total_seconds()
    return max(0.0, seconds) if math.isfinite(seconds) else None


def _date(value: str) -> datetime | None:
    try:
        read = parsedate_to_datetime(value)
    except (ValueError, TypeError):
        return None
    return read if read.tzinfo else read.replace(tzinfo=UTC)


def parse_reply(
    body: bytes, n: int, profile: Profile, request: ChatRequest, url: str
) -> tuple[tuple[Completion, ...], Usage]:
    """n completions in choice order and what they cost.

    Raises ServerFailed when the body is not JSON, holds fewer choices than were asked for or one of them twice; ModelChanged
    when the reply carries another model's name than the probe's reply did."""
    try:
        with collector_paused():
            payload = orjson.loads(body)
            choices = sorted(payload["choices"], key=lambda choice: choice.get("index", 0))
            name, twice = str(payload.get("model") or ""), repeated_index(choices)
            completions = tuple(_completion(choice, profile, request) for choice in choices[:n])
            spent = payload.get("usage") or {}
            details = spent.get("prompt_tokens_details") or {}
            prompt, generated = int(spent.get("prompt_tokens") or 0), int(spent.get("completion_tokens") or 0)
            cached = int(details.get("cached_tokens") or 0)
            thought = int((spent.get("completion_tokens_details") or {}).get("reasoning_tokens") or 0)
            del payload, choices
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ServerFailed(f"{url} sent no chat completion ({error!r}): {body[:120]!r}", malformed=True) from None
    if profile.answers_as and name and name != profile.answers_as:
        raise ModelChanged(
            f"{url} answered as the model {name!r}, and as {profile.answers_as!r} before",
            mend="serve the model that the run began with, then resume the run; or start a new run",
        )
    if twice is not None:
        raise ServerFailed(f"{url} sent two choices with the index {twice}", malformed=True)
    if len(completions) < n:
        raise ServerFailed(f"{url} sent {len(completions)} of {n} choices", malformed=True)
    counted = sum(completion.tokens for completion in completions)
    if n > 1 and not profile.counts_all_choices:
        generated = max(generated, counted)
    elif counted == 0 and generated:
        completions = _shared_out(completions, generated)
    return completions, Usage(
        calls=n,
        requests=1,
        prompt_tokens=prompt,
        completion_tokens=generated or counted,
        cached_tokens=cached,
        reasoning_tokens=thought,
    )


def repeated_index(choices: Sequence[Mapping[str, Any]]) -> Any:
    """An index that two choices have, or None. Choices without one are taken at their order."""
    found = sorted(choice["index"] for choice in choices if "index" in choice)
    return next((left for left, right in pairwise(found) if left == right), None)


def _shared_out(completions: Sequence[Completion], tokens: int) -> tuple[Completion, ...]:
    """A request's generated tokens shared out by length of text (an estimate); whole numbers with the right sum."""
    lengths = [len(completion.written) or 1 for completion in completions]
    ends = [round(tokens * end / sum(lengths)) for end in accumulate(lengths)]
    return tuple(
        replace(completion, tokens=end - start)
        for completion, start, end in zip(completions, [0, *ends[:-1]], ends, strict=True)
    )


def _completion(choice: Mapping[str, Any], profile: Profile, request: ChatRequest) -> Completion:
    message = choice["message"]
    text = _text(message.get("content"))
    if request.prefill and profile.prefill == "echo":
        text = text.removeprefix(request.prefill)
    finish: FinishReason = {"stop": "stop", "length": "length"}.get(choice.get("finish_reason") or "", "other")  # type: ignore[assignment]  # mypy widens the dict's values to str
    logprobs = _logprobs(choice.get("logprobs"), alternatives=request.logprobs > 1)
    reasoning = _text(message.get("reasoning") or message.get("reasoning_content"))
    if CLOSED in request.prefill and not text:
        text, reasoning = reasoning, ""
    calls = tuple(_written(call, number) for number, call in enumerate(message.get("tool_calls") or ()))
    if calls and choice.get("finish_reason") == "tool_calls":
        finish = "stop"
    if not reasoning:
        reasoning, text = split_thinking(text, opened=begins_thinking(request, profile))
    return Completion(
        text=text,
        finish=finish,
        reasoning=reasoning,
        logprobs=logprobs,
        tokens=len(logprobs.tokens) if logprobs else 0,
        tool_calls=calls,
    )


def _written(call: Mapping[str, Any], number: int) -> WrittenCall:
    """A call as the model wrote it; what names it, where the server does not, is its place."""
    function = call["function"]
    given = function.get("arguments")
    arguments = given if isinstance(given, str) else orjson.dumps({} if given is None else given).decode()
    return WrittenCall(id=_text(call.get("id")) or f"call_{number}", name=_text(function["name"]), arguments=arguments)


def begins_thinking(request: ChatRequest, profile: Profile) -> bool:
    """Whether the reply begins inside the thinking, without a tag that says so."""
    return profile.opens_thinking and request.sampling.thinking is not False and not request.prefill


def _text(value: Any) -> str:
    """A text field; absent and null are empty. Raises TypeError for anything else."""
    if value is not None and not isinstance(value, str):
        raise TypeError(f"a text was expected, not {type(value).__name__}")
    return value or ""


def _logprobs(block: Mapping[str, Any] | None, *, alternatives: bool) -> TokenLogprobs | None:
    content = (block or {}).get("content")
    if not content:
        return None
    rows = [row.get("top_logprobs") or () for row in content] if alternatives else []
    top = tuple(tuple(Alternative(alt["token"], alt["logprob"]) for alt in row) for row in rows) if any(rows) else ()
    return TokenLogprobs(tuple(map(_TOKEN, content)), tuple(map(float, map(_LOGPROB, content))), top)
