"""What a bench is: arms over data sets, with repeats. Plain values, written beside the results and compared on resume."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Literal, NamedTuple, cast

from pydantic import BaseModel, ConfigDict, Field

from phronesis.bench.sets.request import SetRequest
from phronesis.core.errors import ConfigurationError
from phronesis.core.task import AnswerFormat

SCHEMA = "phronesis/bench/1"


class _Value(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Arm(_Value):
    """A recipe under a name; what is compared."""

    name: str = Field(pattern=r"^[\w.+-]+$")
    """Unique in the bench."""
    recipe: dict[str, Any]
    """The recipe whole, as ``Recipe.to_data`` writes it."""
    bank: str = ""
    """An arm of this bench, or the id of a run, whose recorded replies are used first; empty = every call is made. A recipe
    whose memory is on reads and writes its own, and one with documents or tools searches and calls them itself, unless
    ``calls`` limits it: then it is a replay of what was recalled, found and called."""
    calls: int | None = Field(default=None, ge=0)
    """Calls that the bank may lack and that may be made, over all tasks of a repeat; None = as many as it takes."""


def answer_format_of(recipe: Mapping[str, Any]) -> AnswerFormat:
    """How a recipe reads answers of tasks that do not name a format."""
    return cast(AnswerFormat, recipe.get("answer", {}).get("format", "text"))


class BenchPlan(_Value):
    """The whole bench."""

    schema_: Literal["phronesis/bench/1"] = Field(default="phronesis/bench/1", alias="schema")
    name: str = "bench"
    description: str = ""
    sets: tuple[SetRequest, ...]
    arms: tuple[Arm, ...]
    repeats: int = Field(default=1, ge=1)
    """Times that each arm is run on each set, each with a seed of its own."""


class Cell(NamedTuple):
    """One arm on one set, once."""

    arm: str
    set: str
    repeat: int

    @property
    def key(self) -> str:
        return f"{self.arm}@{self.set}#{self.repeat}"


def cells(plan: BenchPlan) -> Iterator[Cell]:
    """Every cell in the order it is run: set by set, an arm after the arm it draws from.

    Raises ConfigurationError for a bank that draws from itself, and for names that stand twice."""
    for what, names in (("arms", [arm.name for arm in plan.arms]), ("sets", [item.title for item in plan.sets])):
        double = next((name for name in names if names.count(name) > 1), None)
        if double is not None:
            raise ConfigurationError(f"two {what} are called {double!r}", mend="give each its own name")
    ordered = _ordered(plan.arms)
    for item in plan.sets:
        for repeat in range(plan.repeats):
            yield from (Cell(arm.name, item.title, repeat) for arm in ordered)


def _ordered(arms: tuple[Arm, ...]) -> list[Arm]:
    names, done, left = {arm.name for arm in arms}, set[str](), list(arms)
    found: list[Arm] = []
    while left:
        ready = next((arm for arm in left if arm.bank not in names or arm.bank in done), None)
        if ready is None:
            raise ConfigurationError(
                f"the bank of arm {left[0].name!r} is {left[0].bank!r}, which waits for it", mend="break the circle"
            )
        left.remove(ready)
        found.append(ready)
        done.add(ready.name)
    return found


def differences(stored: BenchPlan, wanted: BenchPlan) -> list[str]:
    """What a stored bench has otherwise than the wanted one, one line each. Arms, sets and repeats may be added."""
    found = []
    for what, before, after in (
        ("arm", {arm.name: arm for arm in stored.arms}, {arm.name: arm for arm in wanted.arms}),
        ("set", {item.title: item for item in stored.sets}, {item.title: item for item in wanted.sets}),
    ):
        for name in before.keys() & after.keys():
            left, right = before[name].model_dump(mode="json"), after[name].model_dump(mode="json")
            found += [f"{what} {name}: {line}" for line in _changed(left, right)]
    return sorted(found)


def _changed(left: Any, right: Any, path: str = "") -> list[str]:
    if isinstance(left, Mapping) and isinstance(right, Mapping):
        names = [*left, *(name for name in right if name not in left)]
        parts = ((f"{path}.{name}" if path else str(name), left.get(name), right.get(name)) for name in names)
        return [line for name, before, after in parts for line in _changed(before, after, name)]
    return [] if left == right else [f"{path} was {left!r} and is now {right!r}"]


def merged(stored: BenchPlan, wanted: BenchPlan) -> BenchPlan:
    """The stored bench with the wanted one's further arms, sets and repeats."""
    arms = {arm.name: arm for arm in (*stored.arms, *wanted.arms)}
    sets = {item.title: item for item in (*stored.sets, *wanted.sets)}
    more = {"arms": tuple(arms.values()), "sets": tuple(sets.values())}
    return stored.model_copy(update={**more, "repeats": max(stored.repeats, wanted.repeats)})
