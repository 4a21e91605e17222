"""Log-probabilities of a part of a reply."""

from __future__ import annotations

import math
import re
from collections.abc import Collection
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


def word_probability(
    logprobs: TokenLogprobs, text: str, place: int, words: Collection[str], others: Collection[str]
) -> float | None:
    """Probability of ``words`` at ``text[place]``, in [0, 1]: their mass among the alternatives reported there;
    where none of them was, 1 minus the mass of ``others``; None where neither was, or the tokens do not spell the
    text. Case and punctuation apart; words in small letters. Not renormalised (GenRM, arXiv 2504.01005)."""
    if not 0 <= place < len(text) or not "".join(logprobs.tokens).startswith(text):
        return None
    ends = accumulate(len(token) for token in logprobs.tokens)
    at = next(index for index, end in enumerate(ends) if end > place)
    reported = {logprobs.tokens[at]: logprobs.logprobs[at]}
    reported |= dict(logprobs.top[at]) if at < len(logprobs.top) else {}
    spelled = [(re.sub(r"\W", "", token).casefold(), math.exp(logprob)) for token, logprob in reported.items()]
    wanted = [mass for word, mass in spelled if word in words]
    against = [mass for word, mass in spelled if word in others]
    if not wanted and not against:
        return None
    return min(1.0, math.fsum(wanted)) if wanted else max(0.0, 1.0 - math.fsum(against))
