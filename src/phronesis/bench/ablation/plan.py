"""What a memory ablation is: which arms, over which orders of a stream, and which part of each order is learned from."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import orjson
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from phronesis.bench.running.plan import Arm, BenchPlan, differences
from phronesis.bench.sets.request import SetRequest
from phronesis.core.errors import ConfigurationError
from phronesis.core.lines import write_json
from phronesis.core.seeds import derive, generator

FILE_NAME = "ablation.json"
Kind = Literal["off", "again", "write", "frozen", "shuffled", "placebo"]
"""``off``: no memory. ``again``: the same once more, every reply drawn anew: what chance alone does. ``write``: the first
part of the stream in order, the memory grows. ``frozen``: the rest, with the memory that ``write`` left. ``shuffled``: the
rest, each concept's advice under another one's situation. ``placebo``: the rest, with words that say nothing for advice."""
KINDS: tuple[Kind, ...] = get_args(Kind)
DEFAULT: tuple[Kind, ...] = ("off", "write", "frozen", "shuffled", "placebo")
LATER: tuple[Kind, ...] = ("frozen", "shuffled", "placebo")
"""Arms over the part that is held out."""
_GROWS = {"orders", "repeats", "arms"}


class AblationPlan(BaseModel):
    """The whole ablation; plain values, written beside the results and compared on resume."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    schema_: Literal["phronesis/ablation/1"] = Field(default="phronesis/ablation/1", alias="schema")
    recipe: dict[str, Any]
    """The recipe whole. Its memory section holds but for session and mode."""
    stream: SetRequest
    seed: int = 0
    """Of the orders."""
    orders: int = Field(default=3, ge=1)
    repeats: int = Field(default=1, ge=1)
    """Times that everything is run, each with seeds and memories of its own."""
    tasks: tuple[str, ...]
    """Ids in the order of the stream as it stands."""
    learn: int = Field(ge=0)
    """So many tasks at the beginning of each order are learned from; the others are held out."""
    arms: tuple[Kind, ...]
    session: str = ""
    """A memory of the user's that every order begins with a copy of; empty = nothing is known at first."""
    fresh: bool = False
    """Whether every arm draws all of its replies, also for prompts that are those of ``off``."""

    def order(self, number: int) -> tuple[str, ...]:
        """Task ids of an order, from 0: the first one as the stream stands, the others shuffled."""
        ids = list(self.tasks)
        if number:
            generator(self.seed, "order", number).shuffle(ids)
        return tuple(ids)

    @property
    def title(self) -> str:
        return self.stream.title

    @property
    def mounts(self) -> tuple[str, ...]:
        """The user's memories that the recipe mounts."""
        return tuple(self.recipe.get("memory", {}).get("mounts", ()))


@dataclass(frozen=True, slots=True)
class Place:
    """One order in one repeat, both from 0: it has a memory of its own."""

    order: int
    repeat: int

    @property
    def name(self) -> str:
        """``1``, or in a later repeat ``1.2``."""
        return f"{self.order + 1}" + (f".{self.repeat + 1}" if self.repeat else "")


def places(plan: AblationPlan) -> Iterator[Place]:
    """Every order in every repeat, repeat by repeat."""
    for repeat in range(plan.repeats):
        for order in range(plan.orders):
            yield Place(order, repeat)


def arm_name(kind: Kind, place: Place) -> str:
    """Name of an arm in the bench, and of the memory it reads; ``off`` and ``again`` know no orders."""
    return kind if kind in ("off", "again") else f"{kind}-{place.name}"


def memory_name(kind: Kind, place: Place) -> str:
    """The memory that an arm reads: its own, or what ``write`` left."""
    return arm_name("write" if kind == "frozen" else kind, place)


def learn_set(place: Place) -> str:
    return f"learn-{place.name}"


def later_set(place: Place) -> str:
    return f"later-{place.name}"


def arm_recipe(plan: AblationPlan, kind: Kind, place: Place) -> dict[str, Any]:
    """The recipe of an arm: the plan's, with the mode and the session of the arm and the seed of the repeat.

    Arms that share replies share seeds, so that equal prompts are equal requests; fresh ones have their own."""
    memory = {**plan.recipe.get("memory", {})}
    seed = int(plan.recipe.get("seed", 0))
    if kind in ("off", "again"):
        seed = seed if kind == "off" else derive(seed, "again")
        return {**plan.recipe, "memory": {**memory, "mode": "off"}, "seed": seed}
    mode = "write" if kind == "write" else "frozen"
    session = memory_name(kind, place)
    # The runner gives ``off`` the seed of its repeat in the same way.
    seed = derive(seed, "repeat", place.repeat) if place.repeat else seed
    seed = derive(seed, "fresh", arm_name(kind, place)) if plan.fresh else seed
    return {**plan.recipe, "memory": {**memory, "mode": mode, "session": session}, "seed": seed}


def learned(count: int, *, split: float, warm: int | None) -> int:
    """How many of ``count`` tasks are learned from: ``warm``, else the share ``split``, rounded, but not all of several.

    Raises ConfigurationError when nothing would be left to hold out."""
    wanted = warm if warm is not None else min(max(1, round(split * count)), max(1, count - 1))
    if not 0 <= wanted <= count:
        raise ConfigurationError(f"--warm {wanted} is more than the {count} tasks there are", mend="learn from fewer")
    return wanted


def check(plan: AblationPlan) -> None:
    """Raises ConfigurationError for arms that cannot be, with what they lack."""
    later = [kind for kind in plan.arms if kind in LATER]
    if "off" not in plan.arms:
        raise ConfigurationError("every arm is compared with 'off', which is left out", mend="add off to --arms")
    if later and plan.learn == len(plan.tasks):
        raise ConfigurationError(
            f"all {len(plan.tasks)} tasks are learned from, so {', '.join(later)} has none",
            mend="learn from fewer (--warm, --split), give more tasks, or leave these arms out of --arms",
        )
    if "write" in plan.arms and plan.learn == 0:
        raise ConfigurationError("'write' has no task to learn from", mend="give --warm 1 or more, or leave write out")
    mixed = [kind for kind in plan.arms if kind in ("shuffled", "placebo")]
    if mixed and plan.mounts:
        raise ConfigurationError(
            f"memory.mounts = {list(plan.mounts)}: {', '.join(mixed)} would still be shown what these say",
            mend="leave these arms out of --arms, or --set memory.mounts=[]",
        )
    if later and "write" not in plan.arms and not plan.session:
        raise ConfigurationError(
            f"nobody writes the memory that {', '.join(later)} reads",
            mend="add write to --arms, or give --session NAME",
        )


def stored(folder: Path) -> AblationPlan:
    """The plan of a folder. Raises ConfigurationError for one that holds no ablation."""
    path = folder / FILE_NAME
    try:
        return AblationPlan.model_validate(orjson.loads(path.read_bytes()))
    except OSError:
        raise ConfigurationError(
            f"{str(folder)!r} holds no memory ablation", mend="give the --out of a bench memory"
        ) from None
    except (orjson.JSONDecodeError, ValidationError) as error:
        raise ConfigurationError(f"{str(path)!r} cannot be read: {error}", mend="restore the file") from None


def begin(folder: Path, plan: AblationPlan) -> AblationPlan:
    """Takes a plan on: writes it, or joins it with the one that is there. Orders, repeats and arms may be added.

    Raises ConfigurationError, and changes nothing, when anything else differs."""
    check(plan)
    if (folder / FILE_NAME).exists():
        before = stored(folder)
        names = [name for name in type(plan).model_fields if name not in _GROWS]
        changed = [name for name in names if getattr(before, name) != getattr(plan, name)]
        if changed:
            raise ConfigurationError(
                f"{str(folder)!r} holds another ablation: {_said(before, plan, changed[0])}",
                mend="choose another --out, or give what it was begun with",
            )
        arms: tuple[Kind, ...] = tuple(kind for kind in KINDS if kind in (*before.arms, *plan.arms))
        more = {"orders": max(before.orders, plan.orders), "repeats": max(before.repeats, plan.repeats), "arms": arms}
        plan = before.model_copy(update=more)
        check(plan)
    write_json(folder / FILE_NAME, plan.model_dump(mode="json", by_alias=True))
    return plan


def _said(before: AblationPlan, after: AblationPlan, name: str) -> str:
    """What of a field was otherwise; of the recipe and the stream, which key of it."""
    left, right = (
        BenchPlan(sets=(item.stream,), arms=(Arm(name="off", recipe=item.recipe),)) for item in (before, after)
    )
    inside = differences(left, right)
    if name in ("recipe", "stream") and inside:
        return inside[0].removeprefix("arm off: ")
    return f"{name} was {_short(getattr(before, name))} and is now {_short(getattr(after, name))}"


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


def kinds_of(names: Sequence[str]) -> tuple[Kind, ...]:
    """The arms of these names, in the order they are run. Raises ConfigurationError for an unknown one."""
    for name in names:
        if name not in KINDS:
            raise ConfigurationError(f"there is no arm {name!r}", mend=f"choose among {', '.join(KINDS)}")
    return tuple(kind for kind in KINDS if kind in names)
