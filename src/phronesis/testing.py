"""Fakes that ship with the package: test your strategy the way we test ours.

``ScriptedClient`` stands in for an endpoint inside the process. ``FakeServer`` is a real OpenAI-compatible HTTP server on
loopback with scripted replies, latency and faults. Neither needs a model; both count what they are asked.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
import socket
import threading
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import orjson
from aiohttp import web

from phronesis.core.chat import Alternative, Batch, ChatRequest, Completion, LabelProbabilities, TokenLogprobs, Usage
from phronesis.core.errors import ModelError
from phronesis.core.ports import Observer
from phronesis.core.reward import RewardRequest, Rewards
from phronesis.core.task import WrittenCall

_TOKEN = re.compile(r"\s*\S+")
_PROMPT_TOKEN = re.compile(r"\s*\S+|\s+$")


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
    tool_calls: Sequence[tuple[str, Mapping[str, Any] | str]] = ()
    """Calls by (name, arguments); arguments may be a text that is no JSON."""

    @property
    def calls(self) -> tuple[WrittenCall, ...]:
        """The calls as a server that parses them has them."""
        texts = [given if isinstance(given, str) else orjson.dumps(given).decode() for _, given in self.tool_calls]
        named = zip(self.tool_calls, texts, strict=True)
        return tuple(
            WrittenCall(id=f"call_{i}", name=name, arguments=text) for i, ((name, _), text) in enumerate(named)
        )

    @property
    def with_tags(self) -> str:
        """The text with the calls in it, as a server that does not parse them leaves it."""
        form = '<tool_call>\n{{"name": "{}", "arguments": {}}}\n</tool_call>'
        return "\n".join([*([self.text] if self.text else []), *(form.format(c.name, c.arguments) for c in self.calls)])


@dataclass(frozen=True)
class FakeRequest:
    """What the server was asked."""

    body: Mapping[str, Any]

    @property
    def messages(self) -> list[dict[str, Any]]:
        return list(self.body["messages"])

    @property
    def tools(self) -> list[str]:
        """Names of the tools that came along with the request."""
        return [tool["function"]["name"] for tool in self.body.get("tools") or ()]

    @property
    def prefill(self) -> str:
        last = self.messages[-1]
        return str(last["content"]) if last["role"] == "assistant" else ""

    @property
    def text(self) -> str:
        """Every message, joined; or the plain text of a request without messages."""
        if "messages" not in self.body:
            return str(self.body.get("prompt") or self.body.get("input") or "")
        return "\n".join(message["content"] for message in self.messages)

    @property
    def user(self) -> str:
        """The last user message."""
        return next(str(message["content"]) for message in reversed(self.messages) if message["role"] == "user")

    @property
    def fingerprint(self) -> int:
        """A number that depends on messages and seed alone."""
        text = f"{self.messages!r}|{self.body.get('seed')}"
        return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=6).digest(), "big")


Replier = Callable[[FakeRequest, int], str | FakeReply]
Pooler = Callable[[FakeRequest], Any]
"""What a pooling server puts under ``data``: a row of numbers, or a list of rows."""
Continuer = Callable[[Sequence[str]], Mapping[str, float] | None]
"""The likeliest tokens behind a prompt's first tokens and their log-probabilities; None = one filler."""


_PORTS: set[int] = set()
"""Ports this process has served at: a client knows for good what it found at an address."""


def _listening(port: int) -> socket.socket:
    """A socket on a loopback port: the one asked for, or (0) one that no server of this process had before."""
    passed_over = []
    try:
        while True:
            bound = socket.create_server(("127.0.0.1", port), backlog=128)
            if port or bound.getsockname()[1] not in _PORTS:
                _PORTS.add(bound.getsockname()[1])
                return bound
            passed_over.append(bound)  # held until another one is found, so that it does not come again
    finally:
        for held in passed_over:
            held.close()


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


def _until(text: str, stops: Sequence[str]) -> str:
    """The text before the first of the stops."""
    return text[: min([at for stop in stops if (at := text.find(stop)) >= 0], default=len(text))]


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
        greedy_n: bool = True,
        capacity: int | None = None,
        opens_thinking: bool = False,
        stream_usage: bool = True,
        pace: float = 0.0,
        context_length: int = 32768,
        fingerprint: str | None = None,
        pool: Pooler | None = None,
        prompt_logprobs: str = "vllm",
        continuer: Continuer = lambda tokens: None,
        tools: Literal["parse", "text", "refuse"] = "text",
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
        self.greedy_n = greedy_n
        """False: n > 1 at temperature 0 is refused, as vLLM does."""
        self.capacity = capacity
        """Requests in flight above which one is answered 429; None = any number."""
        self.opens_thinking = opens_thinking
        """The chat template ends with ``<think>``; the replies have to begin inside the thinking themselves."""
        self.stream_usage = stream_usage
        """False: ``stream_options`` are refused."""
        self.pace = pace
        """Seconds between the pieces of a stream."""
        self.context_length = context_length
        self.fingerprint = fingerprint
        """``system_fingerprint`` of replies."""
        self.pool = pool
        """Makes it a pooling server: /pooling and /classify answer, nothing else that a model is asked for does."""
        self.prompt_logprobs = prompt_logprobs
        """How /v1/completions reports a prompt's log-probabilities: ``vllm``, ``echo`` or ``no``."""
        self.continuer = continuer
        self.tools = tools
        """What becomes of a reply's calls: parsed, left in its text, or every request with tools is refused."""
        self.calls = 0
        """Completions and pooled conversations sent, probes apart."""
        self.requests = 0
        """Model requests received, failed ones too, probes apart."""
        self.probes = 0
        self.cancelled = 0
        """Requests whose client went away before the reply."""
        self.peak = 0
        """Most requests in flight at once."""
        self.seen: list[FakeRequest] = []
        self._clients: set[Any] = set()
        self._in_flight = 0
        self._port = port
        self._started = threading.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stopping: asyncio.Event | None = None
        self._thread: threading.Thread | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}/v1"

    @property
    def connections(self) -> int:
        """Connections that model requests came over, probes apart."""
        return len(self._clients)

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
        app.router.add_post("/v1/completions", self._complete)
        app.router.add_post("/pooling", self._pool)
        app.router.add_post("/classify", self._pool)
        app.router.add_post("/tokenize", self._tokenize)
        app.router.add_post("/apply-template", self._template)
        app.router.add_get("/health", self._health)
        runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.1)
        await runner.setup()
        await web.SockSite(runner, _listening(self._port)).start()
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

    async def _template(self, request: web.Request) -> web.Response:
        asked = FakeRequest(orjson.loads(await request.read()))
        return web.json_response({"prompt": f"{asked.text}\nassistant:" + ("<think>\n" if self.opens_thinking else "")})

    async def _chat(self, request: web.Request) -> web.StreamResponse:
        return await self._answer(request, self._payload, offered=self.pool is None)

    async def _complete(self, request: web.Request) -> web.StreamResponse:
        return await self._answer(request, self._completion, offered=self.pool is None)

    async def _pool(self, request: web.Request) -> web.StreamResponse:
        field = "data" if request.path == "/pooling" else "probs"
        return await self._answer(request, lambda asked, _: self._pooled(asked, field), offered=self.pool is not None)

    async def _answer(
        self, request: web.Request, payload_of: Callable[[FakeRequest, Replier], dict[str, Any]], *, offered: bool
    ) -> web.StreamResponse:
        if not offered:
            self.probes += 1 if request.headers.get("X-Phronesis-Probe") else 0
            return web.json_response({"detail": "Not Found"}, status=404)
        asked = FakeRequest(orjson.loads(await request.read()))
        refusal = self._refuse(asked)
        if request.headers.get("X-Phronesis-Probe"):
            self.probes += 1
            return refusal or web.json_response(payload_of(asked, self._probe_reply))
        number, self.requests = self.requests, self.requests + 1
        self.seen.append(asked)
        assert request.transport is not None
        self._clients.add(request.transport.get_extra_info("peername"))
        if self.capacity is not None and self._in_flight >= self.capacity:
            return _error(429, f"more than {self.capacity} requests in flight")
        self._in_flight += 1
        self.peak = max(self.peak, self._in_flight)
        try:
            pause = self.latency(asked) if callable(self.latency) else self.latency
            if pause:
                await asyncio.sleep(pause)
            fault = self._faults(asked, number) if callable(self._faults) else next(self._faults, None)
            if refusal is not None:
                return refusal
            if fault is not None and not (fault.drop and asked.body.get("stream")):
                return await self._fail(request, fault)
            payload = payload_of(asked, self.reply)
            if fault is not None:
                return await self._stream(request, asked, payload, half=True)
            self.calls += len(payload.get("choices", payload.get("data", ())))
            if asked.body.get("stream"):
                return await self._stream(request, asked, payload)
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
        if n > 1 and not self.greedy_n and not asked.body.get("temperature"):
            return _error(400, "n must be 1 at temperature 0")
        if asked.body.get("stream_options") and not self.stream_usage:
            return _error(400, "stream_options are not supported")
        if asked.body.get("logprobs") and not self.logprobs:
            return _error(400, "logprobs are not supported")
        if asked.tools and self.tools == "refuse":
            return _error(400, '"auto" tool choice requires --enable-auto-tool-choice and --tool-call-parser to be set')
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

    async def _stream(
        self, request: web.Request, asked: FakeRequest, payload: Mapping[str, Any], *, half: bool = False
    ) -> web.StreamResponse:
        """``half``: the connection is closed in the middle of the text."""
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        chunks = _chunks(payload["choices"][0])
        usage = (asked.body.get("stream_options") or {}).get("include_usage")
        chunks += [{"choices": [], "usage": payload["usage"]}] if usage else []
        for chunk in chunks[: len(chunks) // 2] if half else chunks:
            await response.write(b"data: " + orjson.dumps({"model": self.model, **chunk}) + b"\n\n")
            await asyncio.sleep(self.pace)
        if half:
            assert request.transport is not None
            request.transport.close()
        else:
            await response.write(b"data: [DONE]\n\n")
        return response

    def _probe_reply(self, asked: FakeRequest, _: int) -> str | FakeReply:
        if asked.tools:
            return FakeReply(tool_calls=[(asked.tools[0], {"word": "zebra"})])
        if asked.prefill:
            return " four, five" if self.prefill != "no" else "Sure"
        if "response_format" in asked.body:
            return '{"word": "zebra"}' if self.structured else "a zebra"
        return "yes"

    def _payload(self, asked: FakeRequest, replier: Replier) -> dict[str, Any]:
        choices = []
        generated = thought = 0
        for index in range(int(asked.body.get("n") or 1)):
            made = replier(asked, index)
            reply = FakeReply(made) if isinstance(made, str) else made
            calls = reply.calls if asked.tools and self.tools == "parse" else ()
            said = _until(reply.text if calls else reply.with_tags, asked.body.get("stop") or ())
            tokens, cut = _pieces(said, int(asked.body.get("max_tokens") or 4096))
            text = "".join(tokens) if cut else said
            thought += len(_TOKEN.findall(reply.reasoning))
            generated += len(tokens)
            if self.prefill == "echo":
                text = asked.prefill + text
            message: dict[str, Any] = {"role": "assistant", "content": text}
            if reply.reasoning:
                message["reasoning"] = reply.reasoning
            if calls:
                message["tool_calls"] = [
                    {"id": c.id, "type": "function", "function": {"name": c.name, "arguments": c.arguments}}
                    for c in calls
                ]
                generated += sum(len(_TOKEN.findall(call.arguments)) for call in calls)
            finish = reply.finish or ("length" if cut else "tool_calls" if calls else "stop")
            choice: dict[str, Any] = {"index": index, "message": message, "finish_reason": finish}
            if asked.body.get("logprobs"):
                alternatives = int(asked.body.get("top_logprobs") or 0)
                choice["logprobs"] = {"content": _fake_logprobs(tokens, reply, alternatives)}
            choices.append(choice)
        prompt = len(_TOKEN.findall(asked.text))
        generated += thought
        usage: dict[str, Any] = {"prompt_tokens": prompt, "completion_tokens": generated}
        usage["total_tokens"] = prompt + generated
        if thought:
            usage["completion_tokens_details"] = {"reasoning_tokens": thought}
        extra = {"system_fingerprint": self.fingerprint} if self.fingerprint else {}
        head = {"id": "fake", "object": "chat.completion", "model": self.model}
        return {**head, "choices": choices, "usage": usage, **extra}

    def _pooled(self, asked: FakeRequest, field: str) -> dict[str, Any]:
        assert self.pool is not None
        prompt = len(_TOKEN.findall(asked.text))
        item = {"index": 0, field: self.pool(asked)}
        usage = {"prompt_tokens": prompt, "total_tokens": prompt}
        return {"id": "fake", "object": "list", "model": self.model, "data": [item], "usage": usage}

    def _completion(self, asked: FakeRequest, _: Replier) -> dict[str, Any]:
        """One token behind the prompt, and the prompt's log-probabilities in the server's dialect if they are asked for."""
        tokens = _PROMPT_TOKEN.findall(asked.text)
        tops = [self.continuer(tokens[:at]) or {"~": -0.5} for at in range(len(tokens))]
        rows = [{token: top.get(token, -9.5), **top} for token, top in zip(tokens, tops, strict=True)]
        choice: dict[str, Any] = {"index": 0, "text": "\n", "finish_reason": "length"}
        if self.prompt_logprobs == "vllm" and asked.body.get("prompt_logprobs"):
            ids = {text: str(number) for number, text in enumerate(sorted({text for row in rows for text in row}))}
            found = [{ids[text]: {"logprob": p, "decoded_token": text} for text, p in row.items()} for row in rows]
            choice["prompt_logprobs"] = [None, *found[1:]]
        if self.prompt_logprobs == "echo" and asked.body.get("echo"):
            choice["logprobs"] = {"tokens": [*tokens, "\n"], "top_logprobs": [None, *rows[1:], {"\n": -0.1}]}
        usage = {"prompt_tokens": len(tokens), "completion_tokens": 1, "total_tokens": len(tokens) + 1}
        return {"id": "fake", "object": "text_completion", "model": self.model, "choices": [choice], "usage": usage}


def _chunks(choice: Mapping[str, Any]) -> list[dict[str, Any]]:
    """A choice as a stream brings it: thinking, text with the log-probabilities beside it, the reason it ended."""
    message = choice["message"]
    rows = list((choice.get("logprobs") or {}).get("content") or ())
    made: list[dict[str, Any]] = [{"delta": {"role": "assistant", "content": ""}}]
    made += [{"delta": {"reasoning": piece}} for piece in _TOKEN.findall(message.get("reasoning", ""))]
    for piece in _TOKEN.findall(message["content"]):
        row = {"logprobs": {"content": [rows.pop(0)]}} if rows else {}
        made.append({"delta": {"content": piece}, **row})
    for number, call in enumerate(message.get("tool_calls", ())):
        function, half = call["function"], len(call["function"]["arguments"]) // 2
        begun = {**call, "index": number, "function": {**function, "arguments": ""}}
        made.append({"delta": {"tool_calls": [begun]}})
        for part in (function["arguments"][:half], function["arguments"][half:]):
            made.append({"delta": {"tool_calls": [{"index": number, "function": {"arguments": part}}]}})
    made.append({"delta": {}, "finish_reason": choice["finish_reason"]})
    return [{"choices": [{"index": 0, **item}]} for item in made]


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
    rewards: Callable[[RewardRequest], Rewards] = lambda request: ((0.0,) * request.width,) * max(1, request.rows)
    """What ``reward`` returns."""
    model: str = "scripted"
    per_request: int = 128
    """Choices per request."""
    tools: Literal["parse", "text"] = "text"
    """Whether a reply's calls come back parsed, or left in its text."""
    requests: list[ChatRequest] = field(default_factory=list)
    """Every request so far."""
    reward_requests: list[RewardRequest] = field(default_factory=list)
    """Every request for rewards so far."""
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
            calls = reply.calls if request.tools and self.tools == "parse" else ()
            said = reply.text if calls else reply.with_tags
            tokens, cut = _pieces(said, request.sampling.max_tokens)
            top = tuple((Alternative(token, reply.logprob),) for token in tokens) if request.logprobs > 1 else ()
            row = TokenLogprobs(tuple(tokens), (reply.logprob,) * len(tokens), top)
            completions.append(
                Completion(
                    text="".join(tokens) if cut else said,
                    finish="length" if cut or reply.finish == "length" else "stop",
                    reasoning=reply.reasoning,
                    logprobs=row if request.logprobs else None,
                    tokens=len(tokens),
                    tool_calls=calls,
                )
            )
        prompt = sum(len(_TOKEN.findall(message.content)) for message in request.messages)
        generated = sum(completion.tokens for completion in completions)
        usage = Usage(calls=n, requests=1, prompt_tokens=prompt, completion_tokens=generated)
        return Batch(completions=tuple(completions), usage=usage)

    async def complete_streamed(self, request: ChatRequest, observer: Observer) -> Batch:
        observer.restart()
        batch = await self.complete(request, 1)
        for piece in _TOKEN.findall(batch.completions[0].text):
            observer.piece(piece, thinking=False)
        return batch

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

    async def reward(self, request: RewardRequest) -> tuple[Rewards, Batch]:
        self.reward_requests.append(request)
        return self.rewards(request), Batch(completions=(), usage=Usage(calls=1, requests=1, prompt_tokens=1))

    async def stream(self, request: ChatRequest) -> AsyncIterator[str]:
        for piece in _TOKEN.findall((await self.complete(request, 1)).completions[0].text):
            yield piece

    async def tokens(self, text: str) -> int:
        return len(_TOKEN.findall(text))

    async def tool_calls(self) -> bool:
        return self.tools == "parse"
