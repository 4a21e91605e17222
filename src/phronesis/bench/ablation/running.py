"""Carries an ablation out: ``off`` first, then each order with a memory of its own. What is there is never made again."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from phronesis.bench.ablation import memories
from phronesis.bench.ablation.plan import (
    LATER,
    AblationPlan,
    Kind,
    Place,
    arm_name,
    arm_recipe,
    later_set,
    learn_set,
    memory_name,
    places,
)
from phronesis.bench.dataset import DataSet
from phronesis.bench.graders.grader import Grader
from phronesis.bench.running.documents import documents_of
from phronesis.bench.running.folder import BenchFolder
from phronesis.bench.running.item import Item
from phronesis.bench.running.local import LocalExecutor
from phronesis.bench.running.plan import Arm, BenchPlan, Cell
from phronesis.bench.running.runner import Hear, Runner
from phronesis.core.concept import StoredConcept
from phronesis.core.settings import Settings

Hearing = Callable[[str, BenchPlan, Mapping[str, DataSet]], Hear]
"""Told of a phase that begins (its name, plan and data); gives who is told its items."""


def silent(name: str, plan: BenchPlan, sets: Mapping[str, DataSet]) -> Hear:
    """Tells nobody."""
    return lambda cell, item: None


@dataclass(frozen=True, slots=True)
class Phase:
    """One arm over one part of the stream."""

    kind: Kind
    place: Place
    set: str
    """Name of the part."""
    repeats: int

    @property
    def title(self) -> str:
        return self.kind if self.kind in ("off", "again") else f"{self.kind}, order {self.place.name}"


def phases(plan: AblationPlan) -> Iterator[Phase]:
    """In the order they are run: arms without a memory, then order by order."""
    first = Place(0, 0)
    for kind in plan.arms:
        if kind in ("off", "again"):
            yield Phase(kind, first, plan.title, plan.repeats)
    for place in places(plan):
        for kind in plan.arms:
            if kind == "write":
                yield Phase(kind, place, learn_set(place), 1)
            elif kind in LATER:
                yield Phase(kind, place, later_set(place), 1)


def part(plan: AblationPlan, data: DataSet, name: str, place: Place) -> DataSet:
    """The examples of a part, in the order of the place."""
    if name == plan.title:
        return data
    by_id = {item.task.id: item for item in data.examples}
    order = plan.order(place.order)
    ids = order[: plan.learn] if name == learn_set(place) else order[plan.learn :]
    return DataSet(name, tuple(by_id[task] for task in ids), data.folder)


def bench_plan(plan: AblationPlan, phase: Phase, bank: str) -> BenchPlan:
    """A phase as the bench's runner takes it. ``bank``: the run of ``off`` whose replies are used first."""
    arm = Arm(name=arm_name(phase.kind, phase.place), recipe=arm_recipe(plan, phase.kind, phase.place), bank=bank)
    request = plan.stream.model_copy(update={"name": phase.set})
    return BenchPlan(name=plan.title, sets=(request,), arms=(arm,), repeats=phase.repeats)


class Ablation:
    """An ablation in its folder, which is locked by whoever made the BenchFolder."""

    def __init__(
        self,
        folder: BenchFolder,
        plan: AblationPlan,
        data: DataSet,
        graders: Mapping[tuple[str, str], Grader],
        settings: Settings,
        *,
        parallel: int = 8,
        hearing: Hearing = silent,
        retry_failed: bool = False,
    ) -> None:
        """``settings``: the user's; their memories are only read. ``graders`` by set and grader text of the stream."""
        self._folder = folder
        self._plan = plan
        self._data = data
        self._graders = graders
        self._user = settings
        self.settings = memories.inside(settings, folder.path)
        self._parallel = parallel
        self._hearing = hearing
        self._retry_failed = retry_failed

    async def run(self) -> None:
        """Every phase that lacks something. Raises SetupError when an endpoint is gone; what is done is kept."""
        session, mounts = self._plan.session, self._plan.mounts
        await asyncio.to_thread(memories.bring_in, self._user, self.settings, session=session, mounts=mounts)
        for phase in phases(self._plan):
            await asyncio.to_thread(self.prepare, phase)
            await self._carry_out(phase)

    def prepare(self, phase: Phase) -> None:
        """Makes the memory that a phase reads, unless it is there."""
        if phase.kind in ("off", "again"):
            return
        place = phase.place
        source = arm_name("write", place)
        memories.lay_out(self.settings, source)
        if phase.kind == "placebo":
            memories.derive_placebo(self.settings, source, arm_name(phase.kind, place))
        elif phase.kind == "shuffled":
            families = {item.task.id: item.cluster or item.group for item in self._data.examples}
            seed = self._plan.seed + place.order
            memories.derive_shuffled(self.settings, source, arm_name(phase.kind, place), families, seed)

    async def _carry_out(self, phase: Phase) -> None:
        data = part(self._plan, self._data, phase.set, phase.place)
        shared = not self._plan.fresh and phase.kind not in ("off", "again")
        wanted = bench_plan(self._plan, phase, self._bank(phase.place.repeat) if shared else "")
        sets = {phase.set: data}
        self._folder.begin(wanted, sets, await documents_of(wanted, self.settings))
        graders = {(phase.set, text): grader for (_, text), grader in self._graders.items()}
        executor = LocalExecutor(self.settings, parallel=self._parallel)
        hear = self._hearing(phase.title, wanted, sets)
        retry = self._retry_failed
        await Runner(self._folder, wanted, sets, graders, executor, hear=hear, retry_failed=retry).run()

    def _bank(self, repeat: int) -> str:
        """The run of ``off`` in the repeat."""
        return next(iter(self._folder.runs_of(Cell("off", self._plan.title, repeat))), "")

    def shelves(self) -> dict[str, dict[str, StoredConcept]]:
        """The concepts of each memory of the bench that arms were shown."""
        return shelves(self._plan, self.settings)

    def items(self) -> list[Item]:
        return list(self._folder.items())


def shelves(plan: AblationPlan, bench: Settings) -> dict[str, dict[str, StoredConcept]]:
    """The concepts of each memory of a bench that arms were shown, by the ids they were shown under."""
    found: dict[str, dict[str, StoredConcept]] = {}
    for phase in phases(plan):
        if phase.kind not in ("off", "again"):
            name = memory_name(phase.kind, phase.place)
            found[name] = memories.shelf(bench, name, plan.mounts)
    return found
