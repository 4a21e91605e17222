"""ARC: output grids, written out or made by the attempt's own ``transform``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from phronesis.bench.dataset import Example
from phronesis.bench.graders import transform_execution
from phronesis.bench.graders.code_blocks import defines, python_sources
from phronesis.bench.graders.facts import needed, text_of, unfit
from phronesis.bench.graders.grader import WRONG, Attempted, Grade, GraderContext
from phronesis.bench.graders.grids import Grid, as_grid, grids_of
from phronesis.bench.graders.table import GraderEntry
from phronesis.tools.children import in_child
from phronesis.tools.code_answers import fenced
from phronesis.tools.extraction import marked_span
from phronesis.tools.python_execution import PythonPrograms

_REPLY = 100_000
"""Characters of a child's reply: a dozen of the largest grids."""


class ArcOptions(BaseModel):
    """How long a program may run."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    seconds: float = Field(10.0, gt=0, le=60)
    """Processor time for all test inputs of a task; wall-clock time is twice that."""


class ByGrids:
    """Right when every test output matches, all cells and the shape; score = the share of test cases that do.

    Facts: ``outputs`` (grids) and, for programs, ``inputs``. A Python ``transform(grid)`` in the text is run on the
    inputs, with the standard library alone. Otherwise read are the last grids of the text, as many as there are
    outputs, behind the mark of an answer where one is set; when there are fewer they stand for the first outputs."""

    reads: Literal["answer", "text"] = "text"

    def __init__(self, options: ArcOptions) -> None:
        self._programs = PythonPrograms(seconds=options.seconds, output=_REPLY)

    def check(self, example: Example) -> None:
        outputs = _grids(example, "outputs")
        if example.facts.get("inputs") and len(_grids(example, "inputs")) != len(outputs):
            raise unfit(example, "inputs", f"there are {len(outputs)} outputs")

    async def grade(self, example: Example, attempt: Attempted) -> Grade:
        text, wanted = text_of(attempt), _grids(example, "outputs")
        error = ""
        if example.facts.get("inputs") and _has_program(text):
            found, error = await self._run(text, _grids(example, "inputs"))
        else:
            found = list(_written(text, len(wanted)))
            if not found:
                return WRONG
        right = sum(left == given for left, given in zip(wanted, found, strict=False))
        said = error or f"{right} of {len(wanted)} grids"
        return Grade(correct=right == len(wanted), score=right / len(wanted), read=said)

    async def _run(self, text: str, inputs: Sequence[Grid]) -> tuple[list[Grid | None], str]:
        job = {"sources": python_sources(text, ["transform"]), "inputs": inputs}
        reply, ending = await in_child(self._programs, transform_execution, job=job)
        outputs = reply.get("outputs") if reply is not None else None
        if reply is None or not isinstance(outputs, list):
            return [], ending
        return [as_grid(grid) for grid in outputs], str(reply.get("error", ""))[:300]

    async def close(self) -> None:
        pass


def _has_program(text: str) -> bool:
    return defines(text, "transform") or any(defines(content, "transform") for _, content in fenced(text))


def _written(text: str, count: int) -> list[Grid]:
    span = marked_span(text)
    return (grids_of(text[span[0] :])[:count] if span is not None else []) or grids_of(text)[-count:]


def _grids(example: Example, name: str) -> list[Grid]:
    found = [as_grid(value) for value in needed(example, name, list)]
    grids = [grid for grid in found if grid is not None]
    if len(grids) != len(found):
        raise unfit(example, name, "it is no list of grids, rows of whole numbers from 0 to 9")
    return grids


def _build(context: GraderContext, options: ArcOptions) -> ByGrids:
    return ByGrids(options)


ENTRY = GraderEntry(
    name="arc",
    summary="the output grids of an ARC task, written out or made by a Python transform(grid)",
    options=ArcOptions,
    build=_build,
)
