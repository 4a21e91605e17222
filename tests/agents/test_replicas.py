"""Several servers of one model: shared load, failover, cool-down, and nothing of it in what a run records."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterator
from pathlib import Path
from typing import Any, TypeVar

import pytest

from phronesis.agents.client import limiter
from phronesis.agents.client.endpoint import Endpoint
from phronesis.agents.client.profile import Profile, weakest
from phronesis.agents.client.replicas import Replicas
from phronesis.agents.client.retry import RetryRule
from phronesis.core.chat import Batch, ChatRequest, Sampling, as_messages
from phronesis.core.errors import (
    CapabilityMissing,
    ConfigurationError,
    EndpointUnreachable,
    RateLimited,
    RecipeError,
    Refused,
    ServerFailed,
    TimedOut,
)
from phronesis.core.http import close_pools
from phronesis.core.settings import Settings, load_settings
from phronesis.graphs.recipe import Recipe
from phronesis.testing import FakeReply, FakeServer, Fault

T = TypeVar("T")
QUICK = RetryRule(retries=3, first=0.002)


@pytest.fixture(autouse=True)
def fresh_limiters(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A port that comes back must not bring an earlier test's limit with it."""
    monkeypatch.setattr(limiter, "_LIMITERS", {})
    yield


def go(work: Coroutine[Any, Any, T]) -> T:
    async def inner() -> T:
        try:
            return await asyncio.wait_for(work, 20)
        finally:
            await close_pools()

    return asyncio.run(inner())


def asked(text: str = "How many?", **fields: Any) -> ChatRequest:
    return ChatRequest(messages=as_messages([("user", text)]), **fields)


def replicas(*servers: FakeServer, **fields: Any) -> Replicas:
    own = {name: fields.pop(name) for name in ("concurrency", "timeout", "wanted_model") if name in fields}
    endpoints = [Endpoint(base_url=server.url, retry=QUICK, **own) for server in servers]
    return Replicas(endpoints=endpoints, **{"retry": QUICK, **fields})


async def many(served: Replicas, count: int) -> list[Batch]:
    return await asyncio.gather(*(served.complete(asked(str(number)), 1) for number in range(count)))


def test_the_least_loaded_replica_is_asked() -> None:
    with FakeServer(latency=0.5) as slow, FakeServer(latency=0.02) as quick:
        go(many(replicas(slow, quick, concurrency=4), 60))
        assert slow.calls + quick.calls == 60 and slow.calls >= 4
        assert quick.calls > 2 * slow.calls
        assert slow.peak <= 4 and quick.peak <= 4


def test_equal_load_goes_to_the_first() -> None:
    with FakeServer() as first, FakeServer() as second:

        async def work() -> None:
            served = replicas(first, second)
            for number in range(3):
                await served.complete(asked(str(number)), 1)

        go(work())
        assert (first.calls, second.calls) == (3, 0)


def test_a_dead_replicas_requests_are_answered_by_the_others() -> None:
    with FakeServer(latency=0.05) as dying, FakeServer(latency=0.05) as alive:

        async def work() -> list[Batch]:
            served = replicas(dying, alive, concurrency=8)
            await served.profile()
            running = asyncio.create_task(many(served, 60))
            while dying.calls < 8:
                await asyncio.sleep(0.005)
            await asyncio.to_thread(dying.stop)
            return await running

        batches = go(work())
        assert len(batches) == 60 and all(batch.completions[0].text for batch in batches)
        assert sum(batch.usage.requests for batch in batches) > 60, "what was lost is counted"


def test_a_replica_that_is_down_is_left_alone_and_tried_again_after_a_rest() -> None:
    now = [0.0]
    with FakeServer() as first, FakeServer() as second:
        port = int(first.url.rsplit(":")[-1].removesuffix("/v1"))

        async def work() -> None:
            served = replicas(first, second, rest=10.0, clock=lambda: now[0])
            await served.profile()
            await asyncio.to_thread(first.stop)
            spent = [(await served.complete(asked(), 1)).usage.requests for _ in range(3)]
            assert spent == [2, 1, 1], "one refused connection, then it is left alone"
            now[0] = 11.0
            assert (await served.complete(asked(), 1)).usage.requests == 2, "tried again, still down"
            with FakeServer(lambda request, index: "back", port=port):
                assert (await served.complete(asked(), 1)).completions[0].text != "back"
                now[0] = 22.0
                assert (await served.complete(asked(), 1)).completions[0].text == "back"

        go(work())


def test_a_replica_that_keeps_failing_is_left_alone_too() -> None:
    with FakeServer(faults=lambda request, number: Fault(500)) as broken, FakeServer() as good:

        async def work() -> None:
            served = replicas(broken, good)
            for number in range(10):
                await served.complete(asked(str(number)), 1)

        go(work())
        assert (broken.requests, good.calls) == (3, 10)


def test_one_that_is_full_passes_requests_on() -> None:
    with FakeServer(faults=lambda request, number: Fault(429)) as full, FakeServer() as free:

        async def work() -> None:
            served = replicas(full, free)
            for number in range(10):
                await served.complete(asked(str(number)), 1)

        go(work())
        assert (full.requests, free.calls) == (10, 10), "a full server is no dead one"


def test_one_that_is_full_does_not_wake_one_that_is_down() -> None:
    with FakeServer() as down, FakeServer(faults=[None, Fault(429), Fault(429), Fault(429)]) as full:

        async def work() -> None:
            served = replicas(down, full, retry=RetryRule(retries=1, first=0.001))
            await served.profile()
            await asyncio.to_thread(down.stop)
            await served.complete(asked(), 1)
            with pytest.raises(RateLimited) as caught:
                await served.complete(asked(), 1)
            assert caught.value.details["requests"] == 2

        go(work())


def test_all_down_is_a_typed_failure_that_names_them() -> None:
    with FakeServer() as first, FakeServer() as second:

        async def work() -> None:
            served = replicas(first, second, retry=RetryRule(retries=1, first=0.001))
            await served.profile()
            for server in (first, second):
                await asyncio.to_thread(server.stop)
            with pytest.raises(ServerFailed) as caught:
                await served.complete(asked(), 1)
            assert first.url in caught.value.message and second.url in caught.value.message
            assert caught.value.details["requests"] == 4, "two replicas, two attempts"

        go(work())


@pytest.mark.parametrize(
    ("fault", "kind", "asked_of"),
    [(Fault(400), Refused, 1), (Fault(429), RateLimited, 2), (Fault(500), ServerFailed, 2)],
)
def test_what_is_no_replicas_fault_is_not_passed_on(fault: Fault, kind: type[Exception], asked_of: int) -> None:
    with FakeServer(faults=lambda r, n: fault) as first, FakeServer(faults=lambda r, n: fault) as second:
        with pytest.raises(kind) as caught:
            go(replicas(first, second, retry=RetryRule(retries=0)).complete(asked(), 1))
        assert first.requests + second.requests == asked_of
        assert caught.value.details["requests"] == asked_of  # type: ignore[attr-defined]  # a ModelError


def test_a_time_out_is_not_passed_on() -> None:
    with FakeServer(latency=5.0) as first, FakeServer() as second:

        async def work() -> None:
            served = replicas(first, second, timeout=0.1, retry=RetryRule(retries=0))
            await served.profile()
            with pytest.raises(TimedOut):
                await served.complete(asked(), 1)

        go(work())
        assert second.requests == 0


def test_cancelled_requests_block_nobody() -> None:
    with FakeServer(latency=0.02) as first, FakeServer(latency=0.02) as second:

        async def work() -> None:
            served = replicas(first, second, concurrency=2)
            await served.profile()
            waiting = [asyncio.create_task(served.complete(asked(str(number)), 1)) for number in range(60)]
            for number, task in enumerate(waiting):
                if number % 3:
                    task.cancel()
                if number % 7 == 0:
                    await asyncio.sleep(0.003)
            done = await asyncio.gather(*waiting, return_exceptions=True)
            assert sum(isinstance(item, Batch) for item in done) >= 20
            assert len(await many(served, 10)) == 10

        go(work())


# The start.


def test_one_that_is_down_at_the_start_is_named() -> None:
    with FakeServer() as up:
        down = Endpoint(base_url="http://127.0.0.1:9/v1", retry=QUICK)
        served = Replicas(endpoints=[Endpoint(base_url=up.url), down])
        with pytest.raises(EndpointUnreachable, match=r"127\.0\.0\.1:9"):
            go(served.profile())


def test_one_that_serves_another_model_is_named() -> None:
    with FakeServer(model="a") as first, FakeServer(model="b") as second, pytest.raises(EndpointUnreachable) as caught:
        go(replicas(first, second).profile())
    assert caught.value.message == f"{second.url} does not serve the model 'a'"


def test_an_address_twice_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="named twice"):
        Replicas(endpoints=[Endpoint(base_url="http://a/v1"), Endpoint(base_url="http://a/v1")])


def test_the_profile_is_the_weakest_common_one() -> None:
    strong = Profile(model="m", logprobs=20, max_n=128, prefill="echo", structured=True, context_length=8192)
    weak = Profile(model="m", logprobs=5, max_n=1, prefill="continue", structured=False, seed=False)
    common = weakest([strong, weak])
    assert (common.logprobs, common.max_n, common.prefill, common.structured) == (5, 1, "echo", False)
    assert (common.seed, common.context_length) == (False, 8192)
    assert weakest([strong, Profile(model="m")]).prefill == "no"
    assert weakest([strong]) == strong


def test_no_replica_is_asked_for_more_than_all_can_do() -> None:
    with FakeServer() as able, FakeServer(structured=False, max_n=3) as less:

        async def work() -> tuple[int, ...]:
            served = replicas(able, less)
            await served.complete(asked(reply_schema={"type": "object"}), 1)
            return await served.chunks(8, asked())

        assert go(work()) == (3, 3, 2)
        assert "response_format" not in able.seen[0].body


def test_a_lack_of_one_is_a_lack_of_all() -> None:
    with FakeServer() as able, FakeServer(logprobs=False) as unable:
        served = replicas(able, unable)
        with pytest.raises(CapabilityMissing, match="the judge needs logprobs"):
            go(served.require(["logprobs"], who="the judge"))
        go(served.require(["prefill"], who="the solver"))


def test_labels_and_streams_work_over_replicas() -> None:
    reply = FakeReply("Yes", top={"Yes": -0.3, "No": -1.5})
    with FakeServer(lambda r, i: reply) as first, FakeServer(lambda r, i: reply) as second:

        async def work() -> None:
            served = replicas(first, second)
            found, _ = await served.label_probabilities(asked(), ("Yes", "No"))
            assert found.probabilities["Yes"] > 0.5
            assert [piece async for piece in served.stream(asked())] == ["Yes"]
            assert await served.tokens("one two") == 2

        go(work())


# Runs.


def test_runs_record_the_same_whichever_replica_answered(home: Path) -> None:
    recipe = Recipe.load("self_consistency", overrides={"knobs.k": 6})

    def settings_of(url: str) -> Settings:
        return load_settings({"OPENAI_BASE_URL": url, "PHRONESIS_HOME": str(home)})

    def run(url: str) -> tuple[Any, list[str]]:
        result = recipe.run("What is 3 + 4?", settings=settings_of(url))
        text = Path(result.journal).read_text(encoding="utf-8")
        assert "127.0.0.1" not in text
        return result.comparable(), sorted(
            line.split('"hash":')[1][:18] for line in text.splitlines() if '"hash"' in line
        )

    with FakeServer(max_n=1, latency=0.01) as first, FakeServer(max_n=1, latency=0.01) as second:
        alone = run(first.url)
        together = run(f"{first.url}, {second.url}")
        assert second.calls > 0
        first.stop()
        alone_again = Recipe.load("direct").run("What is 3 + 4?", settings=settings_of(f"{first.url},{second.url}"))
    assert together == alone and alone_again.status == "ok"


def test_a_recipe_names_replicas_for_a_role() -> None:
    text = """
schema = "phronesis/recipe/1"
name = "mine"
strategy = "direct"

[models.solver]
base_urls = ["{one}", "{two}"]
"""
    with FakeServer() as one, FakeServer() as two:
        recipe = Recipe.parse(text.replace("{one}", one.url).replace("{two}", two.url))
        assert recipe.run("What is 3 + 4?").status == "ok"
        assert one.probes and two.probes and one.calls == 1
        assert Recipe.from_data(recipe.to_data()).to_data() == recipe.to_data()


@pytest.mark.parametrize(
    ("lines", "says"),
    [
        ('base_url = "http://a/v1"\nbase_urls = ["http://b/v1"]', "not both"),
        ('base_urls = ["http://b/v1"]\nbase_url = "http://a/v1"', "not both"),
        ("base_urls = []", "at least 1"),
        ('base_uls = ["http://b/v1"]', "did you mean 'base_urls'"),
    ],
)
def test_addresses_in_a_recipe_are_checked(lines: str, says: str) -> None:
    text = f'schema = "phronesis/recipe/1"\nname = "x"\nstrategy = "direct"\n[models.default]\n{lines}\n'
    with pytest.raises(RecipeError) as caught:
        Recipe.parse(text)
    assert says in str(caught.value) and "line" in caught.value.message


def test_the_greedy_baseline_runs_over_replicas(settings: Settings) -> None:
    with FakeServer() as one, FakeServer() as two:
        served = replicas(one, two)
        assert go(served.chunks(4, asked(sampling=Sampling(temperature=0.0)))) == (4,)
