"""Tool calls on the wire: what is sent and read, whole and streamed; what the probe finds; what old journals still say."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

import orjson
import pytest
from pydantic import ValidationError

from phronesis.agents.client.endpoint import Endpoint
from phronesis.agents.client.replicas import Replicas
from phronesis.agents.client.retry import RetryRule
from phronesis.core.chat import ChatRequest, Completion, OfferedTool, Sampling, request_hash
from phronesis.core.errors import CapabilityMissing, EndpointUnreachable, ServerFailed
from phronesis.core.http import close_pools
from phronesis.core.task import Message, Task, WrittenCall
from phronesis.testing import FakeReply, FakeRequest, FakeServer, Fault

T = TypeVar("T")
ONCE = RetryRule(retries=0)
TOOL = OfferedTool("look_up", "Looks up.", {"type": "object", "properties": {"word": {"type": "string"}}})
BOTH = FakeReply("I look.", tool_calls=[("look_up", {"word": "zebra crossing"}), ("look_up", "{broken")])
CALLS = (
    WrittenCall(id="call_0", name="look_up", arguments='{"word":"zebra crossing"}'),
    WrittenCall(id="call_1", name="look_up", arguments="{broken"),
)


def go(work: Coroutine[Any, Any, T]) -> T:
    async def inner() -> T:
        try:
            return await asyncio.wait_for(work, 20)
        finally:
            await close_pools()

    return asyncio.run(inner())


def asked(*messages: Message, **fields: Any) -> ChatRequest:
    given = messages or (Message(role="user", content="Look it up."),)
    return ChatRequest(messages=given, **{"tools": (TOOL,), "sampling": Sampling(max_tokens=50), **fields})


class Shown:
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


def test_requests_and_tasks_without_tools_are_written_and_hashed_as_before() -> None:
    """The literals were computed before there were tool calls: journals of that time resume."""
    turns = (
        Message(role="system", content="Be brief."),
        Message(role="user", content="How many?"),
        Message(role="assistant", content="4"),
    )
    request = ChatRequest(
        messages=turns,
        sampling=Sampling(temperature=0.5, max_tokens=9),
        seed=7,
        stop=("x",),
        prefill="So",
        reply_schema={"type": "object"},
        logprobs=2,
    )
    assert request_hash(request.to_json()) == "2dadf24cfcce0731"
    task = Task(messages=(Message(role="system", content="s"), Message(role="user", content="q")))
    assert (task.id, Task(messages="q").id) == ("t892945808541", "t7453da4adbc0")
    assert request_hash(task.model_dump(mode="json")) == "d36e630a7f4c9d4a"
    assert Task.model_validate_json(task.model_dump_json()) == task
    completion = Completion(text="a", finish="length", tokens=3, reasoning="r")
    assert orjson.dumps(completion.to_json()) == b'{"text":"a","finish":"length","tokens":3,"reasoning":"r"}'


def test_tools_and_calls_are_in_the_hash_and_come_back_from_the_journal() -> None:
    calling = Message(role="assistant", content="", tool_calls=CALLS)
    answering = Message(role="tool", content="a crossing", tool_call_id="call_0")
    plain = asked(tools=())
    hashes = {request_hash(item.to_json()) for item in (plain, asked(), asked(*plain.messages, calling, answering))}
    assert len(hashes) == 3
    for message in (calling, answering):
        assert Message.model_validate_json(message.model_dump_json()) == message
        assert message.model_dump(mode="json") == orjson.loads(orjson.dumps(message.to_json()))
    completion = Completion(text="I look.", tool_calls=CALLS, tokens=4)
    assert Completion.from_json(orjson.loads(orjson.dumps(completion.to_json()))) == completion


@pytest.mark.parametrize(
    "turn",
    [
        {"role": "tool", "content": "x"},
        {"role": "assistant", "content": "x", "tool_calls": [{"id": "a", "name": "b", "arguments": "{}"}]},
        {"role": "user", "content": "x", "tool_call_id": "a"},
    ],
)
def test_a_task_holds_no_tool_calls(turn: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match="no tool calls"):
        Task.model_validate({"messages": [turn, {"role": "user", "content": "q"}]})


def test_a_request_with_tools_goes_out_in_openais_form() -> None:
    calling = Message(role="assistant", content="", tool_calls=CALLS[:1])
    answering = Message(role="tool", content="a crossing", tool_call_id="call_0")
    with FakeServer(tools="parse") as server:
        go(Endpoint(base_url=server.url).complete(asked(Message(role="user", content="q"), calling, answering), 1))
        go(Endpoint(base_url=server.url).complete(asked(tools=()), 1))
    body, without = (seen.body for seen in server.seen)
    assert body["tools"] == [{"type": "function", "function": TOOL._asdict()}] and body["tool_choice"] == "auto"
    assert server.seen[0].tools == ["look_up"]
    function = {"name": "look_up", "arguments": '{"word":"zebra crossing"}'}
    assert body["messages"][1]["tool_calls"] == [{"id": "call_0", "type": "function", "function": function}]
    assert body["messages"][2] == {"role": "tool", "content": "a crossing", "tool_call_id": "call_0"}
    assert "tools" not in without and "tool_choice" not in without


@pytest.mark.parametrize("n", [1, 3])
def test_calls_of_every_choice_are_read(n: int) -> None:
    with FakeServer(lambda request, index: BOTH if index != 1 else "no call", tools="parse") as server:
        batch = go(Endpoint(base_url=server.url).complete(asked(), n))
    assert [item.tool_calls for item in batch.completions] == [CALLS, (), CALLS][:n]
    assert [item.text for item in batch.completions] == ["I look.", "no call", "I look."][:n]
    assert {item.finish for item in batch.completions} == {"stop"}


@pytest.mark.parametrize("usage", [True, False])
def test_a_streamed_reply_is_what_the_whole_one_would_be(usage: bool) -> None:
    shown = Shown()
    with FakeServer(lambda request, index: BOTH, tools="parse", stream_usage=usage) as server:
        endpoint = Endpoint(base_url=server.url)
        whole = go(endpoint.complete(asked(), 1))
        streamed = go(endpoint.complete_streamed(asked(), shown))
    (left,), (right,) = whole.completions, streamed.completions
    assert (left.text, left.tool_calls, left.finish) == (right.text, right.tool_calls, right.finish)
    assert right.tool_calls == CALLS and shown.text == "I look."
    assert streamed.usage.completion_tokens > 2, "calls count where the server does not say"


def test_a_stream_cut_inside_a_call_is_a_failed_attempt() -> None:
    server = FakeServer(lambda request, index: BOTH, tools="parse", faults=[Fault(drop=True)])
    with server, pytest.raises(ServerFailed):
        go(Endpoint(base_url=server.url, retry=ONCE).complete_streamed(asked(), Shown()))


@pytest.mark.parametrize(
    ("message", "calls"),
    [
        ({"content": None, "tool_calls": [{"function": {"name": "f", "arguments": "{}"}}]}, [("call_0", "f", "{}")]),
        ({"tool_calls": [{"id": "x", "function": {"name": "f", "arguments": {"a": 1}}}]}, [("x", "f", '{"a":1}')]),
        ({"content": "", "tool_calls": [{"id": None, "function": {"name": "f"}}]}, [("call_0", "f", "{}")]),
        ({"content": "t", "tool_calls": []}, []),
        ({"content": "t", "tool_calls": None}, []),
    ],
)
def test_servers_differ_in_how_they_write_a_call(message: dict[str, Any], calls: list[tuple[str, str, str]]) -> None:
    body = orjson.dumps({"choices": [{"index": 0, "message": message, "finish_reason": "stop"}], "usage": {}})
    with FakeServer(faults=[Fault(body=body)]) as server:
        (completion,) = go(Endpoint(base_url=server.url).complete(asked(), 1)).completions
    assert [(call.id, call.name, call.arguments) for call in completion.tool_calls] == calls


@pytest.mark.parametrize("calls", ["text", [5], [{}], [{"function": {"arguments": "{}"}}], [{"function": {"name": 5}}]])
def test_calls_of_no_known_form_are_a_malformed_reply(calls: Any) -> None:
    message = {"content": "", "tool_calls": calls}
    body = orjson.dumps({"choices": [{"index": 0, "message": message, "finish_reason": "stop"}], "usage": {}})
    with FakeServer(faults=[Fault(body=body)]) as server, pytest.raises(ServerFailed, match="no chat completion"):
        go(Endpoint(base_url=server.url, retry=ONCE).complete(asked(), 1))


@pytest.mark.parametrize(("tools", "parsed"), [("parse", True), ("text", False), ("refuse", False)])
def test_the_probe_says_whether_calls_come_back_parsed(tools: Any, parsed: bool) -> None:
    with FakeServer(tools=tools) as server:
        endpoint = Endpoint(base_url=server.url)
        first = go(endpoint.profile())
        before = server.probes
        assert first.tool_calls is None, "nobody asked"
        assert [go(endpoint.tool_calls()) for _ in range(3)] == [parsed] * 3
        assert (server.probes, server.requests, server.calls) == (before + 1, 0, 0)


def test_branches_that_ask_together_probe_once() -> None:
    async def together(endpoint: Endpoint) -> list[bool]:
        return list(await asyncio.gather(*(endpoint.tool_calls() for _ in range(8))))

    with FakeServer(tools="parse") as server:
        endpoint = Endpoint(base_url=server.url)
        go(endpoint.profile())
        before = server.probes
        assert go(together(endpoint)) == [True] * 8 and server.probes == before + 1


def test_a_recipe_can_demand_the_capability() -> None:
    with FakeServer(tools="parse") as able, FakeServer(tools="text") as unable:
        go(Endpoint(base_url=able.url).require(["tool_calls"], who="react"))
        with pytest.raises(CapabilityMissing, match="react needs tool_calls") as caught:
            go(Endpoint(base_url=unable.url).require(["tool_calls"], who="react"))
    assert "--tool-call-parser" in str(caught.value)


def test_replicas_parse_calls_if_each_of_them_does() -> None:
    async def both(*servers: FakeServer) -> bool:
        return await Replicas(endpoints=[Endpoint(base_url=server.url) for server in servers]).tool_calls()

    with FakeServer(tools="parse") as one, FakeServer(tools="parse") as two, FakeServer(tools="text") as three:
        assert go(both(one, two)) is True
        assert go(both(one, three)) is False


def test_a_server_that_is_gone_is_no_server_that_cannot() -> None:
    with FakeServer(tools="parse") as server:
        endpoint = Endpoint(base_url=server.url, retry=ONCE)
        go(endpoint.profile())
    with pytest.raises(EndpointUnreachable):
        go(endpoint.tool_calls())


def test_thinking_within_a_budget_keeps_the_calls_of_the_answer() -> None:
    def reply(request: FakeRequest, index: int) -> FakeReply:
        return FakeReply("I look.", tool_calls=BOTH.tool_calls[:1]) if request.prefill else FakeReply("I think.")

    with FakeServer(reply, tools="parse") as server:
        request = asked(sampling=Sampling(max_tokens=40, thinking_tokens=10))
        (completion,) = go(Endpoint(base_url=server.url).complete(request, 1)).completions
    assert completion.tool_calls == CALLS[:1] and completion.reasoning == "I think."
