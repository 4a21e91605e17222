"""LaTeX answers, as MATH-500 has them: compared by spelling, by value, then by math-verify in a process of its own."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel

from phronesis.bench.dataset import Example, canonical_gold
from phronesis.bench.graders.by_answer import NoOptions
from phronesis.bench.graders.formulas import grade_formula
from phronesis.bench.graders.grader import WRONG, Attempted, Grade, GraderContext
from phronesis.bench.graders.table import GraderEntry
from phronesis.core.errors import ConfigurationError
from phronesis.tools.latex_equality import COMPARER


class ByLatex:
    """Right when the formula equals the gold one. The process starts with the first pair that is not settled without it."""

    reads: Literal["answer", "text"] = "answer"

    def check(self, example: Example) -> None:
        if example.task.answer_format != "latex":
            raise ConfigurationError(
                f"the example {example.task.id!r} has answer_format = {example.task.answer_format!r}: the grader 'latex' "
                "compares formulas",
                mend='give the rows answer_format = "latex", or the whole set --format latex',
            )
        canonical_gold(example)

    async def grade(self, example: Example, attempt: Attempted) -> Grade:
        return WRONG if attempt.answer is None else await grade_formula(canonical_gold(example), attempt.answer)

    async def close(self) -> None:
        await COMPARER.close()


def _build(context: GraderContext, options: BaseModel) -> ByLatex:
    return ByLatex()


ENTRY = GraderEntry(
    name="latex",
    summary="a formula that equals the gold one (math-verify; needs the extra 'math')",
    options=NoOptions,
    build=_build,
)
