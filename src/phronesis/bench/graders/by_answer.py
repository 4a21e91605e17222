"""Grading by comparison with the gold answer, in the format the answer was read in: numbers, letters, short texts."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict

from phronesis.bench.dataset import Example, canonical_gold
from phronesis.bench.graders.formulas import grade_formula
from phronesis.bench.graders.grader import WRONG, Attempted, Grade, GraderContext, graded
from phronesis.bench.graders.table import GraderEntry
from phronesis.tools.answers import answer_space


class ByAnswer:
    """Right when the answer equals the gold one by value (numbers: within one part in a million)."""

    reads: Literal["answer", "text"] = "answer"

    def check(self, example: Example) -> None:
        canonical_gold(example)

    async def grade(self, example: Example, attempt: Attempted) -> Grade:
        if attempt.answer is None:
            return WRONG
        space = answer_space(example.task.answer_format or "text")
        if space.format == "latex":
            return await grade_formula(canonical_gold(example), attempt.answer)
        return graded(space.equal(attempt.answer, canonical_gold(example)), attempt.answer)

    async def close(self) -> None:
        pass


class NoOptions(BaseModel):
    """A grader without options."""

    model_config = ConfigDict(frozen=True, extra="forbid")


def _build(context: GraderContext, options: BaseModel) -> ByAnswer:
    return ByAnswer()


ENTRY = GraderEntry(
    name="answer",
    summary="equals the gold answer in the task's answer format (number, choice, text, latex)",
    options=NoOptions,
    build=_build,
)
