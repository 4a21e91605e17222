"""The HTTP endpoint against a fake server: adaptations, faults, retries, cancellation, streams, secrets."""

from __future__ import annotations

import asyncio
import math
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import orjson
import pytest
from aiohttp import web

from phronesis.agents.client import limiter
from phronesis.agents.client.endpoint import Endpoint
from phronesis.agents.client.profile import Capability
from phronesis.agents.client.retry import RetryRule
from phronesis.core.chat import Batch, ChatRequest, LabelProbabilities, Sampling, as_messages
from phronesis.core.errors import (
    CapabilityMissing,
    ContextOverflow,
    EndpointUnreachable,
    ModelError,
    PhronesisError,
    RateLimited,
    Refused,
    Retryable,
    ServerFailed,
    TimedOut,
)
from phronesis.core.http import close_pools
from phronesis.testing import FakeReply, FakeRequest, FakeServer, Fault

T = TypeVar("T")
QUICK = RetryRule(retries=3, first=0.002)
ONCE = RetryRule(retries=0)


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


def endpoint(server: FakeServer, **fields: Any) -> Endpoint:
    return Endpoint(base_url=server.url, **{"retry": QUICK, **fields})


def complete(server: FakeServer, request: ChatRequest | None = None, n: int = 1, **fields: Any) -> Batch:
    return go(endpoint(server, **fields).complete(request or asked(), n))


async def until(condition: Callable[[], bool], seconds: float = 3.0) -> None:
    end = time.perf_counter() + seconds
    while not condition():
        assert time.perf_counter() < end, "waited in vain"
        await asyncio.sleep(0.005)


# What is sent and what comes back.


def test_n_choices_come_in_order_for_one_exchange() -> None:
    with FakeServer(lambda request, index: f"reply {index} of several") as server:
        batch = complete(server, n=5)
        assert [item.text for item in batch.completions] == [f"reply {index} of several" for index in range(5)]
        assert server.requests == 1 and server.calls == 5
        assert (batch.usage.calls, batch.usage.requests, batch.usage.prompt_tokens) == (5, 1, 2)
        assert batch.usage.completion_tokens == 20 == sum(item.tokens for item in batch.completions)
        assert batch.latency > 0


def test_choices_out_of_order_are_put_in_order() -> None:
    def body(request: FakeRequest, number: int) -> Fault:
        rows = [{"index": index, "message": {"content": f"r{index}"}, "finish_reason": "stop"} for index in (2, 0, 1)]
        return Fault(body=orjson.dumps({"choices": rows}))

    with FakeServer(faults=body) as server:
        assert [item.text for item in complete(server, n=3).completions] == ["r0", "r1", "r2"]


def test_n_is_cut_by_what_the_server_serves() -> None:
    with FakeServer() as many, FakeServer(max_n=1) as one:

        async def work() -> tuple[tuple[int, ...], ...]:
            return (
                await endpoint(many).chunks(8, asked()),
                await endpoint(many).chunks(130, asked()),
                await endpoint(many).chunks(0, asked()),
                await endpoint(one).chunks(3, asked()),
            )

        assert go(work()) == ((8,), (128, 2), (), (1, 1, 1))


def test_every_sampling_field_is_sent_and_unset_ones_are_not() -> None:
    sampling = Sampling(temperature=0.3, top_p=0.8, top_k=20, min_p=0.1, max_tokens=33, min_tokens=2)
    with FakeServer() as server:
        complete(server, asked(sampling=sampling, seed=7, stop=("\n\n",)), n=2)
        complete(server, asked())
        first, second = (request.body for request in server.seen)
    assert first == {
        "model": "fake", "messages": [{"role": "user", "content": "How many?"}], "temperature": 0.3, "top_p": 0.8,
        "top_k": 20, "min_p": 0.1, "max_tokens": 33, "min_tokens": 2, "n": 2, "seed": 7, "stop": ["\n\n"],
    }  # fmt: skip
    assert set(second) == {"model", "messages", "temperature", "top_p", "max_tokens"}


def test_seeds_are_kept_from_servers_they_can_kill() -> None:
    with FakeServer() as server:
        complete(server, asked(seed=7), send_seed=False)
        assert "seed" not in server.seen[0].body


def test_a_server_that_says_it_is_vllm_on_a_cpu_gets_no_seed_unless_the_settings_insist() -> None:
    with FakeServer(fingerprint="vllm-cpu-0.28.0") as server:
        complete(server, asked(seed=7))
        complete(server, asked(seed=7), send_seed=True)
        assert ["seed" in request.body for request in server.seen] == [False, True]
    with FakeServer(fingerprint="vllm-0.28.0-0a1b2c3d") as server:
        complete(server, asked(seed=7))
        assert server.seen[0].body["seed"] == 7


def test_logprobs_as_many_as_wanted() -> None:
    reply = FakeReply("two words", logprob=-0.5, top={"two": -0.5, "one": -1.5, "three": -2.5})
    with FakeServer(lambda request, index: reply) as server:
        chosen, top, none = (complete(server, asked(logprobs=wanted)).completions[0].logprobs for wanted in (1, 2, 0))
        assert [request.body.get("top_logprobs") for request in server.seen] == [None, 2, None]
    assert chosen is not None and chosen.tokens == ("two", " words") and chosen.mean == -0.5 and chosen.top == ()
    assert top is not None and [item.token for item in top.top[0]] == ["two", "one"] and len(top.top) == 2
    assert none is None


def test_more_alternatives_than_the_server_reports_are_not_asked_for() -> None:
    with FakeServer() as server:
        complete(server, asked(logprobs=50))
        assert server.seen[0].body["top_logprobs"] == 20


@pytest.mark.parametrize("prefill", ["Step 1:", "Line one\nStep 1: ", "é素"])
def test_prefill_gives_the_same_text_from_both_kinds_of_server(prefill: str) -> None:
    texts, streamed, bodies = [], [], []
    for kind in ("continue", "echo"):
        with FakeServer(lambda request, index: " 2 + 2 = 4\nso 4", prefill=kind) as server:
            texts += [item.text for item in complete(server, asked(prefill=prefill), n=2).completions]
            streamed.append("".join(go(gather(endpoint(server).stream(asked(prefill=prefill))))))
            bodies.append(server.seen[0].body)
    assert texts == [" 2 + 2 = 4\nso 4"] * 4
    assert streamed == [" 2 + 2 = 4\nso 4"] * 2
    for body in bodies:
        assert body["messages"][-1] == {"role": "assistant", "content": prefill}
        assert body["continue_final_message"] is True and body["add_generation_prompt"] is False


def test_an_echoing_server_that_does_not_echo_this_time_loses_no_text() -> None:
    def body(request: FakeRequest, number: int) -> Fault:
        return Fault(body=orjson.dumps({"choices": [{"message": {"content": " 4"}, "finish_reason": "stop"}]}))

    with FakeServer(prefill="echo", faults=body) as server:
        assert complete(server, asked(prefill="Step 1:")).completions[0].text == " 4"


def test_structured_output_is_asked_for_where_it_works() -> None:
    schema = {"type": "object", "properties": {"a": {"type": "string"}}}
    with FakeServer() as able, FakeServer(structured=False) as unable:
        complete(able, asked(reply_schema=schema))
        complete(unable, asked(reply_schema=schema))
        sent = able.seen[0].body["response_format"]
        assert sent["type"] == "json_schema" and sent["json_schema"]["schema"] == schema
        assert "response_format" not in unable.seen[0].body


def test_reasoning_is_kept_apart_under_either_name() -> None:
    def body(request: FakeRequest, number: int) -> Fault | None:
        if number == 0:
            return None
        message = {"content": None, "reasoning_content": "old name"}
        return Fault(body=orjson.dumps({"choices": [{"message": message, "finish_reason": "stop"}]}))

    with FakeServer(lambda request, index: FakeReply("4", reasoning="thinking"), faults=body) as server:
        first, second = (complete(server).completions[0] for _ in range(2))
    assert (first.text, first.reasoning) == ("4", "thinking")
    assert (second.text, second.reasoning) == ("", "old name")


@pytest.mark.parametrize(
    ("reply", "finish"),
    [
        (FakeReply("a b c"), "stop"),
        (FakeReply("a b c d e f"), "length"),
        (FakeReply("a", finish="content_filter"), "other"),
        (FakeReply("a", finish="tool_calls"), "other"),
    ],
)
def test_finish_reasons(reply: FakeReply, finish: str) -> None:
    with FakeServer(lambda request, index: reply) as server:
        assert complete(server, asked(sampling=Sampling(max_tokens=4))).completions[0].finish == finish


def test_tokens_are_counted_by_the_server_or_estimated() -> None:
    with FakeServer() as server:
        assert go(endpoint(server).tokens("one two  three")) == 3

    async def without(request: web.Request) -> web.Response:
        return (
            web.json_response({"detail": "Not Found"}, status=404) if "tokenize" in request.path else NOTHING(request)
        )

    async def work() -> int:
        async with odd_server(without) as url:
            return await Endpoint(base_url=url, retry=ONCE).tokens("x" * 35)

    assert go(work()) == 10


# Label probabilities.


def labels_of(
    server: FakeServer, labels: tuple[str, ...] = ("Yes", "No"), **fields: Any
) -> tuple[LabelProbabilities, Batch]:
    return go(endpoint(server).label_probabilities(asked(**fields), labels))


def tops(**masses: float) -> dict[str, float]:
    return {name.replace("_", " "): math.log(mass) for name, mass in masses.items()}


def test_label_variants_are_summed_and_renormalised() -> None:
    top = tops(Yes=0.4, _yes=0.1, YES=0.1, No=0.15, _no=0.05, Maybe=0.2)
    with FakeServer(lambda request, index: FakeReply("Yes", top=top)) as server:
        found, batch = labels_of(server, prefill="The answer is correct:")
        sent = server.seen[0].body
    assert found.probabilities == pytest.approx({"Yes": 0.75, "No": 0.25})
    assert (found.floored, found.covered) == ((), pytest.approx(0.8))
    assert (batch.usage.calls, batch.usage.requests, batch.completions) == (1, 1, ())
    assert (sent["max_tokens"], sent["temperature"], sent["top_p"], sent["top_logprobs"]) == (1, 1.0, 1.0, 20)
    assert sent["messages"][-1]["content"] == "The answer is correct:"


def test_a_missing_label_is_floored_and_recorded() -> None:
    with FakeServer(lambda request, index: FakeReply("Yes", top=tops(Yes=0.6, Sure=0.3, Hm=0.05))) as server:
        found, _ = labels_of(server)
    assert found.floored == ("No",)
    assert found.probabilities == pytest.approx({"Yes": 0.6 / 0.65, "No": 0.05 / 0.65})
    assert found.covered == pytest.approx(0.6)


def test_no_label_at_all_still_adds_up_and_says_so() -> None:
    with FakeServer(lambda request, index: FakeReply("Hm", top=tops(Hm=0.9, Well=0.1))) as server:
        found, _ = labels_of(server)
    assert found.floored == ("Yes", "No") and found.covered == 0.0
    assert found.probabilities == pytest.approx({"Yes": 0.5, "No": 0.5})


def test_labels_of_several_tokens_are_followed() -> None:
    def reply(request: FakeRequest, index: int) -> FakeReply:
        said = request.prefill.removeprefix("It is")
        if said == " in":
            return FakeReply("correct", top=tops(correct=0.9, side=0.1))
        return FakeReply(" correct", top={" correct": math.log(0.5), " in": math.log(0.4), " far": math.log(0.1)})

    with FakeServer(reply) as server:
        found, batch = labels_of(server, ("correct", "incorrect"), prefill="It is")
        assert [request.prefill for request in server.seen] == ["It is", "It is in"]
    assert found.probabilities == pytest.approx({"correct": 0.5 / 0.86, "incorrect": 0.36 / 0.86})
    assert found.floored == ()
    assert (batch.usage.calls, batch.usage.requests) == (1, 2)


def test_a_label_that_begins_like_another_keeps_its_own_mass() -> None:
    def reply(request: FakeRequest, index: int) -> FakeReply:
        if request.prefill == "Score: 1":
            return FakeReply("0", top={"0": math.log(0.9), "\n": math.log(0.1)})
        return FakeReply("1", top={"1": math.log(0.8), "9": math.log(0.2)})

    with FakeServer(reply) as server:
        found, _ = labels_of(server, ("1", "9", "10"), prefill="Score: ")
    assert found.floored == ()
    assert found.probabilities["10"] > found.probabilities["9"] > found.probabilities["1"]


def test_labels_need_logprobs() -> None:
    with FakeServer(logprobs=False) as server:
        with pytest.raises(CapabilityMissing, match="logprobs"):
            labels_of(server)
        assert server.requests == 0


# Probing.


def test_the_profile_says_what_the_server_can_do() -> None:
    with FakeServer(context_length=4096, model="small") as server:
        profile = go(endpoint(server).profile())
        assert server.requests == 0 and server.calls == 0 and server.probes > 0
    assert (profile.model, profile.engine, profile.context_length) == ("small", "phronesis", 4096)
    assert (profile.logprobs, profile.max_n, profile.prefill) == (20, 128, "continue")
    assert profile.structured and profile.tokenize and profile.counts_all_choices


def test_it_is_asked_once() -> None:
    with FakeServer() as server:
        go(endpoint(server).profile())
        alone, server.probes = server.probes, 0

        async def work() -> str:
            shared = endpoint(server)
            await asyncio.gather(*(shared.complete(asked(), 1) for _ in range(8)))
            await shared.profile()
            return shared.model

        assert go(work()) == "fake"
        assert server.probes == alone


@pytest.mark.parametrize(
    ("switches", "capability"),
    [({"logprobs": False}, "logprobs"), ({"structured": False}, "structured"), ({"prefill": "no"}, "prefill")],
)
def test_what_is_missing_is_named_and_nothing_else_is(switches: dict[str, Any], capability: Capability) -> None:
    with FakeServer(**switches) as server:

        async def work() -> Endpoint:
            probed = endpoint(server)
            others: list[Capability] = [item for item in ("logprobs", "structured", "prefill") if item != capability]
            await probed.require(others, who="the solver")
            return probed

        probed = go(work())
        with pytest.raises(CapabilityMissing) as caught:
            go(probed.require([capability], who="the judge of recipe 'x'"))
    text = str(caught.value)
    assert "the judge of recipe 'x'" in text and capability in text and server.url in text and "vLLM" in text
    assert caught.value.details["capability"] == capability and caught.value.exit_code == 3


def test_a_request_that_needs_what_is_missing_is_not_sent() -> None:
    with FakeServer(logprobs=False, prefill="no") as server:
        for request in (asked(logprobs=1), asked(prefill="Step 1:")):
            with pytest.raises(CapabilityMissing):
                complete(server, request)
        with pytest.raises(CapabilityMissing):
            go(gather(endpoint(server).stream(asked(prefill="Step 1:"))))
        assert server.requests == 0


def test_a_server_of_single_choices_still_serves_n() -> None:
    with FakeServer(max_n=1) as server:
        profile = go(endpoint(server).profile())
        assert (profile.max_n, profile.logprobs) == (1, 20)


def test_a_model_that_is_not_served_is_named_with_those_that_are() -> None:
    with FakeServer(model="present") as server, pytest.raises(EndpointUnreachable, match="'absent'") as caught:
        go(endpoint(server, wanted_model="absent").profile())
    assert "present" in str(caught.value.mend)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.mark.parametrize(
    "url",
    ["http://127.0.0.1:{port}/v1", "http://127.0.0.1:99999/v1", "not a url", "ftp://127.0.0.1/v1", "127.0.0.1/v1"],
)
def test_nothing_there_says_what_to_do(url: str) -> None:
    url = url.format(port=free_port())
    with pytest.raises(EndpointUnreachable) as caught:
        go(Endpoint(base_url=url).complete(asked(), 1))
    assert url in caught.value.message and caught.value.exit_code == 3
    assert "phronesis models serve" in str(caught.value.mend) and "OPENAI_BASE_URL" in str(caught.value.mend)


@asynccontextmanager
async def odd_server(handler: Callable[[web.Request], Awaitable[web.StreamResponse]]) -> AsyncIterator[str]:
    """A server whose every path is answered by the handler."""
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", handler)
    runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/v1"
    finally:
        await runner.cleanup()


def NOTHING(request: web.Request) -> web.Response:
    """A server that knows models and plain replies and nothing else."""
    if request.path.endswith("/models"):
        return web.json_response({"data": [{"id": "m"}]})
    return web.json_response({"choices": [{"message": {"content": "ok"}, "finish_reason": "stop"}]})


def test_a_server_that_only_talks_is_served_with_what_it_has() -> None:
    async def plain(request: web.Request) -> web.Response:
        return NOTHING(request)

    async def work() -> tuple[Any, Batch]:
        async with odd_server(plain) as url:
            talker = Endpoint(base_url=url, retry=ONCE)
            return await talker.profile(), await talker.complete(asked(), 1)

    profile, batch = go(work())
    assert (profile.logprobs, profile.max_n, profile.prefill, profile.structured) == (0, 1, "no", False)
    assert (profile.context_length, batch.completions[0].text) == (None, "ok")


def test_no_probe_carries_a_seed_and_each_is_marked() -> None:
    seen: list[tuple[str, dict[str, Any]]] = []

    async def note(request: web.Request) -> web.Response:
        if request.method == "POST":
            seen.append((request.headers.get("X-Phronesis-Probe", ""), orjson.loads(await request.read())))
        return NOTHING(request)

    async def work() -> None:
        async with odd_server(note) as url:
            await Endpoint(base_url=url, retry=ONCE).profile()

    go(work())
    assert seen and all(mark == "1" and "seed" not in body for mark, body in seen)
    assert all(body.get("max_tokens", 1) <= 24 for _, body in seen)


@pytest.mark.parametrize("status", [401, 403])
def test_a_wrong_key_is_said_to_be_wrong(status: int) -> None:
    async def closed(request: web.Request) -> web.Response:
        return web.json_response({"error": {"message": "no"}}, status=status)

    async def work() -> None:
        async with odd_server(closed) as url:
            await Endpoint(base_url=url, api_key="sk-CANARY", retry=ONCE).profile()

    with pytest.raises(Refused) as caught:
        go(work())
    assert "OPENAI_API_KEY" in str(caught.value.mend) and "CANARY" not in str(caught.value)


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_server_that_is_not_ready_is_not_taken_for_one_that_can_do_nothing(status: int) -> None:
    async def loading(request: web.Request) -> web.Response:
        return web.json_response({"error": {"message": "Loading model"}}, status=status)

    async def work() -> None:
        async with odd_server(loading) as url:
            await Endpoint(base_url=url, retry=ONCE).require(["logprobs"], who="the solver")

    with pytest.raises((EndpointUnreachable, Retryable)):
        go(work())


def test_a_hiccup_while_probing_is_not_remembered_as_a_lack() -> None:
    chats = 0

    async def hiccup(request: web.Request) -> web.Response:
        nonlocal chats
        if "chat" not in request.path:
            return NOTHING(request)
        chats += 1
        if chats <= 2:
            return web.json_response({"error": {"message": "overloaded"}}, status=503)
        body = orjson.loads(await request.read())
        rows = [{"token": "ok", "logprob": -0.1, "top_logprobs": [{"token": "ok", "logprob": -0.1}]}]
        choice = {"message": {"content": "ok"}, "finish_reason": "stop", "logprobs": {"content": rows}}
        return web.json_response({"choices": [choice] * int(body.get("n") or 1)})

    async def work() -> tuple[int, int]:
        async with odd_server(hiccup) as url:
            probed = Endpoint(base_url=url, retry=QUICK)
            try:
                profile = await probed.profile()
            except (EndpointUnreachable, Retryable):
                profile = await probed.profile()
            return profile.logprobs, profile.max_n

    assert go(work()) == (20, 128)


@pytest.mark.parametrize(
    "body", [b"", b"x", b"null", b"[]", b"5", b'{"data": null}', b'{"data": "ab"}', b'{"data": [1]}']
)
def test_an_odd_model_list_is_no_crash(body: bytes) -> None:
    async def odd(request: web.Request) -> web.Response:
        return web.Response(body=body) if request.path.endswith("/models") else NOTHING(request)

    async def work() -> str:
        async with odd_server(odd) as url:
            return (await Endpoint(base_url=url, wanted_model="m", retry=ONCE).complete(asked(), 1)).completions[0].text

    try:
        assert go(work()) == "ok"
    except PhronesisError:
        pass


# Faults.


def test_retry_after_is_honoured() -> None:
    with FakeServer(faults=[Fault(429, retry_after=0.3)]) as server:
        started = time.perf_counter()
        batch = complete(server)
        assert time.perf_counter() - started >= 0.3
        assert (server.requests, server.calls) == (2, 1)
    assert (batch.usage.requests, batch.usage.calls, len(batch.completions)) == (2, 1, 1)


def test_a_retry_after_beyond_patience_ends_at_once() -> None:
    with FakeServer(faults=[Fault(429, retry_after=3600)]) as server:
        with pytest.raises(RateLimited) as caught:
            complete(server)
        assert server.requests == 1
    assert caught.value.details["retry_after"] == 3600 and caught.value.details["requests"] == 1


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        (Fault(429), RateLimited),
        (Fault(500), ServerFailed),
        (Fault(502), ServerFailed),
        (Fault(503, retry_after=0.001), ServerFailed),
        (Fault(drop=True), ServerFailed),
        (Fault(body=b"<html>"), ServerFailed),
    ],
)
def test_what_may_pass_is_tried_again(fault: Fault, kind: type[ModelError]) -> None:
    with FakeServer(faults=[fault, fault, fault]) as server:
        batch = complete(server, n=2)
        assert server.requests == 4 and server.calls == 2
        assert (batch.usage.requests, batch.usage.calls) == (4, 2), "failed attempts count as requests, not as calls"
    with FakeServer(faults=lambda request, number: fault) as server:
        with pytest.raises(kind) as caught:
            complete(server)
        assert server.requests == 4 and server.calls == 0
    assert caught.value.details["requests"] == 4
    assert server.url.removesuffix("/v1") in caught.value.message


@pytest.mark.parametrize("status", [400, 401, 402, 403, 404, 405, 409, 413, 415, 422, 451])
def test_other_4xx_are_never_tried_again(status: int) -> None:
    with FakeServer(faults=lambda request, number: Fault(status, message="because")) as server:
        with pytest.raises(Refused, match="because") as caught:
            complete(server)
        assert server.requests == 1
    assert not isinstance(caught.value, Retryable) and caught.value.details["status"] == status


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\xff\xfe\x00",
        b"null",
        b"[]",
        b"7",
        b'"text"',
        b"{}",
        b'{"choices": null}',
        b'{"choices": []}',
        b'{"choices": [{}]}',
        b'{"choices": [null]}',
        b'{"choices": [{"message": null}]}',
        b'{"choices": [{"message": "text"}]}',
        b'{"choices": [{"message": {"content": 7}}]}',
        b'{"choices": [{"message": {"content": [{"type": "text", "text": "4"}]}}]}',
        b'{"choices": [{"message": {"content": "4", "reasoning": {"a": 1}}}]}',
        b'{"choices": [{"message": {"content": "4"}, "finish_reason": ["stop"]}]}',
        b'{"choices": [{"message": {"content": "4"}, "logprobs": {"content": [{"token": "4"}]}}]}',
        b'{"choices": [{"message": {"content": "4"}, "logprobs": {"content": [{"token": "4", "logprob": null}]}}]}',
        b'{"choices": [{"message": {"content": "4"}, "logprobs": [1]}]}',
        b'{"choices": [{"message": {"content": "4"}}], "usage": "none"}',
        b'{"choices": [{"message": {"content": "4"}}], "usage": {"prompt_tokens": "many"}}',
        b'{"error": {"message": "with status 200"}}',
        b'{"choices": [{"message": {"content": "4"',
    ],
)
def test_bodies_that_are_no_completion_are_failures_of_the_server(body: bytes) -> None:
    with FakeServer(faults=lambda request, number: Fault(body=body)) as server:
        with pytest.raises(ServerFailed) as caught:
            complete(server, retry=RetryRule(retries=1, first=0.001))
        assert server.requests == 2
    assert caught.value.details["requests"] == 2


def test_fewer_choices_than_asked_for_are_a_failure_more_are_cut() -> None:
    row = b'{"message": {"content": "4"}, "finish_reason": "stop"}'
    with FakeServer(faults=lambda request, number: Fault(body=b'{"choices": [' + row + b"," + row + b"]}")) as server:
        with pytest.raises(ServerFailed, match="2 of 3"):
            complete(server, n=3, retry=ONCE)
        assert len(complete(server, n=1, retry=ONCE).completions) == 1


@pytest.mark.parametrize(
    "message",
    [
        None,
        "This model's maximum context length is 4096 tokens. However, you requested 5000 tokens",
        "the request exceeds the available context size, try increasing it",
        "request (9000 tokens) exceeds the available context size (4096 tokens)",
    ],
)
def test_a_context_that_is_too_long_has_its_own_type(message: str | None) -> None:
    faults = () if message is None else [Fault(400, message=message)]
    with FakeServer(context_length=60 if message is None else 4096, faults=faults) as server:
        with pytest.raises(ContextOverflow) as caught:
            complete(server, asked("word " * 100))
        assert server.requests == 1 and server.calls == 0
    assert "max_tokens" in str(caught.value.mend)


def test_a_call_that_takes_too_long_is_timed_out_and_taken_back() -> None:
    with FakeServer(latency=5.0) as server:

        async def work() -> float:
            slow = endpoint(server, timeout=0.15, retry=ONCE)
            await slow.profile()
            started = time.perf_counter()
            with pytest.raises(TimedOut, match=r"0\.15 s"):
                await slow.complete(asked(), 1)
            took = time.perf_counter() - started
            await until(lambda: server.cancelled == 1)
            return took

        assert 0.1 < go(work()) < 2


def test_cancelling_a_call_reaches_the_server_and_frees_its_place() -> None:
    with FakeServer(latency=lambda request: 5.0 if request.user == "slow" else 0.0) as server:

        async def work() -> None:
            one = endpoint(server, concurrency=1)
            await one.profile()
            slow = asyncio.create_task(one.complete(asked("slow"), 1))
            await until(lambda: server.requests == 1)
            waiting = asyncio.create_task(one.complete(asked("waits for the place"), 1))
            await asyncio.sleep(0.02)
            waiting.cancel()
            slow.cancel()
            with pytest.raises(asyncio.CancelledError):
                await slow
            await until(lambda: server.cancelled == 1)
            assert len((await one.complete(asked("quick"), 1)).completions) == 1

        go(work())
        assert server.requests == 2, "the cancelled waiter never sent anything"


def test_a_server_that_comes_back_is_used_again() -> None:
    port = free_port()
    first = FakeServer(port=port)
    with first:
        reused = Endpoint(base_url=first.url, retry=RetryRule(retries=0))

        async def work() -> str:
            await reused.complete(asked(), 1)
            await asyncio.to_thread(first.stop)
            with pytest.raises(ServerFailed):
                await reused.complete(asked(), 1)
            with FakeServer(lambda request, index: "back", port=port):
                return (await reused.complete(asked(), 1)).completions[0].text

        assert go(work()) == "back"


def test_the_limit_of_requests_in_flight_is_never_exceeded() -> None:
    with FakeServer(latency=0.01) as server:

        async def work() -> list[Batch]:
            limited = [endpoint(server, concurrency=5) for _ in range(3)]
            return await asyncio.gather(*(limited[index % 3].complete(asked(str(index)), 1) for index in range(40)))

        assert len(go(work())) == 40
        assert server.peak == 5


# Streams.


async def gather(stream: AsyncIterator[str]) -> list[str]:
    return [piece async for piece in stream]


def test_a_stream_comes_in_pieces() -> None:
    with FakeServer(lambda request, index: "one two three") as server:
        assert go(gather(endpoint(server).stream(asked()))) == ["one", " two", " three"]


def test_a_dropped_stream_is_a_failure_of_the_server() -> None:
    with FakeServer(faults=[Fault(drop=True)]) as server, pytest.raises(ServerFailed):
        go(gather(endpoint(server).stream(asked())))


async def _streaming(request: web.Request, tail: bytes, pause: float = 0.0) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
    await response.prepare(request)
    for piece in ("one", " two"):
        await response.write(b"data: " + orjson.dumps({"choices": [{"delta": {"content": piece}}]}) + b"\n\n")
    await asyncio.sleep(pause)
    await response.write(tail)
    return response


@pytest.mark.parametrize(
    "tail",
    [
        b"",
        b"data: {not json}\n\ndata: [DONE]\n\n",
        b'data: {"error": {"message": "out of memory"}}\n\ndata: [DONE]\n\n',
    ],
)
def test_a_stream_that_is_cut_or_broken_is_never_taken_for_a_whole_one(tail: bytes) -> None:
    async def handler(request: web.Request) -> web.StreamResponse:
        body = orjson.loads(await request.read()) if request.method == "POST" else {}
        return await _streaming(request, tail) if body.get("stream") else NOTHING(request)

    async def work() -> list[str]:
        pieces: list[str] = []
        async with odd_server(handler) as url:
            with pytest.raises(ServerFailed):
                async for piece in Endpoint(base_url=url).stream(asked()):
                    pieces.append(piece)
        return pieces

    assert go(work()) == ["one", " two"]


@pytest.mark.parametrize(
    ("fault", "kind"),
    [(Fault(429), RateLimited), (Fault(404), Refused), (Fault(400, message="maximum context"), ContextOverflow)],
)
def test_a_refused_stream_is_refused_by_type(fault: Fault, kind: type[ModelError]) -> None:
    with FakeServer(faults=[fault]) as server, pytest.raises(ModelError) as caught:
        go(gather(endpoint(server).stream(asked())))
    assert type(caught.value) is kind


def test_a_stream_that_nobody_reads_on_is_taken_back() -> None:
    gone: list[bool] = []

    async def handler(request: web.Request) -> web.StreamResponse:
        body = orjson.loads(await request.read()) if request.method == "POST" else {}
        if not body.get("stream"):
            return NOTHING(request)
        try:
            return await _streaming(request, b"", pause=5.0)
        except asyncio.CancelledError:
            gone.append(True)
            raise

    async def work() -> None:
        async with odd_server(handler) as url:
            one = Endpoint(base_url=url, concurrency=1)
            stream = one.stream(asked())
            assert await anext(stream) == "one"
            await stream.aclose()  # type: ignore[attr-defined]  # the port says AsyncIterator, it is a generator
            await until(lambda: gone == [True])
            assert (await asyncio.wait_for(one.complete(asked(), 1), 2)).completions[0].text == "ok"

    go(work())


# Secrets.


@pytest.mark.parametrize(
    "fault",
    [
        Fault(401),
        Fault(429),
        Fault(500),
        Fault(drop=True),
        Fault(body=b"{}"),
        Fault(400, message="maximum context length"),
    ],
)
def test_the_key_is_in_no_error(fault: Fault) -> None:
    with FakeServer(faults=lambda request, number: fault) as server, pytest.raises(ModelError) as caught:
        complete(server, api_key="sk-CANARY", retry=ONCE)
    assert "CANARY" not in f"{caught.value!r} {caught.value} {caught.value.to_json()}"


def test_the_key_is_sent_and_in_no_repr() -> None:
    heard: list[str] = []

    async def handler(request: web.Request) -> web.Response:
        heard.append(request.headers.get("Authorization", ""))
        return NOTHING(request)

    async def work() -> None:
        async with odd_server(handler) as url:
            keyed = Endpoint(base_url=url, api_key="sk-CANARY")
            await keyed.complete(asked(), 1)
            assert "CANARY" not in f"{keyed!r} {keyed} {await keyed.profile()!r}"

    go(work())
    assert set(heard) == {"Bearer sk-CANARY"}


@pytest.mark.parametrize("status", [401, 500])
def test_a_server_that_repeats_the_key_does_not_bring_it_into_the_error(status: int) -> None:
    message = "Incorrect API key provided: sk-CANARY-0123456789"
    with (
        FakeServer(faults=lambda request, number: Fault(status, message=message)) as server,
        pytest.raises(ModelError) as caught,
    ):
        complete(server, api_key="sk-CANARY-0123456789", retry=ONCE)
    assert "CANARY" not in f"{caught.value} {caught.value.to_json()}"


def test_a_password_in_the_address_is_shown_nowhere() -> None:
    with pytest.raises(PhronesisError) as caught:
        secret = Endpoint(base_url=f"http://user:CANARY@127.0.0.1:{free_port()}/v1", retry=ONCE)
        assert "CANARY" not in repr(secret)
        go(secret.profile())
    assert "CANARY" not in f"{caught.value} {caught.value.to_json()}"


@pytest.mark.parametrize("key", ["sk-CANARY\n", "sk-CANARY\x00"])
def test_a_key_that_cannot_be_sent_is_an_error_of_ours(key: str) -> None:
    with FakeServer() as server, pytest.raises(PhronesisError) as caught:
        complete(server, api_key=key, retry=ONCE)
    assert "CANARY" not in str(caught.value)


# Choices that came twice.


@pytest.mark.parametrize("choice", [{"index": 0, "message": {"content": "4"}, "finish_reason": "stop"}, None, 7])
def test_a_server_whose_choices_cannot_be_told_apart_is_asked_for_one(choice: Any) -> None:
    async def alike(request: web.Request) -> web.Response:
        if "chat" not in request.path:
            return NOTHING(request)
        n = int(orjson.loads(await request.read()).get("n") or 1)
        single = {"index": 0, "message": {"content": "4"}, "finish_reason": "stop"}
        return web.json_response({"choices": [single] if n == 1 else [choice] * n})

    async def work() -> tuple[int, ...]:
        async with odd_server(alike) as url:
            return await Endpoint(base_url=url, retry=ONCE).chunks(3, asked())

    assert go(work()) == (1, 1, 1)


def test_two_choices_with_one_index_are_no_reply() -> None:
    row = b'{"index": 1, "message": {"content": "4"}, "finish_reason": "stop"}'
    body = b'{"choices": [' + b",".join([row.replace(b"1", b"0", 1), row, row]) + b"]}"
    with (
        FakeServer(faults=lambda request, number: Fault(body=body)) as server,
        pytest.raises(ServerFailed, match="two choices with the index 1"),
    ):
        complete(server, n=3, retry=ONCE)
