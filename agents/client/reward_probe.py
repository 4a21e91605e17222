"""Finds out what a reward model's endpoint offers, with at most three tiny requests besides the list of models.

It is apart from ``probe`` because a pooling server refuses to chat, and because only roles that want rewards pay for it.
"""

from __future__ import annotations

import orjson

from phronesis.agents.client.pooling import ABSENT, asking, places
from phronesis.agents.client.probe import Send, card_of
from phronesis.agents.client.profile import Profile, PromptLogprobs

_TEXT = "1 + 1 = 2"
_DIALECTS: tuple[PromptLogprobs, ...] = ("vllm", "echo")


async def probe_rewards(send: Send, *, url: str, wanted_model: str | None) -> Profile:
    """The profile with its two fields about rewards. A pooling server is not asked for log-probabilities: it has none.

    Raises as ``probe`` does."""
    model, card = await card_of(send, url, wanted_model)
    pooling = (await send("POST", "/pooling", {"model": model, "input": _TEXT})).status not in ABSENT
    return Profile(
        model=model,
        engine=str(card.get("owned_by", "unknown")),
        pooling=pooling,
        prompt_logprobs="no" if pooling else await _dialect(send, model),
        context_length=card.get("max_model_len") or (card.get("meta") or {}).get("n_ctx"),
    )


async def _dialect(send: Send, model: str) -> PromptLogprobs:
    for dialect in _DIALECTS:
        body = {"model": model, "prompt": _TEXT, "max_tokens": 1, "temperature": 0.0, **asking(dialect)}
        reply = await send("POST", "/v1/completions", body)
        if reply.status == 200 and _has_places(reply.body):
            return dialect
    return "no"


def _has_places(body: bytes) -> bool:
    """More than one: the prompt's tokens, not only the one that was written."""
    try:
        return sum(bool(after) for _, after in places(orjson.loads(body)["choices"][0])) > 1
    except (ValueError, KeyError, IndexError, TypeError, AttributeError):
        return False
