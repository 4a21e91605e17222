"""First tokens that come late, streamed and not: within the time of a call they are waited for, beyond it the call fails."""

from __future__ import annotations

import asyncio

import pytest

from phronesis.agents.client.endpoint import Endpoint
from phronesis.agents.client.retry import RetryRule
from phronesis.core.chat import Batch, ChatRequest, as_messages
from phronesis.core.errors import TimedOut
from phronesis.core.http import close_pools
from phronesis.testing import FakeRequest, FakeServer


class Heard:
    """An observer that keeps what it is shown."""

    def __init__(self) -> None:
        self.text = ""

    def begin(self) -> bool:
        return True

    def restart(self) -> None:
        self.text = ""

    def piece(self, text: str, *, thinking: bool) -> None:
        self.text += text

    def end(self) -> None: ...


def four_words(request: FakeRequest, index: int) -> str:
    return "one two three four"


def asked(server: FakeServer, *, streamed: bool, timeout: float, retries: int = 0) -> tuple[Batch | TimedOut, str]:
    heard = Heard()

    async def work() -> Batch | TimedOut:
        request = ChatRequest(messages=as_messages([("user", "Count.")]))
        endpoint = Endpoint(base_url=server.url, timeout=timeout, retry=RetryRule(retries=retries, first=0.001))
        try:
            await endpoint.profile()
            return await (endpoint.complete_streamed(request, heard) if streamed else endpoint.complete(request, 1))
        except TimedOut as error:
            return error
        finally:
            await close_pools()

    return asyncio.run(work()), heard.text


@pytest.mark.parametrize("streamed", [False, True])
def test_a_late_first_token_is_waited_for(streamed: bool) -> None:
    with FakeServer(four_words, latency=0.4) as server:
        batch, _ = asked(server, streamed=streamed, timeout=20)
        assert isinstance(batch, Batch) and batch.completions[0].text == "one two three four"
        assert server.requests == 1


@pytest.mark.parametrize("streamed", [False, True])
def test_beyond_the_time_of_a_call_it_is_a_time_out_and_tried_again(streamed: bool) -> None:
    with FakeServer(four_words, latency=30) as server:
        error, shown = asked(server, streamed=streamed, timeout=0.2, retries=1)
        assert isinstance(error, TimedOut) and "0.2 s" in error.message and shown == ""
        assert error.details["requests"] == server.requests == 2


def test_a_stream_that_stops_in_the_middle_is_a_time_out_and_no_answer() -> None:
    with FakeServer(four_words, pace=0.3) as server:
        error, shown = asked(server, streamed=True, timeout=0.8)
        assert isinstance(error, TimedOut)
        assert shown and "one two three four".startswith(shown) and shown != "one two three four"


@pytest.mark.parametrize("streamed", [False, True])
def test_a_second_attempt_in_time_is_the_whole_reply(streamed: bool) -> None:
    late = iter([30.0, 0.0])
    with FakeServer(four_words, latency=lambda request: next(late)) as server:
        batch, shown = asked(server, streamed=streamed, timeout=1.0, retries=1)
        assert isinstance(batch, Batch) and batch.completions[0].text == "one two three four"
        assert batch.usage.requests == server.requests == 2
        assert shown == ("one two three four" if streamed else "")
