"""The floor: a POST with aiohttp, the body parsed with orjson, the text taken out. Nothing is kept, retried or checked."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
import orjson
from measure import Job, Work, in_waves, serve


@asynccontextmanager
async def opened(job: Job) -> AsyncIterator[Work]:
    body = {"model": "mock", "messages": [{"role": "user", "content": "What is 3 + 4?"}], "max_tokens": 100_000}
    if job.logprobs:
        body["logprobs"] = True
    headers = {"Content-Type": "application/json"}
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:

        async def one() -> None:
            async with session.post(f"{job.url}/chat/completions", data=orjson.dumps(body), headers=headers) as reply:
                payload = orjson.loads(await reply.read())
            assert payload["choices"][0]["message"]["content"]

        yield lambda calls: in_waves(one, calls, job.in_flight)


if __name__ == "__main__":
    serve(opened)
