"""When a failed exchange is tried again, and after how long."""

from __future__ import annotations

import asyncio
import random

import pytest

from phronesis.agents.client.retry import RetryRule, with_retries
from phronesis.agents.client.wire import error_of
from phronesis.core.errors import (
    ContextOverflow,
    ModelError,
    RateLimited,
    Refused,
    Retryable,
    ServerFailed,
    TimedOut,
)
from phronesis.core.http import HttpReply


def test_pauses_grow_with_jitter_up_to_a_bound() -> None:
    rule, rng = RetryRule(retries=50, first=0.25, longest=20.0), random.Random(0)
    for attempt in range(12):
        found = [rule.pause(attempt, None, rng) for _ in range(200)]
        whole = min(20.0, 0.25 * 2**attempt)
        assert all(pause is not None and whole / 2 <= pause <= whole for pause in found)
        assert len(set(found)) > 100, "two clients do not come back in step"


def test_a_named_pause_is_a_lower_bound() -> None:
    rule, rng = RetryRule(retries=5, patience=60), random.Random(0)
    assert rule.pause(0, 30.0, rng) == 30.0
    pause = rule.pause(0, 0.0, rng)
    assert pause is not None and pause > 0
    assert rule.pause(0, 60.5, rng) is None and rule.pause(5, None, rng) is None
    assert RetryRule(retries=0).pause(0, None, rng) is None


def run(failures: list[BaseException], rule: RetryRule) -> tuple[str, int]:
    attempts = 0

    async def work() -> str:
        if failures:
            raise failures.pop(0)
        return "done"

    def count() -> None:
        nonlocal attempts
        attempts += 1

    async def go() -> str:
        return await with_retries(work, rule, on_attempt=count)

    return asyncio.run(go()), attempts


@pytest.mark.parametrize("kind", [Retryable, RateLimited, ServerFailed, TimedOut])
def test_what_may_pass_is_tried_until_it_does(kind: type[Retryable]) -> None:
    assert run([kind("x")] * 3, RetryRule(retries=3, first=0.0001)) == ("done", 4)
    with pytest.raises(kind, match="fourth"):
        run([kind("x")] * 3 + [kind("fourth")], RetryRule(retries=3, first=0.0001))


@pytest.mark.parametrize("error", [Refused("x"), ContextOverflow("x"), ModelError("x"), ValueError("bug")])
def test_nothing_else_is_tried_again(error: Exception) -> None:
    failures: list[BaseException] = [error, error]
    with pytest.raises(type(error)):
        run(failures, RetryRule(retries=3, first=0.0001))
    assert len(failures) == 1


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, Refused), (401, Refused), (404, Refused), (408, ServerFailed), (409, Refused), (422, Refused),
        (429, RateLimited), (500, ServerFailed), (502, ServerFailed), (503, ServerFailed), (504, ServerFailed),
        (529, ServerFailed),
    ],
)  # fmt: skip
def test_each_status_has_its_type(status: int, kind: type[ModelError]) -> None:
    for body in (b'{"error": {"message": "why"}}', b'{"message": "why"}', b'{"error": "why"}', b"why", b'["why"]'):
        error = error_of(HttpReply(status, {}, body), "http://x/v1")
        assert type(error) is kind and "why" in error.message and str(status) in error.message


@pytest.mark.parametrize(("header", "seconds"), [("2", 2.0), ("0.5", 0.5), ("-3", 0.0), ("soon", None), ("", None)])
def test_the_header_is_read(header: str, seconds: float | None) -> None:
    for status in (429, 503):
        error = error_of(HttpReply(status, {"retry-after": header}, b""), "http://x/v1")
        assert error.details["retry_after"] == seconds
    assert error_of(HttpReply(429, {}, b""), "u").details["retry_after"] is None


@pytest.mark.parametrize("status", [400, 413, 422])
def test_a_full_context_is_known_by_its_text(status: int) -> None:
    body = b'{"object": "error", "message": "This model\'s maximum context length is 10 tokens", "code": 400}'
    assert type(error_of(HttpReply(status, {}, body), "u")) is ContextOverflow
    assert type(error_of(HttpReply(500, {}, body), "u")) is ServerFailed
