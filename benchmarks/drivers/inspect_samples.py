"""inspect_ai: an evaluation with one generate and one scorer per sample, display and sample logging off where it can be.

What an evaluation costs before its first sample is left out: the figure is what further samples add.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from inspect_ai import Task, eval_async
from inspect_ai.dataset import MemoryDataset, Sample
from inspect_ai.model import GenerateConfig, get_model
from inspect_ai.scorer import includes
from inspect_ai.solver import generate
from measure import Job, Work, serve


@asynccontextmanager
async def opened(job: Job) -> AsyncIterator[Work]:
    os.environ["MOCK_BASE_URL"], os.environ["MOCK_API_KEY"] = job.url, "none"
    config = GenerateConfig(max_connections=job.in_flight, logprobs=True if job.logprobs else None)
    model = get_model("openai-api/mock/mock", config=config, memoize=False)

    async def work(calls: int) -> None:
        samples = [Sample(input="What is 3 + 4?", target="answer") for _ in range(calls)]
        task = Task(dataset=MemoryDataset(samples), solver=generate(), scorer=includes())
        logs = await eval_async(
            task, model=model, log_dir=job.scratch, log_realtime=False, max_samples=job.in_flight, score_display=False
        )
        assert logs[0].status == "success", logs[0].error

    yield work


if __name__ == "__main__":
    serve(opened, marginal=True)
