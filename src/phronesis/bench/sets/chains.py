"""Arithmetic of a known number of steps: chains without words, and small stories of our own wording.

A chain is a list of operations on a running whole number, which stays between 1 and 999; a story tells the same
operations. Difficulty is the number of steps."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from phronesis.bench.sets.adapters_maths import chain
from phronesis.bench.sets.generated import GeneratorEntry
from phronesis.bench.sets.row import Row
from phronesis.core.seeds import generator

_MOST = 999
_NAMES = ("Anouk", "Bela", "Chidi", "Dilan", "Edda", "Farid", "Gita", "Hana", "Ivo", "Juno", "Kofi", "Lucia")
_THINGS = ("beads", "shells", "tickets", "pencils", "stamps", "walnuts", "buttons", "marbles", "cards", "seeds")


def as_tuple(value: Any) -> Any:
    """One value as a list of one."""
    return value if isinstance(value, (list, tuple)) else (value,)


class ChainOptions(BaseModel):
    """Options of ``chains``."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    n: int = Field(default=40, ge=1)
    """Problems."""
    steps: Annotated[tuple[Annotated[int, Field(ge=1, le=40)], ...], BeforeValidator(as_tuple), Field(min_length=1)] = (
        4,
    )
    """Operations of a problem; of several numbers the problems take turns."""
    seed: int = 0
    kind: Literal["mixed", "plain", "story"] = "mixed"
    """``plain``: equations; ``story``: sentences; ``mixed``: by turns."""


@dataclass(frozen=True, slots=True)
class Step:
    """One operation on the running number."""

    sign: Literal["+", "-", "*", "/"]
    by: int

    def of(self, value: int) -> int:
        """The number after the step."""
        return {"+": value + self.by, "-": value - self.by, "*": value * self.by, "/": value // self.by}[self.sign]


def draw(rng: random.Random, count: int) -> tuple[int, list[Step]]:
    """(first number, steps): every number on the way is whole and from 1 to 999, and no step leaves it as it was."""
    first = value = rng.randint(2, 20)
    steps = []
    for _ in range(count):
        step = rng.choice(_possible(rng, value))
        steps.append(step)
        value = step.of(value)
    return first, steps


def _possible(rng: random.Random, value: int) -> list[Step]:
    found = [Step("+", rng.randint(2, 30))] if value <= _MOST - 30 else []
    if value > 3:
        found.append(Step("-", rng.randint(2, min(30, value - 1))))
    factors = [by for by in (2, 3, 4, 5) if value * by <= _MOST]
    parts = [by for by in (2, 3, 4, 5) if value % by == 0 and value > by]
    found += [Step("*", rng.choice(factors))] if factors else []
    found += [Step("/", rng.choice(parts))] if parts else []
    return found


def result(first: int, steps: Sequence[Step]) -> int:
    """The last number of a chain."""
    for step in steps:
        first = step.of(first)
    return first


def equations(first: int, steps: Sequence[Step]) -> str:
    """The chain as equations, one a step: ``x1 = 7 * 3``."""
    lines = [f"x0 = {first}"]
    lines += [f"x{number} = x{number - 1} {step.sign} {step.by}" for number, step in enumerate(steps, start=1)]
    return "\n".join(lines) + f"\nx{len(steps)} = ?"


def story(rng: random.Random, first: int, steps: Sequence[Step]) -> str:
    """The chain as sentences about somebody's things."""
    name, things = rng.choice(_NAMES), rng.choice(_THINGS)
    told = [f"{name} has {first} {things}."]
    told += [rng.choice(_SENTENCES[step.sign]).format(by=step.by, things=things, name=name) for step in steps]
    return " ".join([*told, f"How many {things} does {name} have now?"])


_SENTENCES: dict[str, tuple[str, ...]] = {
    "+": (
        "A friend brings {by} more {things}.",
        "Then {name} finds {by} {things} in a drawer.",
        "The post brings a parcel with {by} {things}.",
    ),
    "-": (
        "Then {name} gives away {by} {things}.",
        "On the way home {by} {things} get lost.",
        "A neighbour borrows {by} {things} and keeps them.",
    ),
    "*": (
        "Each of the {things} is swapped for {by} new ones.",
        "After a lucky week {name} has {by} times as many {things} as before.",
    ),
    "/": (
        "Then {name} splits all {things} into {by} equal heaps and keeps one heap.",
        "They are shared equally among {by} people, {name} being one of them.",
    ),
}


def _rows(options: ChainOptions) -> list[Row]:
    rows = []
    for index in range(options.n):
        steps = options.steps[index % len(options.steps)]
        kind = ("plain", "story")[index // len(options.steps) % 2] if options.kind == "mixed" else options.kind
        rng = generator(options.seed, "chains", kind, steps, index)
        first, drawn = draw(rng, steps)
        asked = story(rng, first, drawn) if kind == "story" else f"Compute:\n{equations(first, drawn)}"
        name = f"chains-{kind}-{steps}-seed{options.seed}-{index}"
        fields = {"id": name, "question": asked, "answer": result(first, drawn), "steps": steps, "kind": kind}
        rows.append(Row(fields, index + 1, f"chains row {index + 1}"))
    return rows


ENTRY = GeneratorEntry(
    name="chains",
    measures="arithmetic of a known number of steps, as equations and as stories",
    options=ChainOptions,
    rows=_rows,
    adapter=chain,
)
