"""Equations with blanks for operators; one procedure solves them all, so they show what a memory is worth.

Made from a filling: numbers and operators are drawn until the value is a whole number from -999 to 999."""

from __future__ import annotations

import random
from collections.abc import Sequence
from fractions import Fraction
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from phronesis.bench.sets.adapters_puzzles import balancer
from phronesis.bench.sets.chains import as_tuple
from phronesis.bench.sets.generated import GeneratorEntry
from phronesis.bench.sets.row import Row
from phronesis.core.seeds import generator

_MOST = 999


class BalancerOptions(BaseModel):
    """Options of ``balancer``."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    n: int = Field(default=40, ge=1)
    """Problems."""
    blanks: Annotated[tuple[Annotated[int, Field(ge=1, le=8)], ...], BeforeValidator(as_tuple), Field(min_length=1)] = (
        4,
    )
    """Blanks of an equation; of several numbers the equations take turns."""
    seed: int = 0


def value(numbers: Sequence[int], signs: Sequence[str]) -> Fraction:
    """The exact value of ``numbers`` joined by ``signs``, with the usual precedence."""
    terms = [Fraction(numbers[0])]
    for sign, number in zip(signs, numbers[1:], strict=True):
        if sign == "*":
            terms[-1] *= number
        elif sign == "/":
            terms[-1] /= number
        else:
            terms.append(Fraction(number if sign == "+" else -number))
    return sum(terms, Fraction())


def draw(rng: random.Random, blanks: int) -> tuple[list[int], list[str], int]:
    """(numbers, operators, whole value)."""
    while True:
        numbers = [rng.randint(2, 25) for _ in range(blanks + 1)]
        signs = [rng.choice("+-*/") for _ in range(blanks)]
        made = value(numbers, signs)
        if made.denominator == 1 and abs(made) <= _MOST:
            return numbers, signs, int(made)


def _rows(options: BalancerOptions) -> list[Row]:
    rows = []
    for index in range(options.n):
        blanks = options.blanks[index % len(options.blanks)]
        numbers, signs, target = draw(generator(options.seed, "balancer", blanks, index), blanks)
        filled = " ".join(
            [str(numbers[0]), *(f"{sign} {number}" for sign, number in zip(signs, numbers[1:], strict=True))]
        )
        fields = {
            "id": f"balancer-{blanks}-seed{options.seed}-{index}",
            "question": f"{' ? '.join(map(str, numbers))} = {target}",
            "answer": f"{filled} = {target}",
            "target_value": target,
            "blanks": blanks,
        }
        rows.append(Row(fields, index + 1, f"balancer row {index + 1}"))
    return rows


ENTRY = GeneratorEntry(
    name="balancer",
    measures="a procedure to learn: operators that make an equation true",
    options=BalancerOptions,
    rows=_rows,
    adapter=balancer,
)
