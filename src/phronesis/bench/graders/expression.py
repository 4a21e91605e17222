"""Expressions over given numbers: Countdown, the game of 24, and equations whose operators are missing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from fractions import Fraction
from typing import Any, Literal

from pydantic import BaseModel

from phronesis.bench.dataset import Example
from phronesis.bench.graders.arithmetic import Expression, expressions, parse_expression
from phronesis.bench.graders.by_answer import NoOptions
from phronesis.bench.graders.facts import needed, text_of, unfit
from phronesis.bench.graders.grader import WRONG, Attempted, Grade, GraderContext, graded
from phronesis.bench.graders.table import GraderEntry
from phronesis.tools.extraction import marked_answer
from phronesis.tools.numbers import show_number


class ByExpression:
    """Right when the expression is made of exactly the given numbers, each once, and its exact value is the target.
    With ``ordered`` the numbers stand in the given order without brackets: only the operators are free.

    Facts: ``numbers``, ``target``, ``ordered`` (false). Read is the marked answer; one without an operator (``Answer:
    24``) says no expression, and the attempt's text is searched. Of several expressions the last counts that uses the
    numbers, else the last. What an equation claims as its value is not read. Figure ``numbers``: 1 when the numbers are
    right."""

    reads: Literal["answer", "text"] = "text"

    def check(self, example: Example) -> None:
        _puzzle(example)

    async def grade(self, example: Example, attempt: Attempted) -> Grade:
        numbers, target, ordered = _puzzle(example)
        text = text_of(attempt)
        found = _chosen(marked_answer(text) or "", numbers, ordered=ordered) or _chosen(text, numbers, ordered=ordered)
        if found is None:
            return WRONG
        used = _uses(found, numbers, ordered=ordered)
        said = "no number: it divides by zero" if found.value is None else show_number(found.value)
        why = "" if found.value == target else f", not {show_number(target)}"
        if not used:
            why += "; the numbers are not the given ones" + (" in their order" if ordered else "")
        elif ordered and found.brackets:
            why += "; brackets are not allowed"
        return graded(not why, f"{found.text} = {said}{why}", numbers=float(used))

    async def close(self) -> None:
        pass


def _puzzle(example: Example) -> tuple[list[Fraction], Fraction, bool]:
    numbers = [_number(example, "numbers", value) for value in needed(example, "numbers", list)]
    if "target" not in example.facts:
        needed(example, "target", int)
    ordered = example.facts.get("ordered", False)
    if not isinstance(ordered, bool):
        raise unfit(example, "ordered", "it is neither true nor false")
    return numbers, _number(example, "target", example.facts["target"]), ordered


def _number(example: Example, name: str, value: Any) -> Fraction:
    if isinstance(value, int | float | str) and not isinstance(value, bool):
        try:
            return Fraction(str(value))
        except (ValueError, ZeroDivisionError):
            pass
    raise unfit(example, name, f"{value!r} is no number")


def _chosen(text: str, numbers: Sequence[Fraction], *, ordered: bool) -> Expression | None:
    """The last expression of the text that uses the numbers, else the last."""
    last = None
    for found in expressions(text):
        if _uses(found, numbers, ordered=ordered):
            return found
        last = last or found
    return last or (parse_expression(text) if len(numbers) == 1 else None)


def _uses(found: Expression, numbers: Sequence[Fraction], *, ordered: bool) -> bool:
    """Whether its numbers are the given ones. A signed number may stand for a negative one that is given."""
    if len(found.leaves) != len(numbers):
        return False
    if ordered:
        signs = [-leaf.value if leaf.signed else leaf.value for leaf in found.leaves]
        return signs == list(numbers)
    left = Counter(numbers)
    for leaf in sorted(found.leaves, key=lambda leaf: leaf.signed):
        value = -leaf.value if leaf.signed and left[-leaf.value] else leaf.value
        if not left[value]:
            return False
        left[value] -= 1
    return True


def _build(context: GraderContext, options: BaseModel) -> ByExpression:
    return ByExpression()


ENTRY = GraderEntry(
    name="expression",
    summary="an expression over the given numbers whose value is the target (countdown, game of 24, equations)",
    options=NoOptions,
    build=_build,
)
