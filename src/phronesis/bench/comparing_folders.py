"""Several bench folders as one: arms of the same set over the same data stand side by side."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from phronesis.bench.running.folder import BenchFolder
from phronesis.bench.running.item import Item
from phronesis.bench.running.plan import BenchPlan
from phronesis.core.errors import ConfigurationError


@dataclass(frozen=True, kw_only=True)
class Side:
    """One folder, read."""

    path: Path
    plan: BenchPlan
    data: Mapping[str, Mapping[str, Any]]
    """Set -> digest and number of examples."""
    items: tuple[Item, ...]


@dataclass(frozen=True, kw_only=True)
class Gathered:
    """What is compared."""

    sets: tuple[str, ...]
    """Those that have items, in the order of the folders and their plans."""
    arms: tuple[str, ...]
    """Those that have items; of an arm whose name stands in several folders, ``folder/arm``."""
    items: tuple[Item, ...]
    """Set by set and arm by arm, under these names."""


def read_side(path: Path) -> Side:
    """A bench folder's plan, data and items. Raises ConfigurationError for a folder that is no bench's."""
    folder = BenchFolder(path)
    plan = folder.plan()
    data = orjson.loads((folder.path / "bench.json").read_bytes()).get("data", {})
    missing = next((item.title for item in plan.sets if item.title not in data), None)
    if missing is not None:
        raise ConfigurationError(
            f"{str(folder.path / 'bench.json')!r} says nothing of the data of the set {missing!r}",
            mend="restore the file",
        )
    return Side(path=folder.path, plan=plan, data=data, items=tuple(folder.items()))


def gathered(sides: Sequence[Side], *, only: str | None = None) -> Gathered:
    """The folders as one, or ``only`` one set of them.

    Raises ConfigurationError for a folder given twice, a set whose data differ, an unknown set, and when
    nothing is graded."""
    twice = next((path for path, count in Counter(side.path.resolve() for side in sides).items() if count > 1), None)
    if twice is not None:
        raise ConfigurationError(f"the folder {str(twice)!r} is given twice", mend="name each folder once")
    _check_data(sides, only)
    stands = Counter(arm.name for side in sides for arm in side.plan.arms)
    labels = _labels(sides)
    items, arms, sets = list[Item](), list[str](), list[str]()
    for side, label in zip(sides, labels, strict=True):
        names = {arm.name: f"{label}/{arm.name}" if stands[arm.name] > 1 else arm.name for arm in side.plan.arms}
        arms += names.values()
        sets += [item.title for item in side.plan.sets]
        items += [item.model_copy(update={"arm": names[item.arm]}) for item in side.items if item.arm in names]
    sets = list(dict.fromkeys(sets))
    if only is not None and only not in sets:
        raise ConfigurationError(f"there is no set {only!r}", mend=f"choose one of {', '.join(sets)}")
    items = [item for item in items if only in (None, item.set)]
    if not items:
        where = ", ".join(str(side.path) for side in sides)
        raise ConfigurationError(f"nothing is graded in {where}", mend="run the bench first: its command goes on")
    place = {name: at for at, name in enumerate(sets)}, {name: at for at, name in enumerate(arms)}
    items = sorted(items, key=lambda item: (place[0].get(item.set, len(sets)), place[1][item.arm]))
    have = {item.arm for item in items}
    return Gathered(
        sets=tuple(dict.fromkeys(item.set for item in items)),
        arms=tuple(name for name in arms if name in have),
        items=tuple(items),
    )


def _labels(sides: Sequence[Side]) -> list[str]:
    """A name for each folder: its own, or where two have the same one, its whole path."""
    count = Counter(side.path.name for side in sides)
    return [side.path.name if count[side.path.name] == 1 else str(side.path) for side in sides]


def _check_data(sides: Sequence[Side], only: str | None) -> None:
    """Raises ConfigurationError for the first set that is not the same data in two folders, with what differs."""
    known: dict[str, Side] = {}
    for side in sides:
        for name in (item.title for item in side.plan.sets if only in (None, item.title)):
            before = known.setdefault(name, side)
            if before.data[name] != side.data[name]:
                raise ConfigurationError(
                    f"the set {name!r} is not the same in {_said(before, name)} and {_said(side, name)}"
                    f"{_asked_otherwise(before, side, name)}",
                    mend="compare folders over the same questions, or run one of them again with the other's options",
                )


def _said(side: Side, name: str) -> str:
    data = side.data[name]
    return f"{str(side.path)!r} ({data['examples']} questions, digest {data['digest']})"


def _asked_otherwise(first: Side, second: Side, name: str) -> str:
    one, other = (
        next(item for item in side.plan.sets if item.title == name).model_dump(mode="json") for side in (first, second)
    )
    parts = [f"{key} {one[key]!r} and {other[key]!r}" for key in one if one[key] != other[key]]
    return f": {'; '.join(parts)}" if parts else "; the options are the same, the rows are not"
