"""Graders by the names that data sets and commands use."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel

from phronesis.bench.graders.grader import Grader, GraderContext
from phronesis.core.errors import ConfigurationError
from phronesis.core.named import NamedSpec
from phronesis.core.plugins import installed, load_named

GROUP = "phronesis.graders"


@dataclass(frozen=True, kw_only=True)
class GraderEntry:
    """One grader of the table."""

    name: str
    summary: str
    """One line for ``bench graders``."""
    options: type[BaseModel]
    build: Callable[[GraderContext, Any], Grader]
    """The grader, from its surroundings and its options. Nothing is started before the first grade."""


SHIPPED = {
    "answer": "phronesis.bench.graders.by_answer:ENTRY",
    "latex": "phronesis.bench.graders.latex:ENTRY",
    "choice": "phronesis.bench.graders.choice:ENTRY",
    "exact": "phronesis.bench.graders.exact:ENTRY",
    "yes_no": "phronesis.bench.graders.yes_no:ENTRY",
    "qa": "phronesis.bench.graders.qa:ENTRY",
    "judge": "phronesis.bench.graders.judge:ENTRY",
    "expression": "phronesis.bench.graders.expression:ENTRY",
    "code": "phronesis.bench.graders.code:ENTRY",
    "sql": "phronesis.bench.graders.sql:ENTRY",
    "trip": "phronesis.bench.graders.trip:ENTRY",
    "meeting": "phronesis.bench.graders.meeting:ENTRY",
    "calendar": "phronesis.bench.graders.calendar:ENTRY",
    "arc": "phronesis.bench.graders.arc:ENTRY",
    "gym": "phronesis.bench.graders.gym:ENTRY",
}


def grader_names() -> list[str]:
    """Every grader that can be named: the shipped ones in the table's order, then those of installed packages."""
    return [*SHIPPED, *sorted(installed(GROUP) - set(SHIPPED))]


def find_grader(name: str) -> GraderEntry:
    """The entry of that name. Raises ConfigurationError with the nearest known name."""
    return load_named(
        name, GraderEntry, what="grader", shipped=SHIPPED, group=GROUP, known=grader_names(), error=ConfigurationError
    )


def make_grader(text: str, context: GraderContext) -> Grader:
    """The grader that ``name`` or ``name(option=value)`` names; empty = ``answer``. Raises ConfigurationError."""
    spec = NamedSpec.parse(text or "answer", what="grader")
    entry = find_grader(spec.name)
    return entry.build(context, spec.checked(entry.options, what="grader"))
