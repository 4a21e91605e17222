"""What recorded runs say of themselves: a bank's model and answers, a scoring run's bank and scorers."""

from __future__ import annotations

from typing import Any, cast

from phronesis.core.errors import ConfigurationError
from phronesis.core.journal import FILE_NAME, read_events
from phronesis.core.settings import Settings
from phronesis.core.task import AnswerFormat
from phronesis.graphs.run_folder import run_folder


def started(settings: Settings, run: str) -> dict[str, Any]:
    """The data of a run's first event. Raises ConfigurationError for an unknown run, and one that never began."""
    events = read_events(run_folder(settings, run) / FILE_NAME)
    found = next((event for event in events if event.type == "run_started"), None)
    if found is None:
        raise ConfigurationError(f"run {run!r} was stopped before it began", mend="name another run")
    return dict(found.data)


def scoring_knobs(settings: Settings, run: str) -> dict[str, Any]:
    """Bank and scorers of a scoring run. Raises ConfigurationError for any other run."""
    recipe = started(settings, run)["recipe"]
    if recipe["strategy"] != "score_bank":
        raise ConfigurationError(f"run {run!r} scores no bank", mend="name a run of `phronesis scorers test`")
    return dict(recipe["knobs"])


def scorers_of(settings: Settings, run: str) -> tuple[str, ...]:
    """The scorers of a scoring run, in their order."""
    return tuple(scoring_knobs(settings, run)["scorers"])


def answer_of(settings: Settings, run: str) -> dict[str, Any]:
    """The answer section of a run's recipe."""
    return dict(started(settings, run)["recipe"]["answer"])


def format_of(settings: Settings, run: str) -> AnswerFormat:
    """The answer format of tasks that do not name their own."""
    return cast(AnswerFormat, answer_of(settings, run)["format"])


def models_of(settings: Settings, run: str) -> dict[str, str]:
    """The models of a run by role."""
    return dict(started(settings, run)["models"])


def model_of(settings: Settings, bank: str) -> str:
    """The model that drew the attempts."""
    models = models_of(settings, bank)
    return str(models.get("solver") or next(iter(models.values()), ""))
