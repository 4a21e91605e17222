"""Executors: the same items whoever runs the tasks, one limit over all processes, and what a killed worker leaves."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest

from phronesis.bench.dataset import DataSet, Example
from phronesis.bench.graders.by_answer import ByAnswer
from phronesis.bench.running.bench_file import ArmEntry, arm_of
from phronesis.bench.running.environment import environment_of
from phronesis.bench.running.executor import Executor, Job, JobStarted, TaskSolved, Update
from phronesis.bench.running.executors import make_executor
from phronesis.bench.running.folder import BenchFolder
from phronesis.bench.running.item import Item
from phronesis.bench.running.plan import Arm, BenchPlan
from phronesis.bench.running.processes import shares
from phronesis.bench.running.runner import Runner
from phronesis.bench.sets.request import SetRequest
from phronesis.core.errors import CapabilityMissing, ConfigurationError, SetupError
from phronesis.core.lines import whole_lines
from phronesis.core.settings import Settings, load_settings
from phronesis.core.task import Message, Task
from phronesis.testing import FakeRequest, FakeServer, Fault

MANY = 8


def doubled(request: FakeRequest, index: int) -> str:
    """Right at even indexes."""
    number = int(request.user.split("What is ")[1].split(" ")[0])
    return f"So \\boxed{{{2 * number + index % 2}}}"


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeServer]:
    with FakeServer(doubled) as running:
        monkeypatch.setenv("OPENAI_BASE_URL", running.url)
        monkeypatch.setenv("PHRONESIS_RETRIES", "0")
        yield running


def examples(count: int = MANY) -> tuple[Example, ...]:
    asked = [(n, Message(role="user", content=f"What is {n} + {n}?")) for n in range(1, count + 1)]
    return tuple(Example(Task(messages=(m,), id=f"q{n}", answer_format="number"), str(2 * n)) for n, m in asked)


def arm(name: str, recipe: str = "self_consistency", *, bank: str = "", calls: int | None = None, **knobs: Any) -> Arm:
    overrides = {f"knobs.{key}": value for key, value in knobs.items()}
    return arm_of(ArmEntry(recipe=recipe, name=name, bank=bank, calls=calls, overrides=overrides), {})


def settings_for(path: Path, **changes: Any) -> Settings:
    return load_settings().model_copy(update={"runs_folder": path / "runs", **changes})


def bench(path: Path, *arms: Arm, executor: str, parallel: int = 4, hands: Executor | None = None) -> list[Item]:
    """Runs or goes on with a bench; its items."""
    data = {"sums": DataSet("sums", examples())}
    with BenchFolder(path) as folder:
        plan = folder.begin(BenchPlan(sets=(SetRequest(spec="sums", name="sums"),), arms=arms), data)
        graders = {("sums", ""): ByAnswer()}

        async def run() -> None:
            found = hands or make_executor(executor, settings_for(path), parallel=parallel)
            await Runner(folder, plan, data, graders, found).run()

        asyncio.run(run())
        return list(folder.items())


def facts(items: list[Item]) -> list[dict[str, Any]]:
    """What must not depend on who ran the tasks."""
    plain = [item.model_dump(exclude={"seconds", "run_id"}) for item in items]
    for item in plain:
        item["calls"] = [{**call, "seconds": 0, "at": 0} for call in item["calls"]]
    return sorted(plain, key=lambda item: (item["arm"], item["task"]))


def run_ids(path: Path) -> list[str]:
    return [json.loads(line)["run"] for line in whole_lines(path / "runs.jsonl")]


class TestSameItems:
    def test_local_and_processes_give_equal_items(self, server: FakeServer, tmp_path: Path) -> None:
        arms = (arm("sc", k=4), arm("refine", "self_refine", rounds=1))
        here = bench(tmp_path / "a", *arms, executor="local")
        there = bench(tmp_path / "b", *arms, executor="processes(n=2)")
        assert facts(here) == facts(there)
        assert len({item.run_id for item in there}) == 4 == len(run_ids(tmp_path / "b"))

    def test_an_arm_draws_from_every_run_of_its_bank(self, server: FakeServer, tmp_path: Path) -> None:
        items = bench(tmp_path, arm("four", k=4), arm("two", k=2, bank="four", calls=0), executor="processes(n=2)")
        assert server.calls == 4 * MANY
        drawn = [item for item in items if item.arm == "two"]
        assert all((item.status, item.model_calls, item.paid_calls) == ("ok", 2, 0) for item in drawn)

    def test_what_a_bank_may_lack_is_one_allowance_for_all_processes(self, server: FakeServer, tmp_path: Path) -> None:
        items = bench(tmp_path, arm("one", k=1), arm("two", k=2, bank="one", calls=3), executor="processes(n=2)")
        assert server.calls == MANY + 3
        assert sum(item.paid_calls for item in items if item.arm == "two") == 3

    def test_a_bench_goes_on_with_another_number_of_processes(self, server: FakeServer, tmp_path: Path) -> None:
        whole = bench(tmp_path / "whole", arm("sc", k=2), executor="local")
        paid = server.calls
        stopped = Stopping(make_executor("processes(n=2)", settings_for(tmp_path / "b"), parallel=2), after=3)
        with pytest.raises(SetupError, match="scripted stop"):
            bench(tmp_path / "b", arm("sc", k=2), executor="", hands=stopped)
        begun = run_ids(tmp_path / "b")
        gone_on = bench(tmp_path / "b", arm("sc", k=2), executor="processes(n=3)")
        assert facts(gone_on) == facts(whole)
        assert 1 <= len(begun) <= 2 and run_ids(tmp_path / "b")[: len(begun)] == begun
        assert {item.run_id for item in gone_on} == set(run_ids(tmp_path / "b")), "each run is gone on with"
        assert paid <= server.calls - paid <= paid + 2 * 2, "only calls in flight at the stop are made again"


class Stopping:
    """An executor whose bench stops after so many solved tasks."""

    def __init__(self, inner: Executor, *, after: int) -> None:
        self._inner = inner
        self._left = after
        self.shards = inner.shards

    async def run(self, job: Job) -> AsyncIterator[Update]:
        async with aclosing(self._inner.run(job)) as updates:  # type: ignore[type-var]  # a generator
            async for update in updates:
                yield update
                self._left -= isinstance(update, TaskSolved)
                if self._left <= 0:
                    raise SetupError("scripted stop")


class TestLimits:
    def test_the_limit_in_flight_holds_over_all_processes(
        self, server: FakeServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("PHRONESIS_CONCURRENCY", "3")
        server.latency, server.max_n = 0.05, 1
        bench(tmp_path, arm("sc", k=4), executor="processes(n=2)", parallel=8)
        assert server.calls == 4 * MANY and 2 <= server.peak <= 3

    @pytest.mark.parametrize(
        ("n", "concurrency", "parallel", "expected"),
        [
            (4, 64, 8, [(16, 2)] * 4),
            (3, 8, 4, [(3, 2), (3, 1), (2, 1)]),
            (4, 2, 9, [(1, 5), (1, 4)]),
            (9, 9, 1, [(9, 1)]),
        ],
    )
    def test_shares_add_up_to_the_limits(
        self, n: int, concurrency: int, parallel: int, expected: list[tuple[int, int]]
    ) -> None:
        found = shares(n, concurrency, parallel)
        assert [(share.concurrency, share.parallel) for share in found] == expected

    def test_no_more_workers_than_shares_run_at_once(self, server: FakeServer, tmp_path: Path) -> None:
        hands = make_executor("processes(n=2)", settings_for(tmp_path), parallel=1)
        assert hands.shards == 1
        assert len(bench(tmp_path, arm("one", "direct"), executor="", hands=hands)) == MANY


class TestNames:
    def test_an_unknown_executor_is_named_with_the_nearest(self, settings: Settings) -> None:
        with pytest.raises(ConfigurationError, match=r"unknown executor 'proceses'(.|\n)*'processes'"):
            make_executor("proceses(n=4)", settings, parallel=4)

    @pytest.mark.parametrize(
        "text", ["processes(n=0)", "processes(workers=3)", "processes(n=many)", "local(n=2)", "a b"]
    )
    def test_wrong_options_are_refused(self, text: str, settings: Settings) -> None:
        with pytest.raises(ConfigurationError) as caught:
            make_executor(text, settings, parallel=4)
        assert caught.value.mend


def worker_pids() -> list[int]:
    """Workers that this process started."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
            command = (folder / "cmdline").read_bytes()
        except OSError:
            continue
        if parent == os.getpid() and b"phronesis.bench.running.worker" in command:
            found.append(int(folder.name))
    return found


class Killer:
    """Replies as ``doubled`` does, and kills a worker with kill -9 when the request of a number comes in."""

    def __init__(self, *numbers: int) -> None:
        self._numbers = numbers
        self._seen = 0
        self._lock = threading.Lock()

    def __call__(self, request: FakeRequest, index: int) -> str:
        with self._lock:
            self._seen += index == 0
            if index == 0 and self._seen in self._numbers:
                for pid in worker_pids():
                    os.kill(pid, signal.SIGKILL)
        return doubled(request, index)


class TestDeaths:
    def test_no_task_is_lost_and_nothing_journalled_is_paid_twice(self, server: FakeServer, tmp_path: Path) -> None:
        whole = bench(tmp_path / "whole", arm("sc", k=2), executor="local")
        paid = server.calls
        server.reply = Killer(4)
        items = bench(tmp_path / "b", arm("sc", k=2), executor="processes(n=1)", parallel=1)
        assert facts(items) == facts(whole)
        assert len(run_ids(tmp_path / "b")) == 1
        again = server.calls - paid - paid
        assert again <= 2, "only the call that was in flight is made again"

    def test_a_worker_that_dies_twice_stops_the_bench_and_what_is_done_is_kept(
        self, server: FakeServer, tmp_path: Path
    ) -> None:
        server.reply = Killer(3, 5)
        with pytest.raises(SetupError, match=r"sc@sums#0 died twice \(signal 9\), run \d{8}-") as caught:
            bench(tmp_path, arm("sc", k=2), executor="processes(n=1)", parallel=1)
        assert caught.value.mend is not None and "same command" in caught.value.mend
        items = bench(tmp_path, arm("sc", k=2), executor="local")
        assert sorted(item.task for item in items) == sorted(f"q{n}" for n in range(1, MANY + 1))
        assert server.calls <= 2 * MANY + 2 * 2

    def test_closing_ends_the_workers(self, server: FakeServer, tmp_path: Path) -> None:
        job = Job(cell="c", recipe=arm("sc").recipe, tasks=tuple(item.task for item in examples()))

        async def first() -> Update:
            hands = make_executor("processes(n=1)", settings_for(tmp_path), parallel=1)
            async with aclosing(hands.run(job)) as updates:  # type: ignore[type-var]  # a generator
                return await anext(updates)  # type: ignore[arg-type]  # a generator

        assert isinstance(asyncio.run(first()), JobStarted)
        assert worker_pids() == [] and server.calls == 0, "nothing is paid before the run is known"

    def test_workers_end_with_a_parent_that_is_killed(self, server: FakeServer, tmp_path: Path) -> None:
        server.latency = 30.0
        (tmp_path / "data.jsonl").write_text('{"question": "What is 1 + 1?", "gold": "2", "id": "a"}\n')
        words = ["bench", "run", "--recipe", "direct", "--dataset", str(tmp_path / "data.jsonl")]
        command = [
            sys.executable,
            "-m",
            "phronesis",
            *words,
            "--executor",
            "processes(n=1)",
            "--out",
            str(tmp_path / "b"),
        ]
        parent = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            wait_for(lambda: server.requests > 0)
        finally:
            parent.kill()
            parent.wait()
        wait_for(lambda: server.cancelled > 0)
        server.latency = 0.0
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
        assert done.returncode == 0, done.stderr
        assert len(run_ids(tmp_path / "b")) == 1


def wait_for(true: Callable[[], bool]) -> None:
    give_up = time.monotonic() + 60
    while not true():
        assert time.monotonic() < give_up
        time.sleep(0.05)


class TestErrors:
    def test_what_stops_a_job_arrives_as_the_error_it_is(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        with FakeServer(logprobs=False) as server:
            monkeypatch.setenv("OPENAI_BASE_URL", server.url)
            with pytest.raises(CapabilityMissing) as caught:
                bench(tmp_path, arm("best", "best_of_n", scorer="self_certainty"), executor="processes(n=2)")
        assert caught.value.mend

    def test_a_failed_task_stops_nothing(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        def fail(request: FakeRequest, number: int) -> Fault | None:
            return Fault(400, message="no threes") if "What is 3 " in request.text else None

        with FakeServer(doubled, faults=fail) as server:
            monkeypatch.setenv("OPENAI_BASE_URL", server.url)
            items = bench(tmp_path, arm("one", "direct"), executor="processes(n=2)")
        assert {item.task: item.status for item in items if item.status != "ok"} == {"q3": "failed"}
        assert len(items) == MANY

    def test_secrets_travel_by_environment_alone(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("OPENAI_API_KEY", "s3cret")
        found = environment_of(settings_for(tmp_path), concurrency=5)
        assert found["PHRONESIS_API_KEY"] == "s3cret" and "OPENAI_API_KEY" not in found
        assert found["PHRONESIS_CONCURRENCY"] == "5"
        again = load_settings(found)
        assert again == settings_for(tmp_path).model_copy(update={"concurrency": 5})
