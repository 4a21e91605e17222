"""What a report is made from: a bench folder, read once."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
from pydantic import ValidationError

from phronesis.bench.running.folder import BenchFolder
from phronesis.bench.running.item import Item
from phronesis.bench.running.plan import BenchPlan
from phronesis.core.errors import ConfigurationError
from phronesis.core.events import FILE_NAME

_ASKED = b'{"type":"task_started"'


@dataclass(frozen=True, kw_only=True)
class RunHead:
    """What a run's journal says at its beginning."""

    models: Mapping[str, str]
    """By role."""
    seed: int
    replayed_from: str
    """The run that served its replies, or nothing."""


@dataclass(frozen=True, kw_only=True)
class Material:
    """A bench as it stands in its folder."""

    folder: Path
    plan: BenchPlan
    data: Mapping[str, Mapping[str, Any]]
    """Set -> digest and number of examples."""
    versions: Mapping[str, str]
    items: Sequence[Item]
    heads: Mapping[str, RunHead]
    """By run id; runs whose journal is gone or broken are absent."""
    questions: Mapping[tuple[str, str], str]
    """(set, task) -> its question, as far as journals tell."""
    lost: Sequence[str]
    """Runs whose journal could not be read."""

    def of(self, set: str, arm: str | None = None) -> list[Item]:
        """Items of a set (and an arm)."""
        return [item for item in self.items if item.set == set and arm in (None, item.arm)]

    def arms(self, set: str) -> list[str]:
        """Arms that have items of a set, in the plan's order."""
        found = {item.arm for item in self.items if item.set == set}
        return [arm.name for arm in self.plan.arms if arm.name in found]

    def models_of(self, arm: str) -> dict[str, str]:
        """Role -> model of an arm's runs."""
        found: dict[str, str] = {}
        for run in dict.fromkeys(item.run_id for item in self.items if item.arm == arm):
            if run in self.heads:
                found |= self.heads[run].models
        return found


def read_material(path: Path) -> Material:
    """Reads a bench folder and the journals of its runs as far as needed.

    Raises ConfigurationError for a folder that is no bench's, a plan or an item that was changed by hand. A journal that is
    gone costs its links and question texts, not the report."""
    folder = BenchFolder(path)
    try:
        plan = folder.plan()
        written = orjson.loads((folder.path / "bench.json").read_bytes())
        data, versions = dict(written["data"]), dict(written["versions"])
    except (ValidationError, KeyError, TypeError, ValueError) as error:
        first = error.errors()[0]["msg"] if isinstance(error, ValidationError) else f"{type(error).__name__} {error}"
        raise ConfigurationError(
            f"{str(path / 'bench.json')!r} is no bench's plan: {first}", mend="restore the file"
        ) from None
    items = sorted(folder.items(), key=_place(plan))
    heads, lost = _heads(folder.runs, items)
    return Material(
        folder=folder.path,
        plan=plan,
        data=data,
        versions=versions,
        items=items,
        heads=heads,
        questions=_questions(folder.runs, items, heads),
        lost=lost,
    )


def _place(plan: BenchPlan) -> Any:
    """Sort key: sets and arms as in the plan; items of a cell stay in their order."""
    sets = {item.title: index for index, item in enumerate(plan.sets)}
    arms = {arm.name: index for index, arm in enumerate(plan.arms)}
    return lambda item: (sets.get(item.set, math.inf), arms.get(item.arm, math.inf), item.repeat)


def _heads(runs: Path, items: Sequence[Item]) -> tuple[dict[str, RunHead], list[str]]:
    heads: dict[str, RunHead] = {}
    lost = []
    for run in dict.fromkeys(item.run_id for item in items if item.run_id):
        try:
            with _journal(runs, run).open("rb") as file:
                first = orjson.loads(file.readline())
            heads[run] = RunHead(
                models={str(role): str(name) for role, name in dict(first["models"]).items()},
                seed=int(first.get("seed", 0)),
                replayed_from=str(first.get("replayed_from") or ""),
            )
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            lost.append(run)
    return heads, lost


def _journal(runs: Path, run: str) -> Path:
    if run in (".", "..") or "/" in run or "\0" in run:
        raise ValueError("not a run's id")
    return runs / run / FILE_NAME


def _questions(runs: Path, items: Sequence[Item], heads: Iterable[str]) -> dict[tuple[str, str], str]:
    """Reads journals only until every question is known: arms share their questions."""
    known = set(heads)
    wanted: dict[str, set[str]] = {}
    for item in items:
        wanted.setdefault(item.set, set()).add(item.task)
    found: dict[tuple[str, str], str] = {}
    for set_, run in dict.fromkeys((item.set, item.run_id) for item in items if item.run_id in known):
        missing = wanted[set_]
        if not missing:
            continue
        for task, text in _asked(_journal(runs, run)):
            if task in missing:
                missing.discard(task)
                found[set_, task] = text
                if not missing:
                    break
    return found


def _asked(path: Path) -> Iterable[tuple[str, str]]:
    """(task, the last thing its user said) of a journal; lines of other kinds are not parsed."""
    with path.open("rb") as file:
        for line in file:
            if not line.startswith(_ASKED):
                continue
            try:
                event = orjson.loads(line)
                said = [message for message in event["asked"]["messages"] if message["role"] == "user"]
                yield str(event["task"]), str(said[-1]["content"])
            except (ValueError, KeyError, TypeError, IndexError):
                continue
