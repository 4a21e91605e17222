"""How likely a model finds each of a few labels as the next text.

Servers report log-probabilities of a token's likeliest alternatives, whatever is sampled. The mass of a label is the sum
over the alternatives that spell it (case and surrounding space apart); a label of several tokens is followed token by
token through the prefill, so that its mass is that of the sequence. What goes on to a longer label (10) does not count for
the shorter one it begins with (1).
"""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace

from phronesis.core.chat import Alternative, Batch, ChatRequest, LabelProbabilities, Usage
from phronesis.core.errors import ModelError

Complete = Callable[[ChatRequest, int], Awaitable[Batch]]
_FOLLOW = 1e-4
"""A partial label below this mass is not followed further."""
_DEEPEST = 8
"""Most tokens of a label."""


async def label_probabilities(
    complete: Complete, request: ChatRequest, labels: Sequence[str], *, most: int
) -> tuple[LabelProbabilities, Batch]:
    """Probabilities that add up to 1, and one Batch with what was spent: one call, one request per token followed.

    A label that no reported alternative spells gets the smallest reported probability as its mass, and is named in
    ``floored``. Source: the yes/no scorer of GenRM-style verifiers; the floor and the sequences are ours."""
    one_token = replace(request.sampling, temperature=1.0, top_p=1.0, top_k=None, min_p=None, max_tokens=1)
    one_token = replace(one_token, thinking_tokens=None)
    base = replace(request, sampling=one_token, logprobs=most, reply_schema=None, stop=())
    mass = dict.fromkeys(labels, 0.0)
    floor = 1.0
    usage = Usage()
    latency = 0.0
    pending: list[tuple[str, float, int, str | None]] = [("", 1.0, 0, None)]
    while pending:
        spelled, weight, depth, shorter = pending.pop(0)
        try:
            batch = await complete(replace(base, prefill=request.prefill + spelled), 1)
        except ModelError as error:
            error.details["paid"] = usage.to_json()
            raise
        usage += batch.usage
        latency += batch.latency
        completion = batch.completions[0]
        row: tuple[Alternative, ...] = ()
        if completion.logprobs is not None:
            row = completion.logprobs.top[0] if completion.logprobs.top else ()
            row = row or (Alternative(completion.logprobs.tokens[0], completion.logprobs.logprobs[0]),)
        for token, logprob in row:
            share = weight * math.exp(logprob)
            floor = min(floor, max(share, 1e-12))
            text = spelled + token
            exact = next((label for label in labels if _same(label, text)), None)
            longer = [label for label in labels if label != exact and _begins(label, text)]
            if exact is not None:
                mass[exact] += share
                if shorter is not None:
                    mass[shorter] -= share
            if longer and share >= _FOLLOW and depth + 1 < _DEEPEST:
                pending.append((text, share, depth + 1, exact or shorter))
    covered = min(1.0, math.fsum(mass.values()))
    floored = tuple(label for label in labels if mass[label] <= 0.0)
    for label in floored:
        mass[label] = floor
    total = math.fsum(mass.values())
    probabilities = {label: value / total for label, value in mass.items()}
    found = LabelProbabilities(probabilities=probabilities, floored=floored, covered=covered)
    return found, Batch(completions=(), usage=replace(usage, calls=1), latency=latency)


def _same(label: str, text: str) -> bool:
    return label.casefold() == text.strip().casefold()


def _begins(label: str, text: str) -> bool:
    start = text.lstrip().casefold()
    return bool(start) and label.casefold().startswith(start)
