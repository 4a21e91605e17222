"""The grade of a LaTeX answer, for every grader that meets one."""

from __future__ import annotations

from phronesis.bench.graders.grader import Grade, graded
from phronesis.tools.latex_equality import COMPARER


async def grade_formula(gold: str, answer: str) -> Grade:
    """Right when math-verify takes the answer for the gold one, both in canonical form; an answer that it can make nothing
    of is wrong and counted as unread. Raises ToolError where it could not be found out."""
    found = await COMPARER.compare(gold, answer)
    if not found.answer_read:
        return Grade(correct=False, score=0.0, parsed=False, read=answer)
    return graded(found.equal, answer)
