"""its_hub: SelfConsistency with as many samples as calls are in flight. Options: ``cap``, the orchestrator's limit (its
default is 32; -1 = none)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from its_hub import LMOrchestrator, OpenAICompatibleLanguageModel, SelfConsistency
from measure import Job, Work, serve


@asynccontextmanager
async def opened(job: Job) -> AsyncIterator[Work]:
    algorithm = SelfConsistency(orchestrator=LMOrchestrator(max_concurrency=job.options.get("cap", 32)))
    async with OpenAICompatibleLanguageModel(endpoint=job.url, api_key="none", model_name="mock") as model:

        async def work(calls: int) -> None:
            for start in range(0, calls, job.in_flight):
                reply = await algorithm.ainfer(model, "What is 3 + 4?", budget=min(job.in_flight, calls - start))
                assert reply["content"]

        yield work


if __name__ == "__main__":
    serve(opened)
