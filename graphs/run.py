"""A run: one recipe over one or many tasks, in one folder with one journal. Starting, resuming, solving, ending."""

from __future__ import annotations

import asyncio
import platform
import threading
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

from phronesis import __version__
from phronesis.core.asking import Asker, open_questions, read_answers
from phronesis.core.errors import AwaitingAnswer, ConfigurationError
from phronesis.core.http import hold_pools, release_pools
from phronesis.core.journal import Event, Journal
from phronesis.core.ports import Observer
from phronesis.core.recording import Recording, tasks_of
from phronesis.core.result import Result
from phronesis.core.settings import Settings, load_settings
from phronesis.core.task import Task
from phronesis.core.tool import ToolSpec
from phronesis.graphs.banks import Banks
from phronesis.graphs.batches import batches, recorded_batches, solve_batch
from phronesis.graphs.calibration import Calibration
from phronesis.graphs.endpoints import RoleEndpoint, endpoints_for, roles_of
from phronesis.graphs.nodes.asking import Person, answer_events
from phronesis.graphs.policies.reward import RewardStatistics
from phronesis.graphs.recipe import Recipe
from phronesis.graphs.replay_source import lend_sources, lent, reopened
from phronesis.graphs.run_folder import CONSOLIDATION, disturbed_tasks, failed_tasks, new_run_id, run_folder
from phronesis.graphs.scorer_files import check_files, pinned_files, scorers_of
from phronesis.graphs.scorer_records import ScorerRecords
from phronesis.graphs.solve import Surroundings, solve_task
from phronesis.graphs.sources import Sources
from phronesis.graphs.unread_memory import UnreadMemory
from phronesis.memory.mounts import MountedMemory
from phronesis.memory.session import Memory


def asked_about(recipe: Recipe, specs: Sequence[ToolSpec]) -> tuple[str, str] | None:
    """What a run of the recipe with these tools may ask a person, in words, and the key that stops it; None = nobody
    is asked."""
    tool = next((spec.name for spec in specs if recipe.file.tools.asks(spec)), None)
    if tool is not None:
        return f"before {tool!r} is called", "tools.approve"
    if recipe.file.verify.asks:
        return f"about verdicts (verify.ask = {recipe.file.verify.ask!r})", "verify.ask"
    return None


class _Waits(NamedTuple):
    """A task that waits for a person."""

    error: AwaitingAnswer


class Run:
    """An open run. Use it as an async context manager: leaving it writes ``run_finished`` unless it was interrupted."""

    def __init__(self, recipe: Recipe, settings: Settings, journal: Journal, run_id: str) -> None:
        """Internal: use ``start`` or ``resume``."""
        self.recipe = recipe
        self.settings = settings
        self.journal = journal
        self.id = run_id
        self.tasks: list[Task] = []
        """Tasks the journal knows of; a resumed run solves them again from it."""
        self.recording: Recording | None = None
        """What a replay draws from."""
        self.replayed_from = ""
        """Run that a replay replays."""
        self.warnings: tuple[str, ...] = ()
        """What every Result of the run says under ``degraded``: scorers that tested at chance."""
        self.extra: dict[str, Any] = {}
        """What the caller asked to keep beside the recipe, for example where results go."""
        self._announced: set[str] = set()
        self._statuses: dict[str, str] = {}
        self._rewards: dict[str, dict[str, float]] = {}
        self.sources = Sources(recipe, settings, memory=self._open_memory)
        """What is searched and called."""
        self.person = Person(run_id)
        """Who is asked where a person has to be."""
        self._memory: Memory | MountedMemory | None = None
        self._opening = threading.Lock()
        self.mounts: dict[str, int] = {}
        """Pinned version of each mounted memory; empty until one is opened."""
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
        observer: Observer | None = None,
        draws_from: str = "",
        asker: Asker | None = None,
    ) -> Run:
        """A new run; the endpoints answer and offer what the recipe needs, or SetupError is raised and nothing is left.

        ``asker``: asks a person where one has to be asked, one question at a time; None = nobody is there, and a task that
        comes to a question stops with AwaitingAnswer, to be answered by a resume.
        ``draws_from``: a recorded run that lends its replies: a call that it made for the same task, role and prompt is not
        made again. Unlike a replay, the run has its own memory and tools. Raises ConfigurationError, RunLocked for it."""
        found = settings or load_settings()
        roles = roles_of(recipe)
        recording = lent(found, draws_from, recipe) if draws_from else None
        pinned = {} if recording is None else recording.models
        endpoints = endpoints_for(list(roles), recipe.file.models, found, pinned, observer=observer)
        hold_pools()
        try:
            for role, capabilities in roles.items():
                await endpoints[role].require(capabilities, who=f"the {role} of recipe {recipe.name!r}")
            run_id = new_run_id()
            run = cls(recipe, found, Journal(found.runs / run_id, texts=texts), run_id)
        except BaseException:
            if recording is not None:
                recording.close()
            await release_pools()
            raise
        run.recording, run.person = recording, Person(run_id, asker)
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
        self.warnings = await asyncio.to_thread(self._scorer_warnings, models)
        await self.sources.begin()
        self._check_answers(texts)
        if self.recording is not None:
            lend_sources(self.recording, self.sources.retriever_pin)
        self.begin(models, statistics, pinned, texts=texts)
        self.surround(endpoints, models, statistics, pinned)

    def _check_answers(self, texts: bool) -> None:
        """Raises ConfigurationError where a question could come up that nobody could ever answer."""
        found = asked_about(self.recipe, self.sources.specs)
        if found is not None and not texts and self.person.asker is None:
            what, key = found
            raise ConfigurationError(
                f"a person is asked {what}, nobody is there, and a run without texts cannot be resumed",
                mend=f'keep the texts, or set {key} = "none"',
            )

    def begin(
        self,
        models: Mapping[str, str],
        statistics: Mapping[str, RewardStatistics],
        version: int | None,
        *,
        texts: bool = True,
        replay: Mapping[str, Any] | None = None,
    ) -> None:
        """Writes ``run_started``. ``replay``: what a replay says of its source."""
        data = {
            "schema": 1,
            "run": self.id,
            "recipe": self.recipe.to_data(),
            "source": self.recipe.source,
            "versions": {"phronesis": __version__, "python": platform.python_version()},
            "seed": self.recipe.file.seed,
            "models": models,
            "memory_version": version,
            "memory_mounts": self.mounts,
            **self.sources.pins,
            "statistics": {family: asdict(item) for family, item in statistics.items()},
            "texts": texts,
            "warnings": list(self.warnings),
            "scorer_files": pinned_files(self.recipe),
            "extra": self.extra,
            **({"draws_from": self.recording.run_id} if self.recording is not None and self.recording.lends else {}),
            **(replay or {}),
        }
        self.journal.append(Event("run_started", "", "run", data))

    @classmethod
    async def resume(
        cls,
        run_id: str,
        *,
        settings: Settings | None = None,
        listener: Callable[[Event], None] | None = None,
        retry_failed: bool | Collection[str] = False,
        answers: Sequence[str] = (),
        asker: Asker | None = None,
    ) -> Run:
        """An earlier run, opened over its journal. Nothing is asked of a server until something is missing.

        ``retry_failed``: tasks whose Result is failed begin again; of named ones all of which a failure is recorded. The
        replies they have are kept, their failures are not. ``answers`` to open questions, each ``TASK:KEY=answer``, are all
        checked before one is written. ``asker``: as for ``start``.
        Raises ConfigurationError for an unknown run and for one written without texts; RunLocked."""
        found = settings or load_settings()
        folder = run_folder(found, run_id)
        journal = Journal(folder)
        try:
            started = next(journal.recorded.of("", "run_started"), None)
            if started is None:
                raise ConfigurationError(f"run {run_id!r} was stopped before it began", mend="start a new one")
            if not started.data["texts"]:
                raise ConfigurationError(
                    f"run {run_id!r} was journalled without texts and cannot be resumed", mend="start a new run"
                )
            if started.data["recipe"]["strategy"] == CONSOLIDATION:
                session = started.data["extra"]["session"]
                raise ConfigurationError(
                    f"run {run_id!r} is a consolidation of memory {session!r}",
                    mend=f"phronesis memory consolidate --session {session}",
                )
            check_files(started.data.get("scorer_files", {}))
            recipe = Recipe.from_data(started.data["recipe"], source=f"run {run_id}")
            run = cls(recipe, found, journal, run_id)
            run.tasks = list(tasks_of(journal.recorded))
            run.person = Person(run_id, asker)
            if answers:
                journal.add(answer_events(read_answers(answers, open_questions(journal.recorded))))
            if retry_failed:
                again = failed_tasks(journal.recorded)
                if retry_failed is not True:
                    named = dict.fromkeys((*again, *disturbed_tasks(journal.recorded)))
                    again = [task for task in named if task in retry_failed]
                journal.retry(again)
            run.replayed_from = str(started.data.get("replayed_from", ""))
            if run.replayed_from and next(journal.recorded.of("", "run_finished"), None) is None:
                run.recording = reopened(found, started.data, journal.recorded)
            if "draws_from" in started.data:
                run.recording = lent(found, started.data["draws_from"], recipe)
                lend_sources(run.recording, started.data.get("retriever", {}))
        except BaseException:
            journal.close()
            raise
        hold_pools()
        if listener:
            journal.listeners.append(listener)
        run.extra = dict(started.data["extra"])
        run.warnings = tuple(started.data.get("warnings", ()))
        run.mounts = dict(started.data.get("memory_mounts", {}))
        run.sources = Sources(
            recipe, found, memory=run._open_memory, pinned=started.data, replayed=bool(run.replayed_from)
        )
        run._announced = {task.id for task in run.tasks}
        models = dict(started.data["models"])
        endpoints = endpoints_for(list(roles_of(recipe)), recipe.file.models, found, models)
        statistics = {family: RewardStatistics(**item) for family, item in started.data["statistics"].items()}
        run.surround(endpoints, models, statistics, started.data["memory_version"])
        return run

    def surround(
        self,
        endpoints: dict[str, RoleEndpoint],
        models: dict[str, str],
        statistics: dict[str, RewardStatistics],
        version: int | None,
    ) -> None:
        """Internal: the last step of opening a run."""
        self._around = Surroundings(
            recipe=self.recipe,
            graph=self.recipe.strategy.build(self.recipe.knobs),
            journal=self.journal,
            run_id=self.id,
            endpoints=endpoints,
            models=models,
            statistics=statistics,
            memory=UnreadMemory if self.replayed_from else self._open_memory,
            memory_version=version,
            banks=Banks(self.settings),
            sources=self.sources,
            person=self.person,
            warnings=self.warnings,
            recording=self.recording,
            replayed_from=self.replayed_from,
        )

    def _scorer_warnings(self, models: Mapping[str, str]) -> tuple[str, ...]:
        records = ScorerRecords(self.settings.home / "statistics.sqlite3")
        scorers, verify = scorers_of(self.recipe), self.recipe.file.verify
        format = self.recipe.file.answer.format
        return tuple(records.warnings(models, scorers, format, verifier=verify.strategy, accept=verify.accept))

    @property
    def _calibration(self) -> Calibration:
        return Calibration(self.settings.home / "statistics.sqlite3")

    def _open_memory(self) -> Memory | MountedMemory:
        section = self.recipe.file.memory
        with self._opening:
            if self._memory is None and section.mounts:
                self._memory = MountedMemory.open(
                    section.session, section.mounts, settings=self.settings, versions=self.mounts
                )
                self.mounts = self._memory.versions()
            elif self._memory is None:
                self._memory = Memory.open(section.session, settings=self.settings)
            return self._memory

    @property
    def folder(self) -> Path | None:
        return self.journal.folder

    def announce(self, tasks: Iterable[Task]) -> None:
        """Journals the tasks before their first call, so that a resume knows all of them. Ids must differ."""
        new: dict[str, Task] = {}
        for task in tasks:
            if task.id in new:
                raise ConfigurationError(f"two tasks have the id {task.id!r}", mend="give each task its own id")
            new[task.id] = task
        for task in new.values():
            if task.id not in self._announced:
                self._announced.add(task.id)
                self.tasks.append(task)
                self.journal.note(Event("task_started", task.id, "task", {"asked": task.model_dump(mode="json")}))

    def keep(self, tasks: Iterable[str]) -> None:
        """Leaves tasks of an earlier session as their recorded Results are: they count as solved, and are not read again.
        Tasks without a recorded Result stay unsolved."""
        for task in tasks:
            events = list(self.journal.recorded.of(task, "task_finished"))
            if events:
                self._statuses[task] = str(events[-1].data["result"]["status"])

    async def solve(self, task: Task) -> Result:
        """One task's Result. A failed call or a limit makes a failed or partial Result; setup errors are raised.

        Raises ConfigurationError for a task whose id the run has solved: its journal holds one solution of each."""
        assert self._around is not None
        self._check_new([task])
        self.announce([task])
        if self._batched:
            (result,) = await self._solve_batch([task], 1)
            return result
        return self._solved(*await solve_task(self._around, task))

    def _check_new(self, tasks: Sequence[Task]) -> None:
        for task in tasks:
            if task.id in self._statuses:
                raise ConfigurationError(f"the run has solved a task {task.id!r}", mend="give each task its own id")

    def _solved(self, result: Result, rewards: dict[str, float]) -> Result:
        self._statuses[result.task_id] = result.status
        if rewards:
            self._rewards[result.task_id] = rewards
        return result

    @property
    def _batched(self) -> bool:
        """Whether tasks read a version that was pinned for their batch; with batches of one the latest is read."""
        section = self.recipe.file.memory
        return section.mode == "write" and section.batch > 1

    async def _solve_batch(self, tasks: Sequence[Task], parallel: int) -> list[Result]:
        assert self._around is not None
        self._check_new(tasks)
        solved = await solve_batch(self._around, tasks, parallel)
        return [self._solved(result, rewards) for result, rewards in solved]

    async def solve_all(self, tasks: Sequence[Task], *, parallel: int = 4) -> AsyncIterator[Result]:
        """Results as they come. With a memory that is written to, tasks come in order, in batches of ``memory.batch``:
        side by side within a batch, one batch after another.

        Tasks that wait for a person do not stop the others, unless a memory is written to, whose order they keep; when the
        others have ended, AwaitingAnswer is raised."""
        self.announce(tasks)
        if self._batched:
            for batch in batches(tasks, self.recipe.file.memory.batch, recorded_batches(self.journal.recorded)):
                for item in await self._solve_batch(batch, parallel):
                    yield item
            return
        waiting, done = iter(tasks), asyncio.Queue[Result | _Waits | BaseException]()

        async def work() -> None:
            try:
                for task in waiting:
                    done.put_nowait(await (self.solve(task) if ordered else self._solve_or_wait(task)))
            except BaseException as error:
                done.put_nowait(error)

        ordered = self.recipe.file.memory.mode == "write"
        width = 1 if ordered else max(1, parallel)
        open: list[_Waits] = []
        workers = [asyncio.create_task(work()) for _ in range(min(width, len(tasks)))]
        try:
            for _ in tasks:
                result = await done.get()
                if isinstance(result, BaseException):
                    raise result
                if isinstance(result, _Waits):
                    open.append(result)
                    continue
                yield result
            if open:
                raise open[0].error
        finally:
            for worker in workers:
                worker.cancel()
            await asyncio.gather(*workers, return_exceptions=True)

    async def _solve_or_wait(self, task: Task) -> Result | _Waits:
        try:
            return await self.solve(task)
        except AwaitingAnswer as error:
            return _Waits(error)

    async def finish(self) -> None:
        """Commits statistics in task order and writes ``run_finished``. Safe to repeat."""
        if self.recipe.file.calibration == "running":
            pairs = [(task.id, self._rewards[task.id]) for task in self.tasks if task.id in self._rewards]
            await asyncio.to_thread(self._calibration.commit, self.id, pairs)
        failed = [task.id for task in self.tasks if self._statuses[task.id] == "failed"]
        status = "failed" if failed else "finished"
        self.journal.note(Event("run_finished", "", "end", {"status": status, "failed": failed}))

    async def close(self) -> None:
        """Unlocks journal and memory, closes connections nobody else needs; without ``finish`` the run is interrupted."""
        try:
            self.journal.close()
        finally:
            if self.recording is not None:
                self.recording.close()
            try:
                await self.sources.close()
            finally:
                await release_pools()
                if self._memory is not None:
                    self._memory.close()
                    self._memory = None

    async def __aenter__(self) -> Run:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            if kind is None and len(self._statuses) == len(self._announced):
                await self.finish()
        finally:
            await self.close()
