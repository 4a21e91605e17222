"""Models that think before they answer: thinking told apart from the answer, and kept within a budget of tokens.

A server with a reasoning parser reports the two apart. Elsewhere thinking stands in the text, between tags, or before a
closing tag alone where the chat template wrote the opening one. A budget is enforced with two requests, on any server that
continues an assistant's message: the first writes the thinking and ends at the closing tag or at the budget, the second is
given the thinking as closed and writes the answer. Source: budget forcing, Muennighoff et al. 2025, s1 (arXiv 2501.19393).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import NamedTuple

from phronesis.core.chat import Batch, ChatRequest, Completion, TokenLogprobs, Usage
from phronesis.core.errors import ConfigurationError, ModelError
from phronesis.core.seeds import derive
from phronesis.core.side_by_side import side_by_side

OPENED, CLOSED = "<think>", "</think>"
Complete = Callable[[ChatRequest, int], Awaitable[Batch]]


class Parts(NamedTuple):
    """A text taken apart."""

    thinking: str
    answer: str


def split_thinking(text: str, *, opened: bool = False) -> Parts:
    """Thinking and answer of a text. A text that ends inside its thinking has no answer.

    ``opened``: the chat template begins the reply inside the thinking, so a text without tags is all thinking."""
    begun = text.lstrip()
    tagged = begun.startswith(OPENED)
    thinking, closed, answer = begun.removeprefix(OPENED).partition(CLOSED)
    if closed:
        return Parts(thinking.strip(), answer.lstrip())
    return Parts(thinking.strip(), "") if tagged or opened else Parts("", text)


async def think_within(complete: Complete, request: ChatRequest, n: int, *, tokens: int) -> Batch:
    """n completions whose thinking took ``tokens`` at most; the answer has what is left of max_tokens.

    One call of the account per choice, 1 + n requests, usage summed. Needs a server that continues an assistant's message.
    Raises ConfigurationError, before anything is sent, when nothing would be left for the answer; ModelError, with what the
    first request cost in ``details['paid']``."""
    most = request.sampling.max_tokens
    if tokens >= most:
        raise ConfigurationError(
            f"thinking_tokens = {tokens} leaves nothing of max_tokens = {most} for the answer",
            mend="raise max_tokens, or lower thinking_tokens",
        )
    first = replace(
        request,
        sampling=replace(request.sampling, max_tokens=tokens, min_tokens=None),
        stop=(CLOSED,),
        prefill="",
        reply_schema=None,
    )
    thought = await complete(first, n)

    async def answered(index: int, thinking: Completion) -> tuple[Completion, Batch]:
        text = thinking.reasoning or thinking.text.strip()
        left = most - (thinking.tokens or tokens)
        second = replace(
            request,
            sampling=replace(request.sampling, max_tokens=max(1, left)),
            prefill=f"{OPENED}\n{text}\n{CLOSED}\n\n{request.prefill}",
            seed=None if request.seed is None else derive(request.seed, "answer", index),
        )
        batch = await complete(second, 1)
        return _joined(thinking, text, batch.completions[0]), batch

    try:
        pairs = await side_by_side([answered(*pair) for pair in enumerate(thought.completions)])
    except ModelError as error:
        error.details["paid"] = thought.usage.to_json()
        raise
    usage = sum((batch.usage for _, batch in pairs), _of_thinking(thought.usage))
    latency = thought.latency + max(batch.latency for _, batch in pairs)
    return Batch(completions=tuple(item for item, _ in pairs), usage=replace(usage, calls=n), latency=latency)


def _of_thinking(usage: Usage) -> Usage:
    return replace(usage, reasoning_tokens=usage.completion_tokens)


def _joined(thinking: Completion, text: str, answer: Completion) -> Completion:
    return replace(
        answer,
        text=answer.text.lstrip("\n"),
        reasoning=text,
        logprobs=_both(thinking.logprobs, answer.logprobs),
        tokens=thinking.tokens + answer.tokens,
    )


def _both(first: TokenLogprobs | None, second: TokenLogprobs | None) -> TokenLogprobs | None:
    if first is None or second is None:
        return None
    top = first.top + second.top if first.top and second.top else ()
    return TokenLogprobs(first.tokens + second.tokens, first.logprobs + second.logprobs, top)
