"""Servers on which anything may go wrong, each fault a function of seed and request alone."""

from __future__ import annotations

import hashlib
import random
import re
from typing import Any

import orjson

from phronesis.testing import FakeRequest, FakeServer, Fault

PLAIN = [
    Fault(429),
    Fault(429, retry_after=0.01),
    Fault(500),
    Fault(503, message="overloaded"),
    Fault(503, retry_after=0.01),
    Fault(drop=True),
    Fault(body=b""),
    Fault(body=b"<html>not json</html>"),
    Fault(body=b'{"choices": []}'),
    Fault(body=b'{"choices": [{"message": {}}]}'),
    Fault(body=b'{"choices": [{"message": {"content": "4"'),
    Fault(400, message="maximum context length is 10 tokens"),
    Fault(404, message="no such route"),
]
REWARD = "Qwen/Qwen2.5-Math-PRM-7B"


def solver(request: FakeRequest, index: int) -> str:
    """Attempts that differ, some without an answer, some empty; reviews, verdicts and refinements."""
    value = (request.fingerprint + index) % 9
    if "You are the reviewer" in request.user:
        return "" if value == 0 else f" Step 1 is doubtful ({value})."
    if value == 0:
        return ""
    if "Reply with one line of JSON" in request.user and value < 8:
        kinds = [
            kind for kind in ("sub_query", "intermediate", "final") if f'"{kind}"' in request.user.splitlines()[-1]
        ]
        return orjson.dumps({"type": kinds[value % len(kinds)], "text": f"{value} of [{value}]"}).decode()
    if "Write exactly one line" in request.user and value < 8:
        kinds = re.findall(r'"([\w -]+:)"', request.user.splitlines()[-1])
        return f"{'' if request.prefill else kinds[value % len(kinds)]} {value} of [{value}]"
    if value == 1:
        return " I do not know.\nStep 2: Really not.\nVerdict: yes or no"
    return f" 2 + 2 = {2 + value % 4}.\nStep 2: So it is \\boxed{{{2 + value % 4}}}\nVerdict: {'yes' if value % 2 else 'no'}"


def odd_bodies(request: FakeRequest) -> list[Fault]:
    """Replies with status 200 that are whole JSON, or nearly, and still not what was asked for."""
    n = int(request.body.get("n") or 1)
    blank, brace, rows = " \n" * 5000, "\\boxed{" * 15_000, [{"token": "4", "logprob": 0.5}]

    def body(texts: list[str], *, indices: list[int] | None = None, **more: Any) -> Fault:
        choices = [
            {"index": index, "message": {"content": text}, "finish_reason": "length", **more}
            for index, text in zip(indices or range(len(texts)), texts, strict=True)
        ]
        usage = {"prompt_tokens": 9, "completion_tokens": 10 * len(texts)}
        return Fault(body=orjson.dumps({"choices": choices, "usage": usage}))

    nan = body(["4"] * n, logprobs={"content": rows}).body or b""
    return [
        body([blank] * n),
        body([brace] * n),
        body(["Answer:" + "\n" * 5000] * n),
        body(["4"] * (n - 1)),
        body(["4"] * (n + 1)),
        body(["4"] * (n + 1), indices=[0] * (n + 1)),
        body(["4"] * n, indices=list(reversed(range(n)))),
        body(["4"] * n, logprobs={"content": rows}),
        body(["4"] * n, logprobs={"content": [{"token": "4", "logprob": None}]}),
        body(["4"] * n, logprobs={"content": []}),
        Fault(body=nan.replace(b"0.5", b"NaN")),
        Fault(body=nan.replace(b"0.5", b"-1e999")),
    ]


def _dice(seed: int, request: FakeRequest, what: str) -> random.Random:
    text = request.text if "messages" not in request.body else str(request.fingerprint)
    key = f"{seed}|{what}|{text}".encode()
    return random.Random(hashlib.blake2b(key, digest_size=8).digest())


def faulty(seed: int, **fields: Any) -> FakeServer:
    """A server that fails a share of its requests drawn from the seed, all of them at some seeds, and is late by chance."""
    rate = random.Random(seed).choice([0.05, 0.2, 0.4, 0.6, 1.0])

    def fault(request: FakeRequest, number: int) -> Fault | None:
        dice = _dice(seed, request, f"fault {number % 3}")
        pooled = "prompt" in request.body or "input" in request.body or "use_activation" in request.body
        faults = PLAIN if pooled else [*PLAIN, *odd_bodies(request)]
        return dice.choice(faults) if dice.random() < rate else None

    def late(request: FakeRequest) -> float:
        return _dice(seed, request, "late").random() * 0.01

    return FakeServer(solver, faults=fault, latency=late, max_n=128 if seed % 4 == 0 else 1, **fields)


def faulty_rewards(seed: int) -> FakeServer:
    """A pooling server with reward models of both kinds; now and then it sends fewer rows than there are steps."""

    def judged(request: FakeRequest) -> list[list[float]]:
        rows = [[0.2, 0.8]] * request.text.count("<extra_0>")
        short = _dice(seed, request, "rows").random() < 0.1
        return (rows or [[0.3]])[short:]

    return faulty(seed, model=REWARD, pool=judged)
