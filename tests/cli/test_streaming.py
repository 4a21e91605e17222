"""Replies shown while they are written: whole in the journal, never half an answer, on a terminal and nowhere else."""

from __future__ import annotations

import asyncio
import json
import os
import pty
import re
import subprocess
import sys
import time
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any, TypeVar

import pytest
from rich.console import Console

from phronesis.agents.client import limiter
from phronesis.agents.client.endpoint import Endpoint
from phronesis.agents.client.replicas import Replicas
from phronesis.agents.client.retry import RetryRule
from phronesis.agents.client.streaming import Assembly, Piece
from phronesis.cli.live_text import LiveText
from phronesis.cli.main import main
from phronesis.core.chat import Batch, ChatRequest, Sampling, as_messages
from phronesis.core.errors import ContextOverflow, ModelError, Refused, ServerFailed
from phronesis.core.http import close_pools
from phronesis.core.journal import Event
from phronesis.graphs.recipe import Recipe
from phronesis.graphs.run import Run
from phronesis.testing import FakeReply, FakeRequest, FakeServer, Fault, ScriptedClient

T = TypeVar("T")
QUICK = RetryRule(retries=2, first=0.002)


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


def asked(**fields: Any) -> ChatRequest:
    return ChatRequest(messages=as_messages([("user", "How many?")]), **fields)


class Notes:
    """An observer that writes down what it is shown."""

    def __init__(self) -> None:
        self.seen: list[str] = []
        self.calls = 0

    def begin(self) -> bool:
        self.calls += 1
        self.seen.append("(")
        return True

    def restart(self) -> None:
        self.seen.append("|")

    def piece(self, text: str, *, thinking: bool) -> None:
        self.seen.append(f"[{text}]" if thinking else text)

    def end(self) -> None:
        self.seen.append(")")


def streamed(server: FakeServer, request: ChatRequest | None = None, **fields: Any) -> tuple[Batch, list[str]]:
    notes = Notes()
    one = Endpoint(base_url=server.url, **{"retry": QUICK, **fields})
    return go(one.complete_streamed(request or asked(), notes)), notes.seen


def whole(server: FakeServer, request: ChatRequest | None = None) -> Batch:
    return go(Endpoint(base_url=server.url, retry=QUICK).complete(request or asked(), 1))


# A streamed reply is the reply.


@pytest.mark.parametrize("prefill", ["continue", "echo"])
@pytest.mark.parametrize(
    ("reply", "fields"),
    [
        (FakeReply("one two three"), {}),
        (FakeReply("one two three"), {"logprobs": 3, "seed": 5}),
        (FakeReply("one two three"), {"sampling": Sampling(max_tokens=2)}),
        (FakeReply("It is 4.", reasoning="hm hm"), {}),
        (FakeReply("<think> hm </think> It is 4."), {}),
        (FakeReply(" + 2 = 4"), {"prefill": "Step 1: 2"}),
        (FakeReply(""), {}),
    ],
)
def test_it_is_what_the_server_would_have_sent_without_streaming(
    reply: FakeReply, fields: dict[str, Any], prefill: str
) -> None:
    with FakeServer(lambda request, index: reply, prefill=prefill) as server:
        batch, _ = streamed(server, asked(**fields))
        assert batch.completions == whole(server, asked(**fields)).completions
        first, second = (request.body for request in server.seen)
        assert first == {**second, "stream": True, "stream_options": {"include_usage": True}}
        assert batch.usage == whole(server, asked(**fields)).usage


def test_pieces_are_shown_as_they_come() -> None:
    with FakeServer(lambda request, index: "one two three") as server:
        assert streamed(server)[1] == ["|", "one", " two", " three"]


def test_the_first_pieces_are_shown_before_the_last_are_sent() -> None:
    shown: list[float] = []

    class Clock(Notes):
        def piece(self, text: str, *, thinking: bool) -> None:
            shown.append(time.perf_counter())

    with FakeServer(lambda request, index: "one two three four", pace=0.1) as server:
        go(Endpoint(base_url=server.url).complete_streamed(asked(), Clock()))
    assert len(shown) == 4 and shown[-1] - shown[0] >= 0.25


def test_thinking_is_marked_whoever_takes_it_apart() -> None:
    replies = iter(
        [FakeReply("4.", reasoning="hm hm"), FakeReply("<think> hm </think> 4."), FakeReply("hm </think> 4.")]
    )
    with FakeServer(lambda request, index: next(replies)) as server:
        assert streamed(server)[1] == ["|", "[hm]", "[ hm]", "4."]
        assert streamed(server)[1] == ["|", "[<think>]", "[ hm]", "[ </think>]", " 4."]
    with FakeServer(lambda request, index: next(replies), opens_thinking=True) as server:
        assert streamed(server)[1] == ["|", "[hm]", "[ </think>]", " 4."]


def test_a_stream_cut_in_half_is_a_failed_attempt() -> None:
    with FakeServer(lambda request, index: "one two three four", faults=[Fault(drop=True)]) as server:
        batch, seen = streamed(server)
        assert batch.completions[0].text == "one two three four" and batch.usage.requests == 2
        again = seen.index("|", 1)
        assert again > 1 and seen[again:] == ["|", "one", " two", " three", " four"]
    with FakeServer(faults=lambda request, number: Fault(drop=True)) as server:
        with pytest.raises(ServerFailed) as caught:
            streamed(server)
        assert server.requests == 3 == caught.value.details["requests"]


@pytest.mark.parametrize(
    ("fault", "kind"),
    [(Fault(404), Refused), (Fault(500), ServerFailed), (Fault(400, message="maximum context"), ContextOverflow)],
)
def test_refusals_keep_their_type(fault: Fault, kind: type[ModelError]) -> None:
    with FakeServer(faults=lambda request, number: fault) as server, pytest.raises(ModelError) as caught:
        streamed(server)
    assert type(caught.value) is kind


def test_a_server_without_usage_in_streams_is_asked_once() -> None:
    with FakeServer(lambda request, index: "one two three", stream_usage=False) as server:

        async def work() -> list[Batch]:
            one = Endpoint(base_url=server.url, retry=QUICK)
            return [await one.complete_streamed(asked(), Notes()) for _ in range(2)]

        first, second = go(work())
        assert (first.usage.requests, second.usage.requests, server.requests) == (2, 1, 3)
    assert first.completions == second.completions
    assert (second.usage.completion_tokens, second.usage.prompt_tokens) == (3, 2), "counted by the tokenizer"


def test_a_bad_request_does_not_cost_the_usage_of_later_streams() -> None:
    faults = [Fault(400), Fault(400), None]
    with FakeServer(faults=faults) as server:

        async def work() -> None:
            one = Endpoint(base_url=server.url, retry=QUICK)
            with pytest.raises(Refused) as caught:
                await one.complete_streamed(asked(), Notes())
            assert caught.value.details["requests"] == 2
            await one.complete_streamed(asked(), Notes())

        go(work())
        assert "stream_options" in server.seen[-1].body


def test_a_server_that_cannot_stream_is_asked_for_the_whole() -> None:
    choice = {"message": {"content": "4"}, "finish_reason": "stop"}
    body = json.dumps({"choices": [choice]}).encode()
    with FakeServer(faults=lambda request, number: Fault(body=body)) as server:

        async def work() -> list[Batch]:
            one = Endpoint(base_url=server.url, retry=QUICK)
            return [await one.complete_streamed(asked(), Notes()) for _ in range(2)]

        batches = go(work())
        assert [batch.completions[0].text for batch in batches] == ["4", "4"]
        assert [batch.usage.requests for batch in batches] == [2, 1]


def test_replicas_and_scripts_stream_too() -> None:
    with FakeServer(faults=lambda request, number: Fault(500)) as broken, FakeServer(lambda r, i: "one two") as good:
        notes = Notes()
        endpoints = [Endpoint(base_url=server.url, retry=QUICK) for server in (broken, good)]
        batch = go(Replicas(endpoints=endpoints).complete_streamed(asked(), notes))
        assert batch.usage.requests == 2 and notes.seen == ["|", "|", "one", " two"]
    notes = Notes()
    assert go(ScriptedClient(["one two"]).complete_streamed(asked(), notes)).completions[0].text == "one two"
    assert notes.seen == ["|", "one", " two"]


# The assembly.


def deltas(*texts: str) -> list[dict[str, Any]]:
    return [{"choices": [{"index": 0, "delta": {"content": text}}]} for text in texts]


@pytest.mark.parametrize(
    ("texts", "shown"),
    [
        (["", "Step", " 1:", " 2"], [" 2"]),
        (["Step 1: 2"], [" 2"]),
        (["Step", " back"], ["Step back"]),
        ([" 2"], [" 2"]),
        (["", "", "S", "o"], ["So"]),
    ],
)
def test_an_echoed_prefill_is_not_shown(texts: list[str], shown: list[str]) -> None:
    assembly = Assembly("http://x/v1", echoed="Step 1:")
    assert [piece.text for event in deltas(*texts) for piece in assembly.take(event)] == shown


def test_tags_in_pieces_are_found() -> None:
    assembly = Assembly("http://x/v1", opened=True)
    pieces = [piece for event in deltas("hm </th", "ink>", "\n4", " </think> 5") for piece in assembly.take(event)]
    assert pieces == [Piece("hm </th", True), Piece("ink>", True), Piece("\n4", False), Piece(" </think> 5", False)]


@pytest.mark.parametrize(
    "event",
    [
        [],
        7,
        None,
        {"choices": 7},
        {"choices": [7]},
        {"choices": [{"delta": 7}]},
        {"choices": [{"delta": {"content": 7}}]},
        {"choices": [{"delta": {"content": ["x"]}}]},
        {"choices": [{"logprobs": [1]}]},
    ],
)
def test_events_that_are_no_completion_are_failures_of_the_server(event: Any) -> None:
    with pytest.raises(ServerFailed):
        Assembly("http://x/v1").take(event)


def test_a_stream_that_does_not_say_why_it_ended_is_no_reply() -> None:
    assembly = Assembly("http://x/v1")
    for event in deltas("4"):
        assembly.take(event)
    with pytest.raises(ServerFailed, match="finish reason"):
        assembly.whole()


# Runs.


def watched(server: FakeServer, recipe: str, **overrides: Any) -> tuple[Any, list[str], list[Event]]:
    notes, events = Notes(), []

    async def work() -> Any:
        loaded = Recipe.load(recipe, overrides={"models.default.base_url": server.url, **overrides})
        async with await Run.start(loaded, listener=events.append, observer=notes) as run:
            from phronesis.core.task import Task

            return await run.solve(Task(messages="What is 3 + 4?"))

    return go(work()), notes.seen, events


def test_the_effect_is_journalled_whole() -> None:
    with FakeServer(lambda request, index: "It is \\boxed{7}") as server:
        result, seen, events = watched(server, "direct")
        unwatched = Recipe.load("direct", overrides={"models.default.base_url": server.url}).run("What is 3 + 4?")
        assert [bool(request.body.get("stream")) for request in server.seen] == [True, False]
    assert seen == ["(", "|", "It", " is", " \\boxed{7}", ")"]
    (call,) = [event for event in events if event.type == "call"]
    assert call.data["value"]["completions"][0]["text"] == "It is \\boxed{7}" and "stream" not in str(call.data)
    assert result.answer == "7"
    assert {**result.comparable(), "task_id": ""} == {**unwatched.comparable(), "task_id": ""}


def test_half_a_stream_never_becomes_an_answer() -> None:
    with FakeServer(
        lambda request, index: "It is \\boxed{7} or rather \\boxed{8} as one sees",
        faults=lambda request, number: Fault(drop=True),
    ) as server:
        result, seen, _ = watched(server, "direct")
    assert "".join(seen).count("\\boxed{7}") > 0, "it was shown"
    assert (result.status, result.answer, result.candidates[0].text) == ("failed", None, "")
    assert seen[-1] == ")"


def test_requests_of_several_choices_are_not_streamed() -> None:
    with FakeServer() as server:
        _, seen, _ = watched(server, "self_consistency", **{"knobs.k": 4})
        assert seen == [] and not server.seen[0].body.get("stream")


def test_one_of_several_calls_is_shown_at_a_time() -> None:
    class One(Notes):
        busy = False

        def begin(self) -> bool:
            if self.busy:
                return False
            self.busy = True
            return super().begin()

        def end(self) -> None:
            self.busy = False
            super().end()

    with FakeServer(max_n=1) as server:
        notes = One()

        async def work() -> Any:
            loaded = Recipe.load("self_consistency", overrides={"models.default.base_url": server.url, "knobs.k": 6})
            async with await Run.start(loaded, observer=notes) as run:
                from phronesis.core.task import Task

                return await run.solve(Task(messages="What is 3 + 4?"))

        result = go(work())
        assert result.usage.calls == 6 and 1 <= sum(bool(r.body.get("stream")) for r in server.seen) < 6
    assert re.fullmatch(r"(\([^()]*\))+", "".join(notes.seen).replace("\\(", ""))


# The terminal.


def test_live_text_shows_the_last_lines_without_control_characters() -> None:
    console = Console(width=20, height=10)
    live = LiveText()
    assert live.draw(console, 5) is None
    assert live.begin() and not live.begin()
    live.restart()
    live.piece("half a", thinking=False)
    live.restart()
    live.piece("hm", thinking=True)
    for number in range(10):
        live.piece(f"line {number}\x1b[2J\x07\n", thinking=False)
    drawn = live.draw(console, 3)
    assert drawn is not None and drawn.plain.split() == ["line", "7", "line", "8", "line", "9"]
    live.end()
    assert live.draw(console, 3) is None and live.begin()


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    def run(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["phronesis", *arguments])
        code = 0
        try:
            main()
        except SystemExit as stop:
            code = int(stop.code or 0)
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run


@pytest.mark.parametrize("options", [(), ("--stream",), ("--no-stream",), ("--json",)])
def test_nothing_is_streamed_into_a_pipe(
    call: Callable[..., tuple[int, str, str]], monkeypatch: pytest.MonkeyPatch, options: tuple[str, ...]
) -> None:
    with FakeServer() as server:
        monkeypatch.setenv("OPENAI_BASE_URL", server.url)
        code, out, _ = call("run", "direct", *options, "What is 3 + 4?")
        assert code == 0 and not server.seen[0].body.get("stream")
    if "--json" in options:
        assert json.loads(out)["status"] == "ok"


@pytest.mark.parametrize("other", ["--json", "--dataset"])
def test_streams_go_with_one_question_for_people(
    call: Callable[..., tuple[int, str, str]], tmp_path: Path, other: str
) -> None:
    data = tmp_path / "tasks.jsonl"
    data.write_text('{"question": "What is 3 + 4?"}\n')
    arguments = ("--json", "What?") if other == "--json" else ("--dataset", str(data))
    code, _, err = call("run", "direct", "--stream", *arguments)
    assert code == 2 and f"--stream does not go with {other}" in err


def on_a_terminal(url: str, *options: str) -> str:
    """What a person sees of ``phronesis run direct``."""
    master, slave = pty.openpty()
    env = {**os.environ, "OPENAI_BASE_URL": url, "TERM": "xterm", "COLUMNS": "100", "LINES": "30"}
    command = [sys.executable, "-m", "phronesis", "run", "direct", *options, "What is 3 + 4?"]
    process = subprocess.Popen(command, stdin=slave, stdout=slave, stderr=slave, env=env)
    os.close(slave)
    seen = b""
    try:
        while chunk := os.read(master, 65536):
            seen += chunk
    except OSError:
        pass
    finally:
        os.close(master)
        process.wait(20)
    return seen.decode("utf-8", "replace")


def counting(request: FakeRequest, index: int) -> str:
    return " ".join(f"word{number}" for number in range(12)) + " \\boxed{7}"


def test_a_terminal_shows_the_text_while_it_is_written() -> None:
    with FakeServer(counting, pace=0.12) as server:
        seen = on_a_terminal(server.url)
        assert server.seen[0].body["stream"] is True
    assert "word3" in seen and "answer" in seen and "7" in seen
    half = re.search(r"word0(?: word\d+)* word[3-8](?! word)", re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", seen))
    assert half is not None, "a part of the text stood there alone"


def test_a_terminal_without_streaming() -> None:
    with FakeServer(counting) as server:
        on_a_terminal(server.url, "--no-stream")
        assert not server.seen[0].body.get("stream")
