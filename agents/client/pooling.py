"""Reward models on the wire: pooling servers (vLLM's /pooling and /classify) and prompt log-probabilities (/v1/completions).

A pooling server answers with logits or probabilities, one row per conversation, per token or per step. A causal model
is read by what it would write behind each mark: its log-probabilities for the prompt's tokens, asked for as vLLM's
``prompt_logprobs`` or, where that is all there is, as ``echo`` with ``logprobs``. Shapes are those of vLLM 0.28.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import orjson

from phronesis.agents.client.profile import Profile, PromptLogprobs
from phronesis.core.chat import Usage
from phronesis.core.errors import CapabilityMissing, MalformedReply, ModelError, ServerFailed
from phronesis.core.reward import RewardRequest, Rewards

_ALTERNATIVES = 5
"""Tokens asked for at each place of a prompt: a trained step marker leaves next to nothing for any but its labels."""
_SLACK = 0.02
"""By how much probabilities may miss a sum of 1 (bfloat16 servers round)."""
_NO_NUMBER = re.compile(rb"[:,\[]\s*-?(?:NaN|Infinity)\b")
"""What JSON has no word for, though some servers write it."""
_SPACES = " \t▁Ġ"
"""Signs for a space before a token, as tokenizers write them."""
ABSENT = (404, 405, 501)
"""Statuses of a route that a server does not have, or that its model cannot serve."""


def reward_body(request: RewardRequest, profile: Profile) -> dict[str, Any]:
    """The JSON body for the request's route."""
    return _ROUTES[request.route].body(request, profile)


def parse_rewards(body: bytes, request: RewardRequest, url: str) -> tuple[Rewards, Usage]:
    """The rows that were asked for and what they cost.

    Raises ServerFailed for a body that is no JSON object; MalformedReply for another number of rows or of values in a
    row, for a value that is no finite number, and for probabilities that are none."""
    try:
        payload = orjson.loads(body)
        spent = payload.get("usage") or {}
        prompt, generated = int(spent.get("prompt_tokens") or 0), int(spent.get("completion_tokens") or 0)
    except (ValueError, TypeError, AttributeError) as error:
        if _NO_NUMBER.search(body):
            raise MalformedReply(f"{url} sent a reward that is no number: {body[:120]!r}") from None
        raise ServerFailed(f"{url} sent no rewards ({error!r}): {body[:120]!r}", malformed=True) from None
    try:
        rows = _ROUTES[request.route].rows(payload, request)
    except (KeyError, IndexError, TypeError, AttributeError, ValueError) as error:
        raise MalformedReply(f"{url} sent no rewards ({error!r}): {body[:120]!r}") from None
    _check(rows, request, url)
    usage = Usage(calls=1, requests=1, prompt_tokens=prompt, completion_tokens=generated)
    return rows, usage


def missing_route(error: ModelError, request: RewardRequest, url: str) -> CapabilityMissing | None:
    """What a refusal says about the server as a whole, or None when it is about this one request."""
    unknown_model = "does not exist" in error.message
    if error.details.get("status") not in ABSENT or unknown_model:
        return None
    capability = "prompt_logprobs" if request.labels else "pooling"
    return CapabilityMissing(
        f"a reward model needs {request.route}, which {url} does not offer",
        mend="serve a causal reward model as usual, without `--runner pooling`, and name its address in [models.reward]"
        if request.labels
        else "serve it with `vllm serve MODEL --runner pooling`, and name its address in [models.reward]",
        capability=capability,
    )


class _Route(NamedTuple):
    body: Callable[[RewardRequest, Profile], dict[str, Any]]
    rows: Callable[[Mapping[str, Any], RewardRequest], Rewards]


def _pooling_body(request: RewardRequest, profile: Profile) -> dict[str, Any]:
    messages = [{"role": message.role, "content": message.content} for message in request.messages]
    body: dict[str, Any] = {"model": profile.model, "messages": messages, "use_activation": request.activated}
    if request.open_ended:
        body |= {"continue_final_message": True, "add_generation_prompt": False}
    return body


def _pooled_rows(payload: Mapping[str, Any], request: RewardRequest) -> Rewards:
    """/pooling writes ``data``, /classify ``probs``; a conversation's only row may stand without its brackets."""
    item = payload["data"][0]
    found = item["probs"] if "probs" in item else item["data"]
    if not isinstance(found, list):
        raise TypeError(f"a list was expected, not {type(found).__name__}")
    rows = tuple(tuple(row) for row in found) if not found or isinstance(found[0], list) else (tuple(found),)
    return rows if request.rows else rows[-1:]


def _completion_body(request: RewardRequest, profile: Profile) -> dict[str, Any]:
    """A line break closes the text, so that there is a place behind its last mark too."""
    text = " ".join(message.content for message in request.messages) + "\n"
    sampling = {"max_tokens": 1, "temperature": 0.0}
    return {"model": profile.model, "prompt": text, **sampling, **asking(profile.prompt_logprobs)}


def asking(dialect: PromptLogprobs) -> dict[str, Any]:
    """The fields that ask for the log-probabilities of a prompt's tokens."""
    if dialect == "echo":
        return {"echo": True, "logprobs": _ALTERNATIVES}
    return {"prompt_logprobs": _ALTERNATIVES, "return_token_ids": True}


def _label_rows(payload: Mapping[str, Any], request: RewardRequest) -> Rewards:
    """Log-probabilities of the labels behind each mark. One that is not among the alternatives gets the least of them,
    a bound. Raises MalformedReply where none of the labels is."""
    rows = []
    for (token, _), (_, after) in pairwise(places(payload["choices"][0])):
        if _bare(token) != request.mark:
            continue
        known = [after.get(label) for label in request.labels]
        if not any(value is not None for value in known):
            raise MalformedReply(
                f"none of {', '.join(request.labels)} is among the likeliest tokens behind {request.mark!r}",
                mend="the model does not judge steps that way: serve a reward model, or choose its own format",
            )
        least = min(after.values())
        rows.append(tuple(least if value is None else value for value in known))
    return tuple(rows)


def places(choice: Mapping[str, Any]) -> list[tuple[str, dict[str, float]]]:
    """Each token of the prompt with the likeliest tokens at its place, bare, and their log-probabilities."""
    prompt = choice.get("prompt_logprobs")
    if prompt is None:
        block = choice["logprobs"]
        tops = [{text: (text, logprob) for text, logprob in (top or {}).items()} for top in block["top_logprobs"]]
        return [(token, _likeliest(token, top)) for token, top in zip(block["tokens"], tops, strict=True)]
    ids = choice.get("prompt_token_ids") or [None] * len(prompt)
    found = []
    for id, row in zip(ids, prompt, strict=True):
        known = {key: (entry["decoded_token"] or "", entry["logprob"]) for key, entry in (row or {}).items()}
        own = next(iter(known), "") if id is None else str(id)  # vLLM writes a place's own token first
        found.append((known[own][0] if known else "", _likeliest(own, known)))
    return found


def _likeliest(own: str, row: Mapping[str, tuple[str, float]]) -> dict[str, float]:
    """The row by bare text, without the prompt's own token where it is listed beside the likeliest ones."""
    beside = len(row) > _ALTERNATIVES
    return _merged(pair for key, pair in row.items() if not (beside and key == own))


def _merged(pairs: Iterable[tuple[str, float]]) -> dict[str, float]:
    """Spellings that differ in surrounding space only are one token, their masses added."""
    found: dict[str, float] = {}
    for text, logprob in pairs:
        token = _bare(text)
        found[token] = float(logprob) if token not in found else _log_sum(found[token], float(logprob))
    return found


def _log_sum(left: float, right: float) -> float:
    top = max(left, right)
    return top + math.log(math.exp(left - top) + math.exp(right - top))


def _bare(token: str) -> str:
    return token.strip(_SPACES)


def _check(rows: Rewards, request: RewardRequest, url: str) -> None:
    """Raises MalformedReply unless the rows are what was asked for."""
    wanted = request.rows or 1
    if len(rows) != wanted:
        raise MalformedReply(
            f"{url} sent {len(rows)} rows of rewards for {wanted} {'steps' if request.rows else 'conversation'}",
            mend="the model wants its solutions written otherwise: choose its own format, see the page on scorers",
        )
    for row in rows:
        numbers = all(isinstance(value, (int, float)) and not isinstance(value, bool) for value in row)
        if not numbers or not all(math.isfinite(value) for value in row):
            raise MalformedReply(f"{url} sent a reward that is no number: {list(row)[:4]}")
        if len(row) != request.width:
            raise MalformedReply(
                f"{url} sent {len(row)} values in a row where its format has {request.width}",
                mend="serve a reward model there (an embedder answers too), or choose the model's own format",
            )
        if request.activated and not _probabilities(row):
            raise MalformedReply(
                f"{url} sent {list(row)}, which are no probabilities",
                mend="the server does not apply the activation; use a format whose activation is sigmoid or softmax",
            )


def _probabilities(row: Sequence[float]) -> bool:
    return all(0.0 <= value <= 1.0 for value in row) and (len(row) == 1 or abs(math.fsum(row) - 1.0) <= _SLACK)


_ROUTES: dict[str, _Route] = {
    "/pooling": _Route(_pooling_body, _pooled_rows),
    "/classify": _Route(_pooling_body, _pooled_rows),
    "/v1/completions": _Route(_completion_body, _label_rows),
}
