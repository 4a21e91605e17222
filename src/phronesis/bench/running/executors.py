"""Executors by name: ``local``, ``processes``, and those of installed packages."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ConfigDict

from phronesis.bench.running.executor import Executor
from phronesis.bench.running.local import LocalExecutor
from phronesis.core.errors import ConfigurationError
from phronesis.core.named import NamedSpec
from phronesis.core.plugins import installed, load_named
from phronesis.core.settings import Settings

GROUP = "phronesis.executors"


class NoOptions(BaseModel):
    """An executor without options."""

    model_config = ConfigDict(frozen=True, extra="forbid")


@dataclass(frozen=True, kw_only=True)
class ExecutorEntry:
    """One executor of the table."""

    name: str
    summary: str
    options: type[BaseModel]
    build: Callable[[Settings, int, Any], Executor]
    """The executor, from settings, tasks in work at a time, and its options."""


def _local(settings: Settings, parallel: int, options: BaseModel) -> Executor:
    return LocalExecutor(settings, parallel=parallel)


LOCAL = ExecutorEntry(name="local", summary="side by side in this process", options=NoOptions, build=_local)
SHIPPED = {
    "local": "phronesis.bench.running.executors:LOCAL",
    "processes": "phronesis.bench.running.processes:PROCESSES",
}


def make_executor(text: str, settings: Settings, *, parallel: int) -> Executor:
    """The executor that ``name`` or ``name(option=value)`` names. Raises ConfigurationError with the nearest name."""
    spec = NamedSpec.parse(text, what="executor")
    known = [*SHIPPED, *sorted(installed(GROUP) - set(SHIPPED))]
    entry = load_named(
        spec.name,
        ExecutorEntry,
        what="executor",
        shipped=SHIPPED,
        group=GROUP,
        known=known,
        error=ConfigurationError,
    )
    return entry.build(settings, parallel, spec.checked(entry.options, what="executor"))
