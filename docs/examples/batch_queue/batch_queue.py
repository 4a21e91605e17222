"""Batch queue: hands each job of a bench to a scheduler as a file, and reads its updates from another as they come.

``submit`` starts a plain process here. For a cluster put its own command there (``sbatch --wait``, ``qsub -sync y``); the
bench's folder then has to lie on a file system that all machines share, with working locks.
"""

from __future__ import annotations

import asyncio
import sys
from asyncio.subprocess import Process
from collections.abc import AsyncIterator

from pydantic import BaseModel, Field

from phronesis.bench.running.environment import environment_of
from phronesis.bench.running.executor import Job, Update
from phronesis.bench.running.executors import ExecutorEntry
from phronesis.bench.running.updates import update_of
from phronesis.core.errors import SetupError
from phronesis.core.settings import Settings


class BatchOptions(BaseModel, extra="forbid"):
    """What can be set."""

    jobs: int = Field(default=2, ge=1)
    """Jobs that a cell is cut into."""
    poll: float = Field(default=0.1, gt=0)
    """Seconds between looks at the updates."""


class BatchQueue:
    """Runs jobs through files in the bench's folder."""

    def __init__(self, settings: Settings, parallel: int, options: BatchOptions) -> None:
        self._settings, self._parallel, self._poll = settings, max(1, parallel // options.jobs), options.poll
        self.shards = options.jobs

    async def submit(self, *words: str) -> Process:
        """The job as the scheduler runs it; ``wait`` returns when it has ended, ``terminate`` takes it back."""
        share = max(1, self._settings.concurrency // self.shards)
        command = [sys.executable, "-m", "phronesis", "bench", "worker", *words]
        return await asyncio.create_subprocess_exec(*command, env=environment_of(self._settings, concurrency=share))

    async def run(self, job: Job) -> AsyncIterator[Update]:
        name = f"{job.cell}-{job.tasks[0].id}-{job.run_id or 'new'}"
        path = self._settings.runs.parent / "jobs" / f"{name.replace('/', '_')}.json"
        out = path.with_suffix(".updates.jsonl")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(job.model_dump_json(), encoding="utf-8")
        out.unlink(missing_ok=True)
        out.touch()
        process = await self.submit(str(path), "--out", str(out), "--parallel", str(self._parallel))
        ending = asyncio.create_task(process.wait())
        try:
            with out.open("rb") as file:
                while True:
                    over, line = ending.done(), file.readline()
                    if line.endswith(b"\n"):
                        update = update_of(line, job)  # raises what stopped the job
                        if update is None:
                            return
                        yield update
                        continue
                    file.seek(-len(line), 1)  # half a line: it is still being written
                    if over:
                        raise SetupError(
                            f"the job {path.name} ended with status {process.returncode}", mend="see its log"
                        )
                    await asyncio.wait([ending], timeout=self._poll)
        finally:
            if process.returncode is None:
                process.terminate()
            await ending


ENTRY = ExecutorEntry(
    name="batch_queue", summary="one batch job for each share of a cell", options=BatchOptions,
    build=lambda settings, parallel, options: BatchQueue(settings, parallel, options),
)  # fmt: skip
