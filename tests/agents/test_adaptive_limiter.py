"""The adaptive limit: its rule as numbers, and what it makes of servers that refuse, pause, slow down or cap n."""

from __future__ import annotations

import asyncio
import random
import threading
import time
from collections import deque
from collections.abc import Coroutine, Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any, TypeVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from phronesis.agents.client import limiter as module
from phronesis.agents.client.adaptive import AdaptiveLimit, AdaptiveRule, Pace, Start, pace_of
from phronesis.agents.client.endpoint import Endpoint
from phronesis.agents.client.limiter import Limiter, limiters
from phronesis.agents.client.retry import RetryRule
from phronesis.agents.client.wire import error_of
from phronesis.core.chat import Batch, ChatRequest, Sampling, as_messages
from phronesis.core.errors import RateLimited
from phronesis.core.http import HttpReply, close_pools
from phronesis.testing import FakeRequest, FakeServer, Fault

T = TypeVar("T")
RULE = AdaptiveRule(first=8)


@pytest.fixture(autouse=True)
def fresh_limiters(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A port that comes back must not bring an earlier test's limit with it."""
    monkeypatch.setattr(module, "_LIMITERS", {})
    yield


def go(work: Coroutine[Any, Any, T]) -> T:
    async def inner() -> T:
        try:
            return await asyncio.wait_for(work, 30)
        finally:
            await close_pools()

    return asyncio.run(inner())


def asked(text: str = "How many?", **fields: Any) -> ChatRequest:
    return ChatRequest(messages=as_messages([("user", text)]), **fields)


def filled(limit: AdaptiveLimit) -> list[Start]:
    """As many requests as may start."""
    return [limit.start(number + 1) for number in range(limit.limit)]


def round_of(limit: AdaptiveLimit, *, now: float = 0.0, pace: Pace | None = None) -> None:
    """A window of requests, all places taken, all of them answered."""
    for start in filled(limit):
        limit.succeeded(start, now=now, in_flight=limit.limit, pace=pace)


# The rule.


def test_it_doubles_per_round_until_the_first_refusal_and_then_adds_one() -> None:
    limit = AdaptiveLimit(1000, RULE)
    seen = [limit.limit]
    for _ in range(4):
        round_of(limit)
        seen.append(limit.limit)
    assert seen == [8, 16, 32, 64, 128]
    limit.refused(filled(limit)[-1], now=1.0, in_flight=128)
    after = limit.limit
    assert after == 102
    for _ in range(5):
        round_of(limit, now=2.0)
    assert after + 3 <= limit.limit <= after + 5


def test_it_never_passes_the_configured_limit_and_reaches_it_exactly() -> None:
    for most in (1, 3, 8, 50):
        limit = AdaptiveLimit(most, RULE)
        for _ in range(10):
            round_of(limit)
        assert limit.limit == most


def test_the_default_start_does_not_hold_back_64_samples() -> None:
    assert AdaptiveLimit(64).limit == 64 and AdaptiveLimit(256).limit == 64


def test_it_does_not_grow_while_places_are_free() -> None:
    limit = AdaptiveLimit(100, RULE)
    for _ in range(200):
        limit.succeeded(limit.start(1), now=0.0, in_flight=7)
    assert limit.limit == 8


def test_a_window_of_refusals_is_one_cut() -> None:
    limit = AdaptiveLimit(100, AdaptiveRule(first=50))
    window = filled(limit)
    for start in window:
        limit.refused(start, now=1.0, in_flight=50)
    assert limit.limit == 40 and len(limit.changes) == 1
    limit.refused(limit.start(40), now=1.0, in_flight=40)
    assert limit.limit == 32
    assert [(change.before, change.after, change.why) for change in limit.changes] == [
        (50, 40, "refused"), (40, 32, "refused"),
    ]  # fmt: skip


def test_a_cut_is_of_what_was_in_flight() -> None:
    limit = AdaptiveLimit(64)
    limit.refused(limit.start(10), now=0.0, in_flight=10)
    assert limit.limit == 8


def test_a_request_that_was_alone_only_pauses() -> None:
    limit = AdaptiveLimit(64)
    limit.refused(limit.start(1), now=10.0, in_flight=1, retry_after=3.0)
    assert (limit.limit, limit.closed_until, limit.changes) == (64, 13.0, ())


def test_the_longest_pause_holds() -> None:
    limit = AdaptiveLimit(64)
    for now, pause in ((10.0, 5.0), (11.0, 1.0)):
        limit.refused(limit.start(1), now=now, in_flight=1, retry_after=pause)
    assert limit.closed_until == 15.0


def test_after_a_calm_it_doubles_again() -> None:
    limit = AdaptiveLimit(64, AdaptiveRule(calm=60.0))
    while limit.limit > 4:
        limit.refused(limit.start(limit.limit), now=0.0, in_flight=limit.limit)
    for _ in range(5):
        round_of(limit, now=61.0)
    assert limit.limit == 64


@given(
    most=st.integers(1, 200),
    first=st.integers(1, 100),
    events=st.lists(st.tuples(st.booleans(), st.integers(0, 50), st.floats(0, 5)), max_size=300),
)
def test_it_stays_between_one_and_the_configured_limit(
    most: int, first: int, events: list[tuple[bool, int, float]]
) -> None:
    limit = AdaptiveLimit(most, AdaptiveRule(first=first))
    now = 0.0
    open_starts: list[Start] = []
    for good, pick, wait in events:
        now += wait
        open_starts.append(limit.start(len(open_starts) + 1))
        start = open_starts[pick % len(open_starts)]
        cuts = len(limit.changes)
        before = limit.limit
        if good:
            limit.succeeded(start, now=now, in_flight=pick, pace=pace_of(wait, prompt_tokens=10, tokens=20))
        else:
            limit.refused(start, now=now, in_flight=pick, retry_after=wait if pick % 2 else None)
        assert 1 <= limit.limit <= most
        assert limit.limit <= before + 1
        assert len(limit.changes) - cuts in (0, 1)


@given(capacity=st.integers(1, 40), most=st.integers(1, 128), seed=st.integers(0, 1000))
@settings(max_examples=60, deadline=None)
def test_it_settles_near_what_a_server_takes(capacity: int, most: int, seed: int) -> None:
    """A simulated server that refuses above its capacity, requests that come back until they are served."""
    rng = random.Random(seed)
    limit = AdaptiveLimit(most)
    running: list[Start] = []
    late: list[int] = []
    for turn in range(3000):
        if len(running) < limit.limit:
            start = limit.start(len(running) + 1)
            if len(running) >= capacity:
                limit.refused(start, now=float(turn), in_flight=len(running) + 1)
                continue
            running.append(start)
        if running and (len(running) >= limit.limit or rng.random() < 0.3):
            start = running.pop(rng.randrange(len(running)))
            limit.succeeded(start, now=float(turn), in_flight=len(running) + 1)
        late += [limit.limit] if turn > 1500 else []
    goal = min(capacity, most)
    mean = sum(late) / len(late)
    assert 0.6 * goal <= mean <= 2 * goal + 2, (mean, goal)


# Slowness.


def test_short_replies_say_nothing() -> None:
    assert pace_of(1.0, prompt_tokens=100, tokens=15) is None
    assert pace_of(1.0, prompt_tokens=100, tokens=0) is None
    pace = pace_of(2.0, prompt_tokens=100, tokens=20)
    assert pace is not None and (pace.per_token, pace.seconds) == (0.1, 2.0)
    assert pace.kind != getattr(pace_of(2.0, prompt_tokens=5000, tokens=20), "kind", None)


def loaded(limit: AdaptiveLimit, load: int, seconds: float, *, count: int = 300) -> None:
    """Replies at a steady load and pace."""
    for _ in range(count):
        limit.succeeded(limit.start(load), now=0.0, in_flight=load, pace=Pace((5, 8), seconds, 200 * seconds))


@pytest.mark.parametrize("slots", [1, 4, 8, 64])
def test_a_healthy_server_that_queues_is_never_cut(slots: int) -> None:
    """Seconds per token grow with the queue, in proportion to the load: as many replies per second as before."""
    limit = AdaptiveLimit(64)
    for load in (1, 2, 4, 8, 16, 32, 64, 64, 32, 1, 64):
        loaded(limit, load, 0.02 * max(1.0, load / slots))
    assert limit.changes == () and limit.limit == 64


def test_noise_on_a_healthy_server_is_never_a_cut() -> None:
    rng = random.Random(0)
    limit = AdaptiveLimit(64)
    for _ in range(5000):
        loaded(limit, 64, 0.02 * rng.choice([0.5, 1, 1, 2, 5, 9]), count=1)
    assert limit.changes == ()


def test_a_server_that_thrashes_is_cut_and_not_below_a_floor() -> None:
    limit = AdaptiveLimit(64)
    loaded(limit, 16, 0.02)
    loaded(limit, 64, 0.02 * 3, count=100)
    assert limit.changes == (), "three times as slow at four times the load"
    loaded(limit, 64, 0.02 * 40, count=80)
    assert len(limit.changes) == 1 and limit.changes[0].why == "slow" and limit.limit == 51
    seen = []
    for _ in range(60):
        loaded(limit, limit.limit, 0.02 * 40, count=70)
        seen.append(limit.limit)
    assert min(seen) >= limit.rule.least_when_slow and limit.limit <= 8


def test_requests_of_another_kind_are_not_compared() -> None:
    limit = AdaptiveLimit(64)
    loaded(limit, 64, 0.02)
    for _ in range(300):
        limit.succeeded(limit.start(64), now=0.0, in_flight=64, pace=Pace((12, 5), 2.0, 40.0))
    assert limit.changes == ()


def test_what_takes_less_than_a_second_is_never_slow() -> None:
    limit = AdaptiveLimit(64)
    for per_token in (0.0001, 0.004):
        for _ in range(300):
            limit.succeeded(limit.start(64), now=0.0, in_flight=64, pace=Pace((5, 8), per_token, 200 * per_token))
    assert limit.changes == ()


def test_one_quick_reply_breaks_the_suspicion() -> None:
    limit = AdaptiveLimit(16)
    loaded(limit, 16, 0.02)
    for _ in range(40):
        loaded(limit, 16, 1.0, count=15)
        loaded(limit, 16, 0.02, count=1)
    assert limit.changes == ()


# The limiter.


def test_places_shrink_only_as_holders_leave_and_none_is_lost() -> None:
    async def work() -> None:
        limiter = Limiter(8, adaptive=True)
        inside = peak = 0

        async def one(number: int) -> None:
            nonlocal inside, peak
            async with limiter.hold() as place:
                inside += 1
                peak = max(peak, inside)
                assert inside <= 8
                await asyncio.sleep(0.001)
                if number == 3:
                    place.refused()
                else:
                    place.succeeded()
                inside -= 1

        await asyncio.wait_for(asyncio.gather(*(one(number) for number in range(200))), 10)
        assert peak == 8 and limiter.places == 8 and len(limiter.changes) == 1
        assert limiter.load == 0.0

    asyncio.run(work())


def test_a_pause_holds_new_starts_back_in_every_loop_and_ends_by_itself() -> None:
    limiter = Limiter(4, adaptive=True)
    entered: list[float] = []

    async def refused() -> None:
        async with limiter.hold() as place:
            place.refused(0.2)

    async def wait() -> None:
        async with asyncio.timeout(10), limiter.hold():
            entered.append(time.monotonic())

    async def gives_up() -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.02), limiter.hold():
                raise AssertionError("the pause was not kept")

    began = time.monotonic()
    asyncio.run(refused())
    assert limiter.load == float("inf")
    asyncio.run(gives_up())
    threads = [threading.Thread(target=lambda: asyncio.run(wait())) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(entered) == 3 and all(at - began >= 0.2 for at in entered)


def test_a_fixed_limiter_does_not_listen() -> None:
    async def work() -> None:
        limiter = Limiter(4)
        async with limiter.hold() as place:
            place.refused(60.0)
            place.succeeded()
        assert limiter.places == 4 and limiter.changes == ()
        async with asyncio.timeout(1), limiter.hold():
            pass

    asyncio.run(work())


# Against a server.


def many(server: FakeServer, count: int, **fields: Any) -> list[Batch]:
    async def work() -> list[Batch]:
        one = Endpoint(base_url=server.url, **{"retry": RetryRule(retries=4, first=0.02), **fields})
        return await asyncio.gather(*(one.complete(asked(str(number)), 1) for number in range(count)))

    return go(work())


@pytest.mark.parametrize("capacity", [2, 8])
def test_a_server_that_refuses_is_settled_with_and_every_call_succeeds(capacity: int) -> None:
    with FakeServer(latency=0.02, capacity=capacity) as server:
        batches = many(server, 150)
        assert len(batches) == 150 == server.calls and server.peak == capacity
        limiter = limiters()[server.url]
        assert capacity * 0.6 - 1 <= limiter.places <= 2 * capacity + 4
        refusals = server.requests - server.calls
        assert refusals < 300, "fewer than two refusals a call, however slow the machine is at the moment"
        assert {change.why for change in limiter.changes} == {"refused"}


def test_a_fixed_limit_keeps_knocking() -> None:
    with FakeServer(latency=0.02, capacity=8) as server:
        many(server, 60, limiter="fixed", retry=RetryRule(retries=30, first=0.02))
        assert limiters()[server.url].places == 64


def test_the_configured_limit_is_reached_exactly() -> None:
    with FakeServer(latency=0.25) as server:
        many(server, 300, concurrency=100)
        assert server.peak == 100


def test_nobody_is_sent_before_retry_after_is_over() -> None:
    arrived: list[float] = []

    def fault(request: FakeRequest, number: int) -> Fault | None:
        arrived.append(time.monotonic())
        return Fault(503, retry_after=0.3) if number == 0 else None

    with FakeServer(faults=fault) as server:

        async def work() -> None:
            one = Endpoint(base_url=server.url, concurrency=1)
            await asyncio.gather(*(one.complete(asked(str(number)), 1) for number in range(4)))

        go(work())
    assert len(arrived) == 5 and all(at - arrived[0] >= 0.29 for at in arrived[1:])


def test_a_retry_after_beyond_patience_pauses_nobody() -> None:
    with FakeServer(faults=[Fault(429, retry_after=3600)]) as server:

        async def work() -> str:
            one = Endpoint(base_url=server.url)
            with pytest.raises(RateLimited):
                await one.complete(asked(), 1)
            return (await asyncio.wait_for(one.complete(asked(), 1), 5)).completions[0].text

        assert go(work())


def test_retry_after_may_be_a_date_by_the_servers_clock() -> None:
    now = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)

    def seconds(headers: dict[str, str]) -> Any:
        return error_of(HttpReply(429, headers, b""), "u").details["retry_after"]

    later = format_datetime(now + timedelta(seconds=90), usegmt=True)
    assert seconds({"retry-after": later, "date": format_datetime(now, usegmt=True)}) == 90.0
    assert seconds({"retry-after": later}) == 0.0 or datetime.now(UTC) < now + timedelta(seconds=90)
    soon = format_datetime(datetime.now(UTC) + timedelta(seconds=60), usegmt=True)
    assert 50 < seconds({"retry-after": soon, "date": "no date"}) <= 60
    for odd in ("soon", "nan", "inf", "Wed, 99 Foo 2026 00:00:00 GMT"):
        assert seconds({"retry-after": odd}) is None


# Servers that cap n.


def chunks(server: FakeServer, *counts: int, **fields: Any) -> list[tuple[int, ...]]:
    async def work() -> list[tuple[int, ...]]:
        one = Endpoint(base_url=server.url)
        return [await one.chunks(count, asked(**fields)) for count in counts]

    return go(work())


@pytest.mark.parametrize("most", [2, 3, 5, 10, 64])
def test_a_cap_on_n_is_found_out_and_gives_the_same_cuts_whatever_came_first(most: int) -> None:
    def cut(n: int) -> tuple[int, ...]:
        full, rest = divmod(n, most)
        return (most,) * full + ((rest,) if rest else ())

    for order in ((3, 130, 9, 1), (130, 9, 3, 1), (1, 9, 130, 3)):
        with FakeServer(max_n=most) as server:
            assert chunks(server, *order) == [cut(n) for n in order]
            assert server.requests == 0, "it is found out by probes"


def test_it_is_asked_once() -> None:
    with FakeServer(max_n=5) as server:

        async def work() -> tuple[int, int]:
            one = Endpoint(base_url=server.url)
            await asyncio.gather(*(one.chunks(20, asked()) for _ in range(5)))
            first = server.probes
            await one.chunks(20, asked())
            await one.chunks(100, asked())
            return first, server.probes

        first, last = go(work())
        assert first == last


def test_a_server_without_a_cap_is_asked_with_one_request() -> None:
    with FakeServer() as server:

        async def work() -> int:
            one = Endpoint(base_url=server.url)
            await one.profile()
            before = server.probes
            for n in (1, 2, 64, 64, 33, 5):
                await one.chunks(n, asked())
            return server.probes - before

        assert go(work()) == 1


def test_all_choices_come_from_a_server_that_caps_n() -> None:
    with FakeServer(max_n=3) as server:

        async def work() -> int:
            one = Endpoint(base_url=server.url)
            parts = [await one.complete(asked(), size) for size in await one.chunks(8, asked())]
            return sum(len(part.completions) for part in parts)

        assert go(work()) == 8 and server.requests == 3


def test_several_greedy_choices_are_asked_for_singly_where_the_server_wants_it() -> None:
    with FakeServer(greedy_n=False) as server:
        greedy = chunks(server, 4, sampling=Sampling(temperature=0.0))
        assert greedy == [(1, 1, 1, 1)] and chunks(server, 4) == [(4,)]
    with FakeServer() as server:
        assert chunks(server, 4, sampling=Sampling(temperature=0.0)) == [(4,)]


def test_a_fan_out_wider_than_the_start_reaches_its_width_within_one_round() -> None:
    """256 requests at once on a cold endpoint: a second round of 256 goes out whole."""
    limit, waiting, running = AdaptiveLimit(256), 256, deque[Start]()
    now = 0.0
    while waiting or running:
        while waiting and len(running) < limit.limit:
            waiting -= 1
            running.append(limit.start(len(running) + 1))
        now += 0.01
        begun = running[0]
        limit.succeeded(begun, now=now, in_flight=len(running))
        running.popleft()
    assert limit.limit == 256
