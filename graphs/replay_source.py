"""The run that a replay replays: opened for what the replay changes, and opened again when the replay is resumed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from phronesis.core.bank import is_unrecorded
from phronesis.core.events import Event, EventIndex
from phronesis.core.recording import Recording, tasks_of
from phronesis.core.settings import Settings
from phronesis.graphs.nodes.searching import UNIT
from phronesis.graphs.recipe import ModelSection, Recipe
from phronesis.graphs.run_folder import run_folder

ANY_NUMBER = 10**9
"""Calls that a recording may lack where nothing limits them."""


def served_by(recording: Recording, recorded: Recipe, wanted: Recipe) -> Recording:
    """The recording, set to what still holds under the wanted recipe: denials of the same budget, replies of roles that
    have the same model."""
    recording.denials = recorded.file.budget == wanted.file.budget
    roles = {*recording.started["models"], *recorded.strategy.needs(recorded.knobs)}
    recording.without = frozenset(role for role in roles if _model(recorded, role) != _model(wanted, role))
    return recording


def lent(settings: Settings, run_id: str, wanted: Recipe) -> Recording:
    """The recording of a run whose replies another run of its own draws first; it makes whatever calls it lacks.

    The borrower's limits are its own: recorded denials do not hold. Raises what opening a recording raises."""
    recording = Recording(run_folder(settings, run_id), calls=ANY_NUMBER)
    recorded = Recipe.from_data(recording.started["recipe"], source=f"run {run_id}")
    served_by(recording, recorded, wanted)
    recording.denials, recording.lends = False, True
    return recording


def lend_sources(recording: Recording, retriever: Mapping[str, str]) -> None:
    """Withholds what only looks like a reply: results of tools, which the borrower calls itself, and searches unless its
    documents are the very same. What a memory or a person said has no role and is never lent."""
    recording.without |= {f"tool {spec['name']}" for spec in recording.started.get("tools", ())}
    if dict(recording.started.get("retriever", {})) != dict(retriever):
        recording.without |= {UNIT}


def _model(recipe: Recipe, role: str) -> str | None:
    """The model a recipe names for a role; None = whatever the machine provides."""
    sections = recipe.file.models
    return sections.get(role, ModelSection()).model or sections.get("default", ModelSection()).model


def reopened(settings: Settings, started: Mapping[str, Any], index: EventIndex) -> Recording:
    """The recording of a replay that was stopped, less the calls it has made. Raises ConfigurationError when it is gone."""
    recording = Recording(run_folder(settings, started["replayed_from"]), calls=int(started["calls_allowed"]))
    recording.denials, recording.without = bool(started["denials"]), frozenset(started["without"])
    for task in tasks_of(index):
        made = [event for event in index.of(task.id, "call", "failure") if paid(event)]
        recording.allowance.take(sum(int(event.data.get("count", 1)) for event in made))
    return recording


def paid(event: Event) -> bool:
    """Whether an endpoint was asked for this call: it is neither served by a recording nor missing from one."""
    return not event.data.get("replayed") and not ("error" in event.data and is_unrecorded(event.data["error"]))
