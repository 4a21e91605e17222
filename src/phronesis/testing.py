"""Fakes that ship with the package: test your strategy the way we test ours.

``ScriptedClient`` stands in for an endpoint inside the process. ``FakeServer`` is a real OpenAI-compatible HTTP server on
loopback with scripted replies, latency and faults. Neither needs a model; both count what they are asked.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
import threading
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson
from aiohttp import web

from phronesis.core.chat import Alternative, Batch, ChatRequest, Completion, LabelProbabilities, TokenLogprobs, Usage
from phronesis.core.errors import ModelError

_TOKEN = re.compile(r"\s*\S+")


@dataclass(frozen=True)
class FakeReply:
    """A reply with more than its text."""

    text: str = ""
    logprob: float = -0.1
    """Natural-log probability of each token."""
    top: Mapping[str, float] | None = None
    """Alternatives of the first token with their logprobs; None = the token and a filler."""
    finish: str | None = None
    """None = ``stop``, or ``length`` when max_tokens cuts the text."""
    reasoning: str = ""


@dataclass(frozen=True)
class FakeRequest:
    """What the server was asked."""

    body: Mapping[str, Any]

    @property
    def messages(self) -> list[dict[str, str]]:
        return list(self.body["messages"])

    @property
    def prefill(self) -> str:
        last = self.messages[-1]
        return last["content"] if last["role"] == "assistant" else ""

    @property
    def text(self) -> str:
        """Every message, joined."""
        return "\n".join(message["content"] for message in self.messages)

    @property
    def user(self) -> str:
        """The last user message."""
        return next(message["content"] for message in reversed(self.messages) if message["role"] == "user")

    @property
    def fingerprint(self) -> int:
        """A number that depends on messages and seed alone."""
        text = f"{self.messages!r}|{self.body.get('seed')}"
        return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=6).digest(), "big")


Replier = Callable[[FakeRequest, int], str | FakeReply]


@dataclass(frozen=True)
class Fault:
    """What goes wrong with a request instead of a reply."""

    status: int = 500
    retry_after: float | None = None
    message: str = "scripted fault"
    drop: bool = False
    """Close the connection in the middle of the body."""
    body: bytes | None = None
    """Send these bytes with status 200."""


def step_by_step(request: FakeRequest, index: int) -> str:
    """The default reply: two steps and a number that depends on request and index alone."""
    value = (request.fingerprint + index) % 7
    return f" Start from {value} + 0 = {value}.\nStep 2: Nothing is left to do.\nAnswer: {value}"


def obedient(request: FakeRequest, index: int) -> str:
    """Follows the last order of the form ``reply with exactly: X`` anywhere in the prompt; for injection tests."""
    orders = re.findall(r"(?:reply|answer|respond) with(?: exactly)?:\s*(.+)", request.text, flags=re.IGNORECASE)
    return orders[-1].strip() if orders else step_by_step(request, index)


def _pieces(text: str, limit: int) -> tuple[list[str], bool]:
    tokens = _TOKEN.findall(text)
    return tokens[:limit], len(tokens) > limit


class FakeServer:
    """An OpenAI-compatible server on loopback, in a thread of its own. Use it as a context manager."""

    def __init__(
        self,
        reply: Replier = step_by_step,
        *,
        latency: float | Callable[[FakeRequest], float] = 0.0,
        faults: Iterable[Fault | None] | Callable[[FakeRequest, int], Fault | None] = (),
        model: str = "fake",
        logprobs: bool = True,
        structured: bool = True,
        prefill: str = "continue",
        max_n: int = 128,
        context_length: int = 32768,
        port: int = 0,
    ) -> None:
        """``faults``: one per request in order (None = none), or a function of request and request number from 0.
        ``prefill``: ``continue``, ``echo`` or ``no``. Switches describe the server's abilities, probes see them."""
        self.reply = reply
        self.latency = latency
        self._faults = faults if callable(faults) else iter(list(faults))
        self.model = model
        self.logprobs = logprobs
        self.structured = structured
        self.prefill = prefill
        self.max_n = max_n
        self.context_length = context_length
        self.calls = 0
        """Completions sent, probes apart."""
        self.requests = 0
        """Chat requests received, failed ones too, probes apart."""
        self.probes = 0
        self.cancelled = 0
        """Requests whose client went away before the reply."""
        self.peak = 0
        """Most requests in flight at once."""
        self.seen: list[FakeRequest] = []
        self._in_flight = 0
        self._port = port
        self._started = threading.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stopping: asyncio.Event | None = None
        self._thread: threading.Thread | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}/v1"

    def __enter__(self) -> FakeServer:
        self._started.clear()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), daemon=True)
        self._thread.start()
        if not self._started.wait(10):
            raise RuntimeError("the fake server did not start within 10 s")
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Stops answering at once; open connections are closed."""
        if self._thread is not None and self._thread.is_alive():
            assert self._loop is not None and self._stopping is not None
            self._loop.call_soon_threadsafe(self._stopping.set)
            self._thread.join(10)

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._stopping = asyncio.Event()
        app = web.Application(client_max_size=64 * 2**20)
        app.router.add_get("/v1/models", self._models)
        app.router.add_post("/v1/chat/completions", self._chat)
        app.router.add_post("/tokenize", self._tokenize)
        app.router.add_get("/health", self._health)
        runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.1)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", self._port)
        await site.start()
        self._port = runner.addresses[0][1]
        self._started.set()
        await self._stopping.wait()
        await runner.cleanup()

    async def _health(self, _: web.Request) -> web.Response:
        return web.json_response({"status": "ok"})

    async def _models(self, _: web.Request) -> web.Response:
        card = {"id": self.model, "object": "model", "owned_by": "phronesis", "max_model_len": self.context_length}
        return web.json_response({"object": "list", "data": [card]})

    async def _tokenize(self, request: web.Request) -> web.Response:
        body = orjson.loads(await request.read())
        return web.json_response({"count": len(_TOKEN.findall(body.get("prompt") or body.get("content") or ""))})

    async def _chat(self, request: web.Request) -> web.StreamResponse:
        asked = FakeRequest(orjson.loads(await request.read()))
        refusal = self._refuse(asked)
        if request.headers.get("X-Phronesis-Probe"):
            self.probes += 1
            return refusal or web.json_response(self._payload(asked, self._probe_reply))
        number, self.requests = self.requests, self.requests + 1
        self.seen.append(asked)
        self._in_flight += 1
        self.peak = max(self.peak, self._in_flight)
        try:
            pause = self.latency(asked) if callable(self.latency) else self.latency
            if pause:
                await asyncio.sleep(pause)
            fault = self._faults(asked, number) if callable(self._faults) else next(self._faults, None)
            if refusal is not None:
                return refusal
            if fault is not None:
                return await self._fail(request, fault)
            payload = self._payload(asked, self.reply)
            self.calls += len(payload["choices"])
            if asked.body.get("stream"):
                return await self._stream(request, payload)
            return web.Response(body=orjson.dumps(payload), content_type="application/json")
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        finally:
            self._in_flight -= 1

    def _refuse(self, asked: FakeRequest) -> web.Response | None:
        n = int(asked.body.get("n") or 1)
        if n > self.max_n:
            return _error(400, f"n = {n} is more than {self.max_n}")
        if asked.body.get("logprobs") and not self.logprobs:
            return _error(400, "logprobs are not supported")
        length = len(_TOKEN.findall(asked.text))
        if length > self.context_length:
            return _error(400, f"maximum context length is {self.context_length} tokens, the prompt has {length}")
        return None

    async def _fail(self, request: web.Request, fault: Fault) -> web.StreamResponse:
        if fault.drop:
            response = web.StreamResponse(headers={"Content-Length": "1000"})
            await response.prepare(request)
            await response.write(b'{"choices": [')
            assert request.transport is not None
            request.transport.close()
            return response
        if fault.body is not None:
            return web.Response(body=fault.body, content_type="application/json")
        headers = {} if fault.retry_after is None else {"Retry-After": f"{fault.retry_after:g}"}
        return _error(fault.status, fault.message, headers)

    async def _stream(self, request: web.Request, payload: Mapping[str, Any]) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        for piece in _TOKEN.findall(payload["choices"][0]["message"]["content"]):
            chunk = {"choices": [{"index": 0, "delta": {"content": piece}}]}
            await response.write(b"data: " + orjson.dumps(chunk) + b"\n\n")
        await response.write(b"data: [DONE]\n\n")
        return response

    def _probe_reply(self, asked: FakeRequest, _: int) -> str:
        if asked.prefill:
            return " four, five" if self.prefill != "no" else "Sure"
        if "response_format" in asked.body:
            return '{"word": "zebra"}' if self.structured else "a zebra"
        return "yes"

    def _payload(self, asked: FakeRequest, replier: Replier) -> dict[str, Any]:
        choices = []
        generated = 0
        for index in range(int(asked.body.get("n") or 1)):
            made = replier(asked, index)
            reply = FakeReply(made) if isinstance(made, str) else made
            tokens, cut = _pieces(reply.text, int(asked.body.get("max_tokens") or 4096))
            text = "".join(tokens) if cut else reply.text
            generated += len(tokens)
            if self.prefill == "echo":
                text = asked.prefill + text
            message = {"role": "assistant", "content": text}
            if reply.reasoning:
                message["reasoning"] = reply.reasoning
            finish = reply.finish or ("length" if cut else "stop")
            choice: dict[str, Any] = {"index": index, "message": message, "finish_reason": finish}
            if asked.body.get("logprobs"):
                alternatives = int(asked.body.get("top_logprobs") or 0)
                choice["logprobs"] = {"content": _fake_logprobs(tokens, reply, alternatives)}
            choices.append(choice)
        prompt = len(_TOKEN.findall(asked.text))
        usage = {"prompt_tokens": prompt, "completion_tokens": generated, "total_tokens": prompt + generated}
        return {"id": "fake", "object": "chat.completion", "model": self.model, "choices": choices, "usage": usage}


def _fake_logprobs(tokens: Sequence[str], reply: FakeReply, alternatives: int) -> list[dict[str, Any]]:
    rows = []
    for number, token in enumerate(tokens or [""]):
        row: dict[str, Any] = {"token": token, "logprob": reply.logprob}
        if alternatives:
            top = reply.top if number == 0 and reply.top else {token: reply.logprob, "~": -9.0}
            row["top_logprobs"] = [{"token": name, "logprob": value} for name, value in top.items()][:alternatives]
        rows.append(row)
    return rows


def _error(status: int, message: str, headers: Mapping[str, str] | None = None) -> web.Response:
    return web.json_response({"error": {"message": message, "code": status}}, status=status, headers=headers)


@dataclass
class ScriptedClient:
    """An endpoint without a server: replies from a queue, or from a function of (request, index)."""

    script: Sequence[str | FakeReply | ModelError] | Callable[[ChatRequest, int], str | FakeReply | ModelError]
    """A queue is used up in order and must be long enough; a function is asked each time."""
    labels: Mapping[str, float] = field(default_factory=dict)
    """What ``label_probabilities`` returns, restricted to the labels asked for; missing ones share what is left."""
    model: str = "scripted"
    per_request: int = 128
    """Choices per request."""
    requests: list[ChatRequest] = field(default_factory=list)
    """Every request so far."""
    _at: int = 0

    async def chunks(self, n: int, request: ChatRequest) -> tuple[int, ...]:
        full, rest = divmod(n, self.per_request)
        return (self.per_request,) * full + ((rest,) if rest else ())

    async def complete(self, request: ChatRequest, n: int) -> Batch:
        self.requests.append(request)
        replies = [self._next(request, index) for index in range(n)]
        completions = []
        for made in replies:
            if isinstance(made, ModelError):
                raise made
            reply = FakeReply(made) if isinstance(made, str) else made
            tokens, cut = _pieces(reply.text, request.sampling.max_tokens)
            top = tuple((Alternative(token, reply.logprob),) for token in tokens) if request.logprobs > 1 else ()
            row = TokenLogprobs(tuple(tokens), (reply.logprob,) * len(tokens), top)
            completions.append(
                Completion(
                    text="".join(tokens) if cut else reply.text,
                    finish="length" if cut or reply.finish == "length" else "stop",
                    reasoning=reply.reasoning,
                    logprobs=row if request.logprobs else None,
                    tokens=len(tokens),
                )
            )
        prompt = sum(len(_TOKEN.findall(message.content)) for message in request.messages)
        generated = sum(completion.tokens for completion in completions)
        usage = Usage(calls=n, requests=1, prompt_tokens=prompt, completion_tokens=generated)
        return Batch(completions=tuple(completions), usage=usage)

    def _next(self, request: ChatRequest, index: int) -> str | FakeReply | ModelError:
        if callable(self.script):
            return self.script(request, index)
        if self._at >= len(self.script):
            raise AssertionError(f"the script has {len(self.script)} replies and another one was asked for")
        self._at += 1
        return self.script[self._at - 1]

    async def label_probabilities(
        self, request: ChatRequest, labels: Sequence[str]
    ) -> tuple[LabelProbabilities, Batch]:
        self.requests.append(request)
        known = {label: self.labels[label] for label in labels if label in self.labels}
        rest = (1.0 - sum(known.values())) / max(1, len(labels) - len(known))
        found = LabelProbabilities(probabilities={label: known.get(label, rest) for label in labels})
        return found, Batch(completions=(), usage=Usage(calls=1, requests=1, prompt_tokens=1, completion_tokens=1))

    async def stream(self, request: ChatRequest) -> AsyncIterator[str]:
        for piece in _TOKEN.findall((await self.complete(request, 1)).completions[0].text):
            yield piece

    async def tokens(self, text: str) -> int:
        return len(_TOKEN.findall(text))
