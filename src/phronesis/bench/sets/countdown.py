"""Countdown: numbers and a target that some expression over them makes.

Made backwards: two numbers of the pool are joined until one is left, every result on the way a positive whole number."""

from __future__ import annotations

import random
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from phronesis.bench.sets.adapters_puzzles import countdown
from phronesis.bench.sets.chains import as_tuple
from phronesis.bench.sets.generated import GeneratorEntry
from phronesis.bench.sets.row import Row
from phronesis.core.seeds import generator

_LEAST = 10
"""Least target, as in Stream of Search."""


class CountdownOptions(BaseModel):
    """Options of ``countdown``."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    n: int = Field(default=40, ge=1)
    """Problems."""
    numbers: Annotated[
        tuple[Annotated[int, Field(ge=2, le=8)], ...], BeforeValidator(as_tuple), Field(min_length=1)
    ] = (4,)
    """Numbers of a problem; of several the problems take turns."""
    seed: int = 0
    most: int = Field(default=100, ge=20)
    """Largest target; the numbers are at most a quarter of it."""


def draw(rng: random.Random, count: int, most: int) -> tuple[list[int], int, str]:
    """(numbers, target, one solution); the target is from 10 to ``most`` and none of the numbers."""
    while True:
        numbers = [rng.randint(1, most // 4) for _ in range(count)]
        target, solution = _joined(rng, numbers)
        if _LEAST <= target <= most and target not in numbers:
            return numbers, target, solution


def _joined(rng: random.Random, numbers: list[int]) -> tuple[int, str]:
    pool = [(number, str(number)) for number in numbers]
    while len(pool) > 1:
        left = pool.pop(rng.randrange(len(pool)))
        right = pool.pop(rng.randrange(len(pool)))
        signs = ["+", "*"] + ["-"] * (left[0] > right[0]) + ["/"] * (right[0] > 1 and left[0] % right[0] == 0)
        sign = rng.choice(signs)
        value = {
            "+": left[0] + right[0],
            "*": left[0] * right[0],
            "-": left[0] - right[0],
            "/": left[0] // right[0],
        }[sign]
        pool.append((value, f"({left[1]} {sign} {right[1]})"))
    return pool[0][0], pool[0][1][1:-1]


def _rows(options: CountdownOptions) -> list[Row]:
    rows = []
    for index in range(options.n):
        count = options.numbers[index % len(options.numbers)]
        rng = generator(options.seed, "countdown", count, options.most, index)
        numbers, target, solution = draw(rng, count, options.most)
        name = f"countdown-{count}-most{options.most}-seed{options.seed}-{index}"
        fields = {"id": name, "level": f"{count} numbers", "numbers": numbers, "target": target, "answer": solution}
        rows.append(Row(fields, index + 1, f"countdown row {index + 1}"))
    return rows


ENTRY = GeneratorEntry(
    name="countdown",
    measures="search: an expression over given numbers that makes a target",
    options=CountdownOptions,
    rows=_rows,
    adapter=countdown,
)
