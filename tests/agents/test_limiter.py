"""The limiter: never above the limit, first come first served, nothing lost, whichever loop waits."""

from __future__ import annotations

import asyncio
import random
import threading
from collections.abc import Iterator

import pytest

from phronesis.agents.client import limiter as module
from phronesis.agents.client.endpoint import Endpoint
from phronesis.agents.client.limiter import Limiter, limiter_for
from phronesis.core.chat import ChatRequest, as_messages
from phronesis.core.http import close_pools
from phronesis.testing import FakeServer


@pytest.fixture(autouse=True)
def fresh_limiters(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A port that comes back must not bring an earlier test's limit with it."""
    monkeypatch.setattr(module, "_LIMITERS", {})
    yield


class Gauge:
    """How many are inside, and the most there ever were."""

    def __init__(self) -> None:
        self.inside = self.peak = self.visits = 0
        self.lock = threading.Lock()

    def enter(self) -> None:
        with self.lock:
            self.inside += 1
            self.visits += 1
            self.peak = max(self.peak, self.inside)

    def leave(self) -> None:
        with self.lock:
            self.inside -= 1


async def visit(limiter: Limiter, gauge: Gauge, seconds: float = 0.002) -> None:
    async with limiter.hold():
        gauge.enter()
        try:
            await asyncio.sleep(seconds)
        finally:
            gauge.leave()


async def all_free(limiter: Limiter) -> None:
    """Every place can be taken at once, and not one more."""
    gauge = Gauge()
    await asyncio.wait_for(asyncio.gather(*(visit(limiter, gauge, 0.01) for _ in range(limiter.limit * 2))), 5)
    assert gauge.peak == limiter.limit


@pytest.mark.parametrize("limit", [1, 2, 7])
def test_the_limit_is_reached_and_never_exceeded(limit: int) -> None:
    async def work() -> Gauge:
        limiter, gauge = Limiter(limit), Gauge()
        await asyncio.gather(*(visit(limiter, gauge) for _ in range(30)))
        return gauge

    gauge = asyncio.run(work())
    assert (gauge.peak, gauge.visits, gauge.inside) == (limit, 30, 0)


def test_first_come_first_served() -> None:
    async def work() -> list[int]:
        limiter, order = Limiter(1), []

        async def one(number: int) -> None:
            async with limiter.hold():
                order.append(number)
                await asyncio.sleep(0)

        await asyncio.gather(*(one(number) for number in range(20)))
        return order

    assert asyncio.run(work()) == list(range(20))


def test_nobody_jumps_the_queue() -> None:
    async def work() -> list[str]:
        limiter, order = Limiter(1), []

        async def one(name: str) -> None:
            async with limiter.hold():
                order.append(name)

        async with limiter.hold():
            waiting = asyncio.create_task(one("waited"))
            await asyncio.sleep(0.01)
        await asyncio.gather(one("late"), waiting)
        return order

    assert asyncio.run(work()) == ["waited", "late"]


def test_errors_and_cancellation_free_the_place() -> None:
    async def work() -> None:
        limiter = Limiter(2)
        for _ in range(5):
            with pytest.raises(KeyError):
                async with limiter.hold():
                    raise KeyError
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.002), limiter.hold():
                    await asyncio.sleep(5)
        await all_free(limiter)

    asyncio.run(work())


def test_cancelled_waiters_free_their_place_at_any_moment() -> None:
    async def work(seed: int) -> None:
        rng, limiter, gauge = random.Random(seed), Limiter(3), Gauge()
        tasks = [asyncio.create_task(visit(limiter, gauge, rng.random() * 0.004)) for _ in range(40)]
        while not all(task.done() for task in tasks):
            rng.choice(tasks).cancel()
            await asyncio.sleep(rng.choice([0, 0, 0.0005]))
        await asyncio.gather(*tasks, return_exceptions=True)
        assert gauge.peak <= 3 and gauge.inside == 0
        await all_free(limiter)

    for seed in range(10):
        asyncio.run(work(seed))


def test_a_waiter_cancelled_in_the_turn_it_is_served_passes_the_place_on() -> None:
    async def work() -> None:
        limiter = Limiter(1)
        for late in (False, True):
            entered: list[str] = []

            async def one(name: str, entered: list[str] = entered) -> None:
                async with limiter.hold():
                    entered.append(name)

            async with limiter.hold():
                first, second = asyncio.create_task(one("first")), asyncio.create_task(one("second"))
                await asyncio.sleep(0.002)
            if late:
                await asyncio.sleep(0)
            first.cancel()
            await asyncio.wait_for(second, 2)
            assert "second" in entered
        await all_free(limiter)

    asyncio.run(work())


def test_loops_in_several_threads_share_the_limit() -> None:
    limiter, gauge = Limiter(4), Gauge()

    async def work() -> None:
        await asyncio.wait_for(asyncio.gather(*(visit(limiter, gauge) for _ in range(25))), 15)

    threads = [threading.Thread(target=lambda: asyncio.run(work())) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert gauge.visits == 125 and gauge.peak <= 4 and gauge.inside == 0
    asyncio.run(all_free(limiter))


def test_a_loop_that_ends_while_it_waits_takes_no_place_with_it() -> None:
    limiter = Limiter(1)
    held, let_go = threading.Event(), threading.Event()

    async def holder() -> None:
        async with limiter.hold():
            held.set()
            while not let_go.is_set():
                await asyncio.sleep(0.002)

    async def gives_up() -> None:
        asyncio.get_running_loop().call_later(0.02, let_go.set)
        waiting = asyncio.create_task(visit(limiter, Gauge()))
        await asyncio.sleep(0.02)
        assert not waiting.done()

    thread = threading.Thread(target=lambda: asyncio.run(holder()))
    thread.start()
    assert held.wait(5)
    asyncio.run(gives_up())
    let_go.set()
    thread.join()
    asyncio.run(all_free(limiter))


def test_one_limiter_per_address() -> None:
    assert limiter_for("http://a/v1", 3) is limiter_for("http://a/v1", 3)
    assert limiter_for("http://a/v1", 3) is not limiter_for("http://b/v1", 3)
    assert limiter_for("http://a/v1", 9).limit == 3, "the first caller's limit holds"


def test_endpoints_in_several_loops_stay_below_the_limit_of_their_server() -> None:
    errors: list[BaseException] = []
    with FakeServer(latency=0.005) as server:

        async def work() -> None:
            endpoint = Endpoint(base_url=server.url, concurrency=3)
            request = ChatRequest(messages=as_messages([("user", "?")]))
            try:
                await asyncio.gather(*(endpoint.complete(request, 1) for _ in range(10)))
            finally:
                await close_pools()

        def run() -> None:
            try:
                asyncio.run(work())
            except BaseException as error:
                errors.append(error)

        threads = [threading.Thread(target=run) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert errors == []
        assert server.calls == 40 and server.peak == 3


def test_one_endpoint_may_serve_several_loops() -> None:
    errors: list[BaseException] = []
    together = threading.Barrier(4)
    with FakeServer(latency=0.005) as server:
        endpoint = Endpoint(base_url=server.url, concurrency=3)

        async def work() -> None:
            request = ChatRequest(messages=as_messages([("user", "?")]))
            try:
                await asyncio.wait_for(asyncio.gather(*(endpoint.complete(request, 1) for _ in range(5))), 3)
            finally:
                await close_pools()

        def run() -> None:
            together.wait(5)
            try:
                asyncio.run(work())
            except BaseException as error:
                errors.append(error)

        threads = [threading.Thread(target=run) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(10)
        assert errors == []
        assert server.calls == 20 and server.peak <= 3
