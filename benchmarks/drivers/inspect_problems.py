"""inspect_ai: an evaluation of problems, each sampled ``epochs`` times, the most frequent score kept; a match scorer and a
log of every sample, which is what it is for. Display and real-time log are off.

Option: ``epochs``.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from inspect_ai import Epochs, Task, eval_async
from inspect_ai.dataset import MemoryDataset, Sample
from inspect_ai.model import GenerateConfig, get_model
from inspect_ai.scorer import match
from inspect_ai.solver import generate
from measure import Job, Work, serve


@asynccontextmanager
async def opened(job: Job) -> AsyncIterator[Work]:
    os.environ["MOCK_BASE_URL"], os.environ["MOCK_API_KEY"] = job.url, "none"
    model = get_model("openai-api/mock/mock", config=GenerateConfig(max_connections=job.in_flight), memoize=False)
    epochs = Epochs(int(job.options.get("epochs", 1)), "mode")

    async def work(calls: int) -> None:
        samples = [Sample(input=f"What is 3 + 4? ({n})", target="3") for n in range(calls)]
        scorer = match(location="any", numeric=True)
        task = Task(dataset=MemoryDataset(samples), solver=generate(), scorer=scorer, epochs=epochs)
        logs = await eval_async(
            task, model=model, log_dir=job.scratch, log_realtime=False, max_samples=job.in_flight, score_display=False
        )
        assert logs[0].status == "success", logs[0].error

    yield work


if __name__ == "__main__":
    serve(opened, marginal=True)
