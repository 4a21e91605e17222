"""A run: one recipe over one or many tasks, in one folder with one journal. Starting, resuming, solving, ending."""

from __future__ import annotations

import asyncio
import platform
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from phronesis import __version__
from phronesis.core.errors import ConfigurationError, PhronesisError
from phronesis.core.http import hold_pools, release_pools
from phronesis.core.journal import Event, Journal
from phronesis.core.result import Result
from phronesis.core.settings import Settings, load_settings
from phronesis.core.task import Task
from phronesis.graphs.calibration import Calibration
from phronesis.graphs.endpoints import RoleEndpoint, endpoints_for
from phronesis.graphs.policies.reward import RewardStatistics
from phronesis.graphs.recipe import Recipe
from phronesis.graphs.run_folder import new_run_id, run_folder
from phronesis.graphs.solve import Surroundings, solve_task
from phronesis.memory.session import Memory


class Run:
    """An open run. Use it as an async context manager: leaving it writes ``run_finished`` unless it was interrupted."""

    def __init__(self, recipe: Recipe, settings: Settings, journal: Journal, run_id: str) -> None:
        """Internal: use ``start`` or ``resume``."""
        self.recipe = recipe
        self.settings = settings
        self.journal = journal
        self.id = run_id
        self.tasks: tuple[Task, ...] = ()
        """Tasks the journal knows of; a resumed run solves them again from it."""
        self.extra: dict[str, Any] = {}
        """What the caller asked to keep beside the recipe, for example where results go."""
        self._results: dict[str, Result] = {}
        self._rewards: dict[str, dict[str, float]] = {}
        self._memory: Memory | None = None
        self._around: Surroundings | None = None

    @classmethod
    async def start(
        cls,
        recipe: Recipe,
        *,
        settings: Settings | None = None,
        extra: dict[str, Any] | None = None,
        texts: bool = True,
        listener: Callable[[Event], None] | None = None,
    ) -> Run:
        """A new run; the endpoints answer and offer what the recipe needs, or SetupError is raised and nothing is left."""
        found = settings or load_settings()
        roles = _roles(recipe)
        endpoints = endpoints_for(list(roles), recipe.file.models, found, {})
        hold_pools()
        try:
            for role, capabilities in roles.items():
                await endpoints[role].require(capabilities, who=f"the {role} of recipe {recipe.name!r}")
            run_id = new_run_id()
            run = cls(recipe, found, Journal(found.runs / run_id, texts=texts), run_id)
        except BaseException:
            await release_pools()
            raise
        try:
            await run._begin(endpoints, extra=extra or {}, texts=texts, listener=listener)
        except BaseException:
            await run.close()
            run.journal.discard()
            raise
        return run

    async def _begin(
        self,
        endpoints: dict[str, RoleEndpoint],
        *,
        extra: dict[str, Any],
        texts: bool,
        listener: Callable[[Event], None] | None,
    ) -> None:
        """Pins what the run reads (models, statistics, memory version) in its first event."""
        self.extra = extra
        if listener:
            self.journal.listeners.append(listener)
        models = {role: endpoint.model for role, endpoint in endpoints.items()}
        statistics = self._calibration.read()
        mode = self.recipe.file.memory.mode
        version = None if mode == "off" else await asyncio.to_thread(lambda: self._open_memory().version())
        pinned = version if mode == "frozen" else None
        data = {
            "schema": 1,
            "run": self.id,
            "recipe": self.recipe.to_data(),
            "source": self.recipe.source,
            "versions": {"phronesis": __version__, "python": platform.python_version()},
            "seed": self.recipe.file.seed,
            "models": models,
            "memory_version": pinned,
            "statistics": {family: asdict(item) for family, item in statistics.items()},
            "texts": texts,
            "extra": extra,
        }
        self.journal.append(Event("run_started", "", "run", data))
        self._surround(endpoints, models, statistics, pinned)

    @classmethod
    async def resume(
        cls, run_id: str, *, settings: Settings | None = None, listener: Callable[[Event], None] | None = None
    ) -> Run:
        """An earlier run, opened over its journal. Nothing is asked of a server until something is missing.

        Raises ConfigurationError for an unknown run and for one written without texts; RunLocked."""
        found = settings or load_settings()
        folder = run_folder(found, run_id)
        journal = Journal(folder)
        try:
            started = next((event for event in journal.recovered if event.type == "run_started"), None)
            if started is None:
                raise ConfigurationError(f"run {run_id!r} was stopped before it began", mend="start a new one")
            if not started.data["texts"]:
                raise ConfigurationError(
                    f"run {run_id!r} was journalled without texts and cannot be resumed", mend="start a new run"
                )
            recipe = Recipe.from_data(started.data["recipe"], source=f"run {run_id}")
            run = cls(recipe, found, journal, run_id)
        except BaseException:
            journal.close()
            raise
        hold_pools()
        if listener:
            journal.listeners.append(listener)
        run.extra = dict(started.data["extra"])
        run.tasks = tuple(
            Task.model_validate(event.data["asked"]) for event in journal.recovered if event.type == "task_started"
        )
        models = dict(started.data["models"])
        endpoints = endpoints_for(list(_roles(recipe)), recipe.file.models, found, models)
        statistics = {family: RewardStatistics(**item) for family, item in started.data["statistics"].items()}
        run._surround(endpoints, models, statistics, started.data["memory_version"])
        return run

    def _surround(
        self,
        endpoints: dict[str, RoleEndpoint],
        models: dict[str, str],
        statistics: dict[str, RewardStatistics],
        version: int | None,
    ) -> None:
        self._around = Surroundings(
            recipe=self.recipe,
            graph=self.recipe.strategy.build(self.recipe.knobs),
            journal=self.journal,
            run_id=self.id,
            endpoints=endpoints,
            models=models,
            statistics=statistics,
            memory=self._open_memory,
            memory_version=version,
        )

    @property
    def _calibration(self) -> Calibration:
        return Calibration(self.settings.home / "statistics.sqlite3")

    def _open_memory(self) -> Memory:
        if self._memory is None:
            self._memory = Memory.open(self.recipe.file.memory.session, settings=self.settings)
        return self._memory

    @property
    def folder(self) -> Path | None:
        return self.journal.folder

    def announce(self, tasks: Sequence[Task]) -> None:
        """Journals the tasks before the first call, so that a resume knows all of them. Ids must differ."""
        seen: set[str] = set()
        for task in tasks:
            if task.id in seen:
                raise ConfigurationError(f"two tasks have the id {task.id!r}", mend="give each task its own id")
            seen.add(task.id)
            data = {"asked": task.model_dump(mode="json")}
            self.journal.note(Event("task_started", task.id, "task", data))
        self.tasks = tuple(tasks)

    async def solve(self, task: Task) -> Result:
        """One task's Result. A failed call or a limit makes a failed or partial Result; setup errors are raised."""
        assert self._around is not None
        if task.id not in {known.id for known in self.tasks}:
            self.announce((*self.tasks, task))
        result, rewards = await solve_task(self._around, task)
        self._results[task.id] = result
        self._rewards[task.id] = rewards
        return result

    async def solve_all(self, tasks: Sequence[Task], *, parallel: int = 4) -> AsyncIterator[Result]:
        """Results as they come. With a memory that is written to, tasks follow one another in order (batch of one)."""
        self.announce(tasks)
        places = asyncio.Semaphore(1 if self.recipe.file.memory.mode == "write" else max(1, parallel))

        async def one(task: Task) -> Result:
            async with places:
                return await self.solve(task)

        work = [asyncio.create_task(one(task)) for task in tasks]
        try:
            for done in asyncio.as_completed(work):
                yield await done
        finally:
            for item in work:
                item.cancel()
            await asyncio.gather(*work, return_exceptions=True)

    async def finish(self) -> None:
        """Commits statistics in task order and writes ``run_finished``. Safe to repeat."""
        if self.recipe.file.calibration == "running":
            pairs = [(task.id, self._rewards[task.id]) for task in self.tasks if task.id in self._rewards]
            await asyncio.to_thread(self._calibration.commit, self.id, pairs)
        failed = [task.id for task in self.tasks if self._results[task.id].status == "failed"]
        status = "failed" if failed else "finished"
        self.journal.note(Event("run_finished", "", "end", {"status": status, "failed": failed}))

    async def close(self) -> None:
        """Unlocks journal and memory, closes connections nobody else needs; without ``finish`` the run is interrupted."""
        self.journal.close()
        await release_pools()
        if self._memory is not None:
            self._memory.close()
            self._memory = None

    async def __aenter__(self) -> Run:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            if kind is None and all(task.id in self._results for task in self.tasks):
                await self.finish()
        finally:
            await self.close()


def _roles(recipe: Recipe) -> dict[str, tuple[Any, ...]]:
    roles: dict[str, tuple[Any, ...]] = dict(recipe.strategy.needs(recipe.knobs))
    if recipe.file.memory.mode == "write":
        roles.setdefault("abstractor", ())
    return roles


async def stream(recipe: Recipe, task: Task, *, settings: Settings | None = None) -> AsyncGenerator[Event, None]:
    """The events of a run of one task as they happen. Closing the iterator cancels the run."""
    queue: asyncio.Queue[Event | None] = asyncio.Queue()

    async def work() -> None:
        try:
            async with await Run.start(recipe, settings=settings, listener=queue.put_nowait) as run:
                await run.solve(task)
        finally:
            queue.put_nowait(None)

    running = asyncio.create_task(work())
    try:
        while (event := await queue.get()) is not None:
            yield event
        await running
    finally:
        running.cancel()
        with suppress(asyncio.CancelledError, PhronesisError):
            await running
