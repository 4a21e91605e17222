"""The openai SDK: AsyncOpenAI with its default pool, one client for all calls."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from measure import Job, Work, in_waves, serve
from openai import AsyncOpenAI


@asynccontextmanager
async def opened(job: Job) -> AsyncIterator[Work]:
    extra = {"logprobs": True} if job.logprobs else {}
    async with AsyncOpenAI(base_url=job.url, api_key="none") as client:

        async def one() -> None:
            reply = await client.chat.completions.create(
                model="mock", messages=[{"role": "user", "content": "What is 3 + 4?"}], max_tokens=100_000, **extra
            )
            assert reply.choices[0].message.content

        yield lambda calls: in_waves(one, calls, job.in_flight)


if __name__ == "__main__":
    serve(opened)
