"""An OpenAI-compatible mock in a process of its own: fixed latency, replies made once, calls and peak in flight counted.

It does as little as it can, because client and mock share the machine. The address says what is wanted:
``/<latency in ms>/<kind>/<most choices per request>/v1/chat/completions``, with the kinds

- ``1KB``: a reply of about 1 KB;
- ``100KB``: a reply of about 100 KB of text;
- ``logprobs``: a reply of about 100 KB, nearly all of it log-probabilities when the request asks for them.

``GET /counts`` returns what was counted since ``POST /reset``. Run as a script it prints its address and serves until it is
ended.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
from functools import lru_cache
from pathlib import Path
from typing import Any

PROBE_HEADER = "X-Phronesis-Probe"
_SUM = " 3 + 4 = 7."
_WORDS = {"1KB": 120, "100KB": 19_900, "logprobs": 1_080}


def text_of(kind: str, answer: int) -> str:
    """A reply with a marked answer, marked once more the way DSPy's adapter looks for it."""
    marked = f" The answer is \\boxed{{{answer}}}.\n\n[[ ## answer ## ]]\n{answer}\n\n[[ ## completed ## ]]"
    return _SUM + " word" * _WORDS[kind] + marked


@lru_cache(maxsize=48)
def reply_body(kind: str, n: int, logprobs: bool, alternatives: int, first: int) -> bytes:
    """The JSON bytes of a reply with n choices, whose answers count up from ``first`` modulo 7."""
    import orjson

    choices = [_choice(text_of(kind, (first + index) % 7), index, logprobs, alternatives) for index in range(n)]
    generated = n * _WORDS[kind]
    return orjson.dumps(
        {
            "id": "chatcmpl-mock",
            "object": "chat.completion",
            "created": 1_700_000_000,
            "model": "mock",
            "choices": choices,
            "usage": {"prompt_tokens": 50, "completion_tokens": generated, "total_tokens": 50 + generated},
        }
    )


def _choice(text: str, index: int, logprobs: bool, alternatives: int) -> dict[str, Any]:
    choice: dict[str, Any] = {
        "index": index,
        "message": {"role": "assistant", "content": text},
        "finish_reason": "stop",
        "logprobs": None,
    }
    if logprobs:
        tokens = [f" {word}" for word in text.split()]
        choice["logprobs"] = {"content": [_row(token, alternatives) for token in tokens]}
    return choice


def _row(token: str, alternatives: int) -> dict[str, Any]:
    top = [{"token": token, "logprob": -0.105, "bytes": list(token.encode())}][:alternatives]
    return {"token": token, "logprob": -0.105, "bytes": list(token.encode()), "top_logprobs": top}


class Mock:
    """The server's counters and handlers."""

    def __init__(self) -> None:
        self.in_flight = 0
        self.reset()

    def reset(self) -> None:
        self.calls = self.requests = 0
        self.peak = self.in_flight
        self.ports: set[Any] = set()

    async def chat(self, request: Any) -> Any:
        import orjson
        from aiohttp import web

        body = orjson.loads(await request.read())
        info = request.match_info
        n = int(body.get("n") or 1)
        if n > int(info["most"]):
            return web.json_response({"error": {"message": f"n = {n} is more than {info['most']}"}}, status=400)
        if PROBE_HEADER in request.headers:
            return web.Response(body=_probed(body, n), content_type="application/json")
        number, self.requests = self.requests, self.requests + 1
        self.calls += n
        self.ports.add(request.transport.get_extra_info("peername"))
        self.in_flight += 1
        self.peak = max(self.peak, self.in_flight)
        try:
            await asyncio.sleep(int(info["latency"]) / 1000)
            wanted = bool(body.get("logprobs"))
            made = reply_body(info["kind"], n, wanted, int(body.get("top_logprobs") or 0), number % 7)
            return web.Response(body=made, content_type="application/json")
        finally:
            self.in_flight -= 1

    async def counts(self, _: Any) -> Any:
        from aiohttp import web

        return web.json_response(
            {"calls": self.calls, "requests": self.requests, "peak": self.peak, "connections": len(self.ports)}
        )

    async def forget(self, _: Any) -> Any:
        from aiohttp import web

        self.reset()
        return web.json_response({})


def _probed(body: dict[str, Any], n: int) -> bytes:
    """What the client's questions about the server's abilities are answered: it offers everything."""
    import orjson

    text = '{"word": "zebra"}' if "response_format" in body else " four, five"
    choices = [_choice(text, index, bool(body.get("logprobs")), 1) for index in range(n)]
    return orjson.dumps({"choices": choices, "usage": {"prompt_tokens": 5, "completion_tokens": n}})


async def _models(_: Any) -> Any:
    from aiohttp import web

    return web.json_response({"object": "list", "data": [{"id": "mock", "object": "model", "owned_by": "mock"}]})


async def serve() -> None:
    """Serves on a free port of loopback and prints its address."""
    from aiohttp import web

    mock = Mock()
    app = web.Application(client_max_size=2**24)
    app.router.add_get("/counts", mock.counts)
    app.router.add_post("/reset", mock.forget)
    app.router.add_get("/{latency}/{kind}/{most}/v1/models", _models)
    app.router.add_post("/{latency}/{kind}/{most}/v1/chat/completions", mock.chat)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, backlog=2048)
    await site.start()
    print(f"http://127.0.0.1:{runner.addresses[0][1]}", flush=True)
    await asyncio.Event().wait()


class Served:
    """The mock as a child process; a context manager that gives its address."""

    def __enter__(self) -> str:
        self._process = subprocess.Popen([sys.executable, str(Path(__file__))], stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()


if __name__ == "__main__":
    asyncio.run(serve())
