"""Sets that need no download: problems made from a seed, by generators that are chosen by name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel

from phronesis.bench.sets.adapter import Adapter
from phronesis.bench.sets.row import Row
from phronesis.core.errors import ConfigurationError
from phronesis.core.plugins import installed, load_named

GROUP = "phronesis.sets"


@dataclass(frozen=True, kw_only=True)
class GeneratorEntry:
    """One generator of the table."""

    name: str
    measures: str
    options: type[BaseModel]
    rows: Callable[[Any], list[Row]]
    """The rows for a set of options: the same in every process, each solvable, ids that say how they were made. A longer
    set begins with the rows of a shorter one."""
    adapter: Adapter


SHIPPED = {
    "chains": "phronesis.bench.sets.chains:ENTRY",
    "countdown": "phronesis.bench.sets.countdown:ENTRY",
    "balancer": "phronesis.bench.sets.balancer:ENTRY",
    "gym": "phronesis.bench.sets.gym:ENTRY",
}


def generator_names() -> list[str]:
    """Every generator that can be named: the shipped ones in the table's order, then those of installed packages."""
    return [*SHIPPED, *sorted(installed(GROUP) - set(SHIPPED))]


def find_generator(name: str) -> GeneratorEntry:
    """The entry of that name. Raises ConfigurationError with the nearest known name."""
    return load_named(
        name,
        GeneratorEntry,
        what="generator",
        shipped=SHIPPED,
        group=GROUP,
        known=generator_names(),
        error=ConfigurationError,
    )
