"""An ablation's items beside each other: each task of an arm with the same task without a memory."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from phronesis.bench.ablation.exact import Stratum
from phronesis.bench.ablation.plan import (
    AblationPlan,
    Kind,
    Place,
    arm_name,
    later_set,
    learn_set,
    memory_name,
    places,
)
from phronesis.bench.running.item import Item
from phronesis.core.concept import StoredConcept

Shelves = Mapping[str, Mapping[str, StoredConcept]]
"""Memory of the bench -> its concepts by id."""


@dataclass(frozen=True, slots=True)
class Trial:
    """One task in one arm, in one order and repeat."""

    kind: Kind
    place: Place
    position: int
    """Of the task in its order, from 0."""
    item: Item
    without: Item
    """The same task in the same repeat of ``off``."""

    @property
    def task(self) -> str:
        return self.item.task

    @property
    def shown(self) -> tuple[str, ...]:
        """Ids of the concepts that stood in its prompts."""
        return self.item.recalled

    @property
    def difference(self) -> float:
        """1 = right only with it, -1 = right only without, else 0."""
        return float(self.item.correct) - float(self.without.correct)

    @property
    def family(self) -> str:
        return family_of(self.item)


def family_of(item: Item) -> str:
    """The cluster, else the group; empty = the task is like no other."""
    return item.cluster or item.group


def trials(plan: AblationPlan, items: Iterable[Item]) -> list[Trial]:
    """Every graded task of every arm but ``off``, whose counterpart in ``off`` is graded too; arm by arm, in stream order."""
    known = {(item.arm, item.set, item.repeat, item.task): item for item in items if item.graded}
    found: list[Trial] = []

    def note(kind: Kind, place: Place, position: int, item: Item | None) -> None:
        without = None if item is None else known.get(("off", plan.title, place.repeat, item.task))
        if item is not None and without is not None:
            found.append(Trial(kind, place, position, item, without))

    for place in places(plan):
        for position, task in enumerate(plan.order(place.order)):
            part = learn_set(place) if position < plan.learn else later_set(place)
            for kind in plan.arms:
                if kind not in ("off", "again"):
                    note(kind, place, position, known.get((arm_name(kind, place), part, 0, task)))
                elif kind == "again" and place.order == 0:
                    note(kind, place, position, known.get(("again", plan.title, place.repeat, task)))
    return sorted(
        found, key=lambda item: (plan.arms.index(item.kind), item.place.repeat, item.place.order, item.position)
    )


def strata(chosen: Iterable[Trial], texts: Mapping[int, object] | None = None) -> list[Stratum]:
    """One stratum per task: its outcomes without a memory, once per repeat, and its outcomes in these trials.

    ``texts``: by a trial's ``id()``, what its prompts were made of. Trials of one task and repeat with equal texts asked the
    same thing with the same seed, so they count as one draw."""
    without: dict[str, dict[int, bool]] = {}
    shown: dict[str, dict[object, bool]] = {}
    for trial in chosen:
        without.setdefault(trial.task, {})[trial.place.repeat] = trial.without.correct
        text = id(trial) if texts is None else texts[id(trial)]
        shown.setdefault(trial.task, {}).setdefault((trial.place.repeat, text), trial.item.correct)
    return [Stratum(tuple(without[task].values()), tuple(shown[task].values())) for task in without]


def said(trial: Trial, shelves: Shelves) -> tuple[str, ...]:
    """What the shown concepts say, as content hashes in the order they were shown; an unknown one stands for itself."""
    memory = shelves.get(memory_of(trial), {})
    return tuple(
        memory[name].concept.content_hash if name in memory else f"{memory_of(trial)} {name}" for name in trial.shown
    )


def memory_of(trial: Trial) -> str:
    """The memory of the bench that a trial read."""
    return memory_name(trial.kind, trial.place)


def by_concept(chosen: Sequence[Trial], shelves: Shelves) -> dict[str, list[Trial]]:
    """What a concept says -> the trials that were shown it, the most used first. Orders share it when it says the same."""
    found: dict[str, list[Trial]] = {}
    for trial in chosen:
        for name in dict.fromkeys(said(trial, shelves)):
            found.setdefault(name, []).append(trial)
    return dict(sorted(found.items(), key=lambda pair: -len(pair[1])))
