"""DSPy: ``dspy.LM`` awaited call by call, its cache off. With ``best_of`` one BestOfN of that many attempts per round, in a
thread because it has no form that can be awaited."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import dspy
from measure import Job, Work, in_waves, serve


def best_of(model: Any, attempts: int) -> Any:
    """A BestOfN whose threshold is never met, so that it makes all its attempts."""

    def reward(arguments: Any, prediction: Any) -> float:
        return 0.5

    return dspy.BestOfN(module=dspy.Predict("question -> answer"), N=attempts, reward_fn=reward, threshold=1.0)


@asynccontextmanager
async def opened(job: Job) -> AsyncIterator[Work]:
    extra = {"logprobs": True} if job.logprobs else {}
    model = dspy.LM("openai/mock", api_base=job.url, api_key="none", cache=False, max_tokens=100_000, **extra)
    attempts = job.options.get("best_of")

    async def one() -> None:
        assert (await model.acall("What is 3 + 4?"))[0]

    def rounds(calls: int) -> None:
        chosen = best_of(model, attempts)
        with dspy.context(lm=model):
            for _ in range(max(1, calls // attempts)):
                chosen(question="What is 3 + 4?")

    if attempts:
        yield lambda calls: asyncio.to_thread(rounds, calls)
    else:
        yield lambda calls: in_waves(one, calls, job.in_flight)


if __name__ == "__main__":
    serve(opened)
