"""What goes to a model and what comes back: requests, completions, logprobs, usage."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, NamedTuple

import orjson

from phronesis.core.errors import ModelError, PhronesisError
from phronesis.core.task import Message, WrittenCall

FinishReason = Literal["stop", "length", "other"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sampling:
    """How tokens are drawn. Sent in full with each request, because servers default to the model's own settings."""

    temperature: float = 0.7
    """0 = greedy."""
    top_p: float = 0.95
    """Nucleus mass in (0, 1]."""
    top_k: int | None = None
    """Keep the k likeliest tokens; None = do not send it."""
    min_p: float | None = None
    """Drop tokens below this share of the likeliest one; None = do not send it."""
    max_tokens: int = 512
    """Longest reply, in tokens."""
    min_tokens: int | None = None
    """Shortest reply; sent to servers that know the field (vLLM)."""
    thinking: bool | None = None
    """Whether the model thinks before it answers; None = as its chat template has it."""
    thinking_tokens: int | None = None
    """Most tokens of thinking, out of ``max_tokens``; None = no limit of its own."""

    @property
    def thinking_limit(self) -> int | None:
        """The limit that holds: none where thinking is off."""
        return None if self.thinking is False else self.thinking_tokens

    def to_json(self) -> dict[str, float | int]:
        values = ((name, getattr(self, name)) for name in self.__slots__)
        return {name: value for name, value in values if value is not None}


class OfferedTool(NamedTuple):
    """A tool as a server that parses calls is told of it."""

    name: str
    description: str
    parameters: Mapping[str, Any]
    """JSON schema of the arguments."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatRequest:
    """A request as the strategy means it: no address, no adaptation to a server. Its hash guards resume."""

    messages: tuple[Message, ...]
    sampling: Sampling = field(default_factory=Sampling)
    seed: int | None = None
    """Seed of the whole request; endpoints that cannot take one are never sent it."""
    stop: tuple[str, ...] = ()
    prefill: str = ""
    """Text the assistant's turn starts with. ``Completion.text`` does not repeat it."""
    reply_schema: Mapping[str, Any] | None = None
    """JSON schema the reply has to follow."""
    logprobs: int = 0
    """How many alternatives per token are wanted; 0 = none, 1 = the chosen token only."""
    tools: tuple[OfferedTool, ...] = ()
    """What the model may call, at a server that parses calls."""

    @property
    def max_tokens(self) -> int:
        """Most tokens a choice may take."""
        return self.sampling.max_tokens

    def to_json(self) -> dict[str, Any]:
        """The request as the journal writes it."""
        data: dict[str, Any] = {
            "messages": [message.to_json() for message in self.messages],
            "sampling": self.sampling.to_json(),
            "seed": self.seed,
            "stop": list(self.stop),
            "prefill": self.prefill,
            "reply_schema": self.reply_schema,
            "logprobs": self.logprobs,
        }
        if self.tools:
            data["tools"] = [tool._asdict() for tool in self.tools]
        return data


def request_hash(request: Any) -> str:
    """16 hex digits over the JSON form of a request, whatever the order of its keys."""
    return hashlib.blake2b(orjson.dumps(request, option=orjson.OPT_SORT_KEYS), digest_size=8).hexdigest()


class Alternative(NamedTuple):
    """A token the model might have written, with its natural-log probability."""

    token: str
    logprob: float


@dataclass(frozen=True, slots=True)
class TokenLogprobs:
    """Chosen tokens with their natural-log probabilities, column by column; ``top`` is empty unless asked for."""

    tokens: tuple[str, ...]
    logprobs: tuple[float, ...]
    top: tuple[tuple[Alternative, ...], ...] = ()

    @property
    def mean(self) -> float:
        """Mean log-probability of the chosen tokens; NaN when there is none."""
        return math.fsum(self.logprobs) / len(self.logprobs) if self.logprobs else math.nan

    def to_json(self) -> dict[str, Any]:
        data: dict[str, Any] = {"t": self.tokens, "p": self.logprobs}
        if self.top:
            data["top"] = [[list(alternative) for alternative in row] for row in self.top]
        return data

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> TokenLogprobs:
        top = tuple(tuple(Alternative(str(t), float(p)) for t, p in row) for row in data.get("top", ()))
        return cls(tuple(data["t"]), tuple(data["p"]), top)


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """What was spent. Adds up with ``+``."""

    calls: int = 0
    """Completions received (one per choice)."""
    requests: int = 0
    """HTTP exchanges, retries included."""
    failed_calls: int = 0
    """Calls that were tried and brought no completion."""
    prompt_tokens: int = 0
    """Prompt tokens, once per request."""
    completion_tokens: int = 0
    """Generated tokens over all choices."""
    cached_tokens: int = 0
    """Prompt tokens the server took from its cache."""
    reasoning_tokens: int = 0
    """Generated tokens that were thinking, where they can be told apart."""

    def __add__(self, other: Usage) -> Usage:
        return Usage(
            calls=self.calls + other.calls,
            requests=self.requests + other.requests,
            failed_calls=self.failed_calls + other.failed_calls,
            prompt_tokens=self.prompt_tokens + other.prompt_tokens,
            completion_tokens=self.completion_tokens + other.completion_tokens,
            cached_tokens=self.cached_tokens + other.cached_tokens,
            reasoning_tokens=self.reasoning_tokens + other.reasoning_tokens,
        )

    @property
    def tokens(self) -> int:
        """Prompt and generated tokens together."""
        return self.prompt_tokens + self.completion_tokens

    def to_json(self) -> dict[str, int]:
        return {name: value for name in self.__slots__ if (value := getattr(self, name))}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Usage:
        return cls(**{name: int(value) for name, value in data.items()})


@dataclass(frozen=True, slots=True, kw_only=True)
class Completion:
    """One choice of a reply."""

    text: str
    """What the model wrote after the prefill."""
    finish: FinishReason = "stop"
    """``length`` = cut off by max_tokens or the context."""
    reasoning: str = ""
    """Thinking text, apart from the answer; a reply that ends inside it has no text."""
    logprobs: TokenLogprobs | None = None
    tokens: int = 0
    """Generated tokens of this choice."""
    tool_calls: tuple[WrittenCall, ...] = ()
    """Calls that the server parsed out of the reply; they are no part of the text."""

    @property
    def written(self) -> str:
        """All that the model wrote: thinking, text, calls."""
        return "".join([self.reasoning, self.text, *(call.name + call.arguments for call in self.tool_calls)])

    def to_json(self) -> dict[str, Any]:
        data: dict[str, Any] = {"text": self.text, "finish": self.finish, "tokens": self.tokens}
        if self.reasoning:
            data["reasoning"] = self.reasoning
        if self.logprobs is not None:
            data["logprobs"] = self.logprobs.to_json()
        if self.tool_calls:
            data["tool_calls"] = [call.model_dump() for call in self.tool_calls]
        return data

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Completion:
        logprobs = data.get("logprobs")
        return cls(
            text=data["text"],
            finish=data["finish"],
            reasoning=data.get("reasoning", ""),
            logprobs=None if logprobs is None else TokenLogprobs.from_json(logprobs),
            tokens=data["tokens"],
            tool_calls=tuple(WrittenCall(**call) for call in data.get("tool_calls", ())),
        )


Reply = Completion | ModelError
"""One sample: a completion, or the typed failure that stands in its place. Never both, never a text about a failure."""


def completion_of(reply: Reply) -> Completion:
    """The completion, or raises the failure."""
    if isinstance(reply, PhronesisError):
        raise reply
    return reply


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """What one HTTP exchange brought: its completions in choice order, what it cost, how long it took."""

    completions: tuple[Completion, ...]
    usage: Usage
    latency: float = 0.0
    """Seconds from the first attempt to the last byte."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelProbabilities:
    """Probability of each label at one point of a text; they add up to 1."""

    probabilities: Mapping[str, float]
    floored: tuple[str, ...] = ()
    """Labels that were not among the reported alternatives; they got the smallest reported probability as a bound."""
    covered: float = 1.0
    """Probability mass the labels had before renormalising, in [0, 1]; near 0 the figures mean little."""

    def to_json(self) -> dict[str, Any]:
        return {"probabilities": dict(self.probabilities), "floored": list(self.floored), "covered": self.covered}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> LabelProbabilities:
        return cls(
            probabilities=dict(data["probabilities"]), floored=tuple(data["floored"]), covered=float(data["covered"])
        )


def with_seed(request: ChatRequest, seed: int) -> ChatRequest:
    """The same request under another seed."""
    return replace(request, seed=seed)


def as_messages(pairs: Sequence[tuple[Literal["system", "user", "assistant"], str]]) -> tuple[Message, ...]:
    """Messages from (speaker, text) pairs."""
    return tuple(Message(role=role, content=content) for role, content in pairs)
