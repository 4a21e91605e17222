"""What phronesis itself costs: CPU per call of the client and of whole strategies, wall clock of a fan-out, import times.

Everything runs against the shipped FakeServer in a child process, so the figures hold our CPU only. Timings differ between
machines: read the ratios. ``make bench`` prints the table.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from phronesis.agents.client.endpoint import Endpoint
from phronesis.agents.client.run_client import Journaled, Metered
from phronesis.core.budget import Account, Branch
from phronesis.core.chat import ChatRequest, Sampling
from phronesis.core.effects import Effects
from phronesis.core.http import close_pools
from phronesis.core.journal import Journal
from phronesis.core.settings import Settings
from phronesis.core.site import Site
from phronesis.core.task import Message, Task
from phronesis.graphs.recipe import Recipe
from phronesis.graphs.run import Run

SERVER = """
import sys, time
from phronesis.testing import FakeServer
text = ' 3 + 4 = 7.' + ' word' * int(sys.argv[1]) + ' \\\\boxed{7}'
with FakeServer(lambda request, index: text, latency=float(sys.argv[2])) as server:
    print(server.url, flush=True)
    time.sleep(600)
"""


class Served:
    """A FakeServer in a process of its own."""

    def __init__(self, words: int, latency: float) -> None:
        self.arguments = [str(words), str(latency)]

    def __enter__(self) -> str:
        self.process = subprocess.Popen(
            [sys.executable, "-c", SERVER, *self.arguments], stdout=subprocess.PIPE, text=True
        )
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()


async def _timed(work: Callable[[], Awaitable[object]]) -> tuple[float, float]:
    cpu, wall = time.process_time(), time.perf_counter()
    await work()
    return time.process_time() - cpu, time.perf_counter() - wall


async def client(url: str, folder: Path, *, calls: int, logprobs: int) -> float:
    """Milliseconds of CPU per call, journal included, 64 in flight."""
    endpoint = Endpoint(base_url=url)
    await endpoint.profile()
    journal = Journal(folder)
    made = Journaled(Metered(endpoint), Effects(journal, "t"), seed=0, task="t")
    request = ChatRequest(
        messages=(Message(role="user", content="What is 3 + 4?"),),
        sampling=Sampling(max_tokens=100_000),
        logprobs=logprobs,
    )
    account = Account()

    async def one(number: int) -> None:
        await made.sample(request, 1, site=Site(Branch(f"b{number}", account), "solver"))

    async def everything() -> None:
        for start in range(0, calls, 64):
            await asyncio.gather(*(one(number) for number in range(start, min(calls, start + 64))))

    await one(-1)
    cpu, _ = await _timed(everything)
    journal.close()
    await close_pools()
    return 1000 * cpu / calls


async def strategy(
    url: str, home: Path, name: str, overrides: dict[str, object], tasks: int
) -> tuple[float, float, int]:
    """(milliseconds of CPU per call, wall seconds per task, calls per task)."""
    recipe = Recipe.load(name, overrides={**overrides, "calibration": "frozen"})
    settings = Settings(home=home, base_url=url, embedder="none")
    async with await Run.start(recipe, settings=settings) as run:
        first = await run.solve(Task(messages="Warm up: what is 3 + 4?"))

        async def everything() -> None:
            for number in range(tasks):
                await run.solve(Task(messages=f"What is 3 + {number}?"))

        cpu, wall = await _timed(everything)
    await close_pools()
    return 1000 * cpu / (tasks * first.usage.calls), wall / tasks, first.usage.calls


def imports(code: str) -> float:
    """Best of five, seconds for a new interpreter, the bare interpreter's start subtracted."""

    def best(text: str) -> float:
        times = []
        for _ in range(5):
            start = time.perf_counter()
            subprocess.run([sys.executable, "-c", text], check=True, stdout=subprocess.DEVNULL)
            times.append(time.perf_counter() - start)
        return min(times)

    return best(code) - best("pass")


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        with Served(150, 0.0) as url:
            small = asyncio.run(client(url, home / "small", calls=512, logprobs=0))
            print(f"client, 1 KB reply, journal included        {small:6.2f} ms CPU per call  (bar 0.3)")
        with Served(700, 0.0) as url:
            large = asyncio.run(client(url, home / "large", calls=256, logprobs=1))
            print(f"client, 700 tokens with logprobs            {large:6.2f} ms CPU per call  (bar 1.2)")
        with Served(20, 0.0) as url:
            for name, overrides in (
                ("self_consistency", {"knobs.k": 64}),
                ("magicore", {"knobs.k": 8, "knobs.quality_floor": 2.0, "knobs.confident": 1.0}),
            ):
                cpu, _, calls = asyncio.run(strategy(url, home / name, name, overrides, 20))
                print(f"{name:<20} {calls:3d} calls, LangGraph included {cpu:6.2f} ms CPU per call  (bar 1.0)")
        with Served(20, 0.05) as url:
            _, wall, calls = asyncio.run(strategy(url, home / "wall", "self_consistency", {"knobs.k": 64}, 10))
            print(f"self_consistency, {calls} samples at 50 ms        {1000 * wall:6.1f} ms wall clock     (bar 75)")
    print(f"import phronesis                            {imports('import phronesis'):6.3f} s                 (bar 0.1)")
    shown = "import sys; sys.argv = ['phronesis', '--help']\nfrom phronesis.cli.main import main\nmain()"
    print(f"phronesis --help                            {imports(shown):6.3f} s                 (bar 0.3)")


if __name__ == "__main__":
    main()
