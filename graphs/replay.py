"""Replay: a run's tasks again, under other knobs, another strategy, scorer, vote or stopping rule, from its recorded replies.

It makes a run of its own, whose journal is complete in itself and whose ``run_started`` names the source and the changes.
The source is only read. What the recording lacks is a typed failure, or, where ``calls`` allow it, really asked for. The
memory is not touched: what was recalled is in the recording, and nothing is learned.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from phronesis.core.errors import ConfigurationError
from phronesis.core.http import hold_pools
from phronesis.core.journal import Event, Journal
from phronesis.core.loop import run_sync
from phronesis.core.recording import Recording
from phronesis.core.result import Result
from phronesis.core.settings import Settings, load_settings
from phronesis.core.task import Task
from phronesis.graphs.endpoints import endpoints_for, roles_of
from phronesis.graphs.policies.reward import RewardStatistics
from phronesis.graphs.recipe import Recipe, put_key
from phronesis.graphs.registry import find
from phronesis.graphs.replay_source import paid, served_by
from phronesis.graphs.run import Run
from phronesis.graphs.run_folder import new_run_id, run_folder
from phronesis.graphs.sources import Sources
from phronesis.graphs.unread_memory import UnreadMemory


@dataclass(frozen=True, kw_only=True)
class Changes:
    """What a replay does otherwise than the recorded run."""

    overrides: Mapping[str, Any] = field(default_factory=dict)
    """Dotted recipe keys, as for ``Recipe.load``; ``memory``, ``retrieval`` and ``tools.use`` cannot be changed."""
    strategy: str | None = None
    """Another strategy; it keeps the recorded knobs that it knows."""
    recipe: str | Path | Recipe | None = None
    """Another recipe, itself or by name or path, in the place of the recorded one; its memory, its documents and its tools
    are not used."""
    calls: int = 0
    """Calls that the recording lacks and that may be made, over all tasks."""

    def apply(self, recorded: Recipe) -> Recipe:
        """The recipe of the replay: memory and statistics are read from the recording and never written.

        Raises RecipeError, UnknownStrategy and ConfigurationError as loading a recipe does."""
        data = deepcopy(recorded.to_data())
        if self.recipe is not None:
            given = self.recipe if isinstance(self.recipe, Recipe) else Recipe.load(self.recipe)
            kept = {name: data[name] for name in ("memory", "retrieval")}
            kept["tools"] = {**given.file.tools.model_dump(mode="json"), "use": data["tools"]["use"]}
            data = {**given.file.model_dump(mode="json", by_alias=True), **kept}
        if self.strategy is not None and self.strategy != data["strategy"]:
            known = find(self.strategy).knobs.model_fields
            knobs = {name: value for name, value in data["knobs"].items() if name in known}
            data |= {"strategy": self.strategy, "knobs": knobs}
        for key, value in self.overrides.items():
            if key.partition(".")[0] in ("memory", "retrieval", "strategy", "schema") or key in ("tools", "tools.use"):
                hint = "use strategy= or --strategy" if key == "strategy" else "start a new run"
                raise ConfigurationError(f"a replay cannot change {key!r}", mend=hint)
            put_key(data, key, value)
        if data["memory"]["mode"] != "off":
            data["memory"]["mode"] = "frozen"
        data["calibration"] = "frozen"
        return Recipe.from_data(data, source=f"replay of {recorded.source}")

    def to_json(self) -> dict[str, Any]:
        """The changes that were made, as ``run_started`` names them."""
        recipe = self.recipe.name if isinstance(self.recipe, Recipe) else self.recipe
        said = {"strategy": self.strategy, "recipe": None if recipe is None else str(recipe)}
        return {**{name: value for name, value in said.items() if value is not None}, **self.overrides}


class Replay:
    """An open replay: its run, and what the recording served. ``hear`` listens to the run's events."""

    def __init__(self, run: Run, tasks: tuple[Task, ...], left_out: int) -> None:
        self.run = run
        self.tasks = tasks
        self.left_out = left_out
        """Tasks of which nothing was recorded; they are left out unless calls may be made."""
        self.served: Counter[str] = Counter()
        """Recorded calls that were handed out, by role; ``recall`` and other effects by their type."""
        self.missing: Counter[str] = Counter()
        """Calls that would have been needed, by role. What would have followed from them is not counted."""
        self.lacking: Counter[str] = Counter()
        """Searches, tool calls and a person's answers that the recording lacks: no call can bring them."""
        self.made: Counter[str] = Counter()
        """Calls that were really made, failed ones too, by role."""

    def hear(self, event: Event) -> None:
        """Counts what an event says."""
        data = event.data
        name, calls = _name(event), int(data.get("count", 1))
        if data.get("replayed"):
            self.served[name] += calls
        elif event.type == "failure" and data["error"]["details"].get("not_recorded"):
            self.lacking[name] += 1
        elif event.type in ("call", "failure"):
            (self.made if paid(event) else self.missing)[name] += calls


def _name(event: Event) -> str:
    """What an event is counted as: the role, the tool, a person's answer, what the server can do, else its type."""
    data = event.data
    if "asked" in data:
        return "answer of a person"
    if "capability" in (data.get("request") or {}):
        return "ability of the server"
    return f"tool {data['tool']}" if "tool" in data else str(data.get("role", event.type))


async def start_replay(
    run_id: str,
    changes: Changes,
    *,
    settings: Settings | None = None,
    listener: Callable[[Event], None] | None = None,
    dry: bool = False,
) -> Replay:
    """A new run over a recording; use ``replay.run`` as an async context manager. ``dry``: no folder is made and no call.

    Raises ConfigurationError for an unknown run, one without texts and changes that cannot be made; RunLocked for a run
    that is going on."""
    found = settings or load_settings()
    recording = Recording(run_folder(found, run_id), calls=0 if dry else changes.calls)
    try:
        recorded = Recipe.from_data(recording.started["recipe"], source=f"run {run_id}")
        recipe = changes.apply(recorded)
        served_by(recording, recorded, recipe)
        tasks = recording.tasks
        chosen = tuple(task for task in tasks if recording.allowance.left > 0 or recording.begun(task.id))
        if not chosen:
            raise ConfigurationError(f"no reply was recorded in run {run_id}", mend="resume it, or replay another run")
        new_id = new_run_id()
        run = Run(recipe, found, Journal(None if dry else found.runs / new_id), new_id)
    except BaseException:
        recording.close()
        raise
    hold_pools()
    run.recording, run.replayed_from = recording, run_id
    replay = Replay(run, chosen, len(tasks) - len(chosen))
    run.journal.listeners += [replay.hear, *([listener] if listener else [])]
    started = recording.started
    run.mounts = dict(started.get("memory_mounts", {}))
    run.sources = Sources(recipe, found, memory=UnreadMemory, pinned=started, replayed=True)
    endpoints = endpoints_for(list(roles_of(recipe)), recipe.file.models, found, recording.models)
    models = {role: endpoint.model for role, endpoint in endpoints.items()}
    statistics = {family: RewardStatistics(**item) for family, item in started["statistics"].items()}
    said = {
        "replayed_from": run_id,
        "changes": changes.to_json(),
        "calls_allowed": changes.calls,
        "denials": recording.denials,
        "without": sorted(recording.without),
    }
    try:
        run.surround(endpoints, models, statistics, started["memory_version"])
        run.begin(models, statistics, started["memory_version"], replay=said)
    except BaseException:
        await run.close()
        run.journal.discard()
        raise
    return replay


async def replay(
    run_id: str,
    *,
    overrides: Mapping[str, Any] | None = None,
    strategy: str | None = None,
    recipe: str | Path | None = None,
    calls: int = 0,
    settings: Settings | None = None,
) -> tuple[Result, ...]:
    """The run's tasks again from its recorded replies, under changed knobs: their Results in the order of the tasks.

    ``overrides`` are dotted recipe keys, ``{"knobs.k": 4}``. No call is made unless ``calls`` allows some; a reply that the
    recording lacks is a failure in the Result. Each Result names the new run and, in ``replayed_from``, the recorded one."""
    changes = Changes(overrides=overrides or {}, strategy=strategy, recipe=recipe, calls=calls)
    opened = await start_replay(run_id, changes, settings=settings)
    async with opened.run as run:
        results = {result.task_id: result async for result in run.solve_all(opened.tasks)}
    return tuple(results[task.id] for task in opened.tasks)


def replay_sync(
    run_id: str,
    *,
    overrides: Mapping[str, Any] | None = None,
    strategy: str | None = None,
    recipe: str | Path | None = None,
    calls: int = 0,
    settings: Settings | None = None,
) -> tuple[Result, ...]:
    """``replay`` from plain code; works inside a running event loop too."""
    return run_sync(
        replay(run_id, overrides=overrides, strategy=strategy, recipe=recipe, calls=calls, settings=settings)
    )
