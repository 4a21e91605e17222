"""Log-probabilities of a part of a reply."""

from __future__ import annotations

import math
from itertools import accumulate

from phronesis.core.chat import TokenLogprobs


def span_logprob(logprobs: TokenLogprobs, text: str, start: int, end: int) -> float | None:
    """Mean natural-log probability of the tokens that touch ``text[start:end]``.

    None for an empty span, and where the tokens do not spell the text (a server that cuts or re-encodes it), because
    then nobody knows which tokens are meant."""
    if not 0 <= start < end <= len(text) or not "".join(logprobs.tokens).startswith(text):
        return None
    ends = list(accumulate(len(token) for token in logprobs.tokens))
    touched = [
        logprob
        for logprob, token, stop in zip(logprobs.logprobs, logprobs.tokens, ends, strict=True)
        if token and stop > start and stop - len(token) < end
    ]
    return math.fsum(touched) / len(touched) if touched else None
