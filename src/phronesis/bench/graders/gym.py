"""Answers to reasoning-gym's problems, scored by the generator's own function in a worker process."""

from __future__ import annotations

import re
from importlib.util import find_spec
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from phronesis.bench.dataset import Example
from phronesis.bench.graders.facts import needed, text_of, unfit
from phronesis.bench.graders.grader import WRONG, Attempted, Grade, GraderContext
from phronesis.bench.graders.table import GraderEntry
from phronesis.core.errors import SetupError, ToolError
from phronesis.core.worker import Worker
from phronesis.tools.code_answers import fenced
from phronesis.tools.extraction import last_line, marked_answer, marked_span

EXACT = frozenset(
    {
        "chain_sum",
        "leg_counting",
        "simple_equations",
        "number_sequence",
        "family_relationships",
        "letter_counting",
        "spell_backward",
        "word_sorting",
        "string_manipulation",
        "calendar_arithmetic",
        "syllogism",
        "zebra_puzzles",
        "list_functions",
    }
)
"""Generators whose answers are right only when they equal the reference: without the package they are compared."""
_OPENING, _CLOSING = re.compile(r"(?i)<answer>"), re.compile(r"(?i)</answer>")
_FULL = 1 - 1e-9


class GymOptions(BaseModel):
    """How long a score may take."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    seconds: float = Field(10.0, gt=0, le=60)
    """Wall-clock time of one score; the worker is killed after it and the attempt is not graded."""


class ByGym:
    """Right when the generator's own function gives the full score; the score is its share.

    Facts: ``generator``, ``metadata``, ``answer`` (the reference; without one the example's gold). Read is what stands
    in the last ``<answer>``, else the marked answer (where the reference has several lines, everything behind the
    mark), else the last line or, for several lines, the last fenced block or the whole text. An answer that the
    function cannot read is wrong and counted as unparsable; one on which it hangs or dies is not graded. Some of the
    functions evaluate what they are given, so an answer with two underscores in a row is not handed on. Without the
    package the answers of 13 generators are compared exactly."""

    reads: Literal["answer", "text"] = "text"

    def __init__(self, options: GymOptions, *, installed: bool | None = None) -> None:
        """``installed``: whether reasoning-gym is there; None = look."""
        self._installed = find_spec("reasoning_gym") is not None if installed is None else installed
        self._worker = Worker("phronesis.bench.graders.gym_scoring:score", seconds=options.seconds, memory=2**32)

    def check(self, example: Example) -> None:
        generator, _ = needed(example, "generator", str), needed(example, "metadata", dict)
        if not self._installed:
            if generator not in EXACT:
                raise SetupError(
                    f"answers to {generator!r} (of {example.task.id!r}) are scored by reasoning-gym, which is missing",
                    mend="pip install 'phronesis[bench]'",
                )
            return
        gold = _reference(example)
        try:
            found = self._worker.call_sync(generator, gold, _entry(example))
        except ToolError as error:
            raise unfit(example, "generator", f"the reference answer cannot be scored: {error.message}") from None
        if "unknown" in found:
            raise unfit(example, "generator", f"reasoning-gym has none of that name, but {', '.join(found['unknown'])}")
        if gold not in ("", "None") and found.get("score", 0.0) < _FULL:
            said = found.get("unreadable") or f"its score is {found['score']:g}"
            raise unfit(example, "metadata", f"the reference answer {gold[:60]!r} does not get the full score: {said}")

    async def grade(self, example: Example, attempt: Attempted) -> Grade:
        reference = _reference(example)
        answer = answer_of(text_of(attempt), several_lines="\n" in reference.strip())
        if not answer:
            return WRONG
        shown = answer[:500]
        if not self._installed:
            score = float(answer.strip() == reference.strip())
            return Grade(correct=score == 1.0, score=score, read=shown)
        if "__" in answer and "__" not in reference:
            said = "names with two underscores are not handed on"
            return Grade(correct=False, score=0.0, parsed=False, read=f"{shown}\n{said}")
        found = await self._worker.call(example.facts["generator"], answer, _entry(example))
        if "score" not in found:
            return Grade(correct=False, score=0.0, parsed=False, read=f"{shown}\n{found.get('unreadable', 'unknown')}")
        return Grade(correct=found["score"] >= _FULL, score=found["score"], read=shown)

    async def close(self) -> None:
        await self._worker.close()


def answer_of(text: str, *, several_lines: bool) -> str:
    """The answer that a text gives; empty when it gives none."""
    ends = [found.start() for found in _CLOSING.finditer(text)]
    starts = [found.end() for found in _OPENING.finditer(text) if ends and found.end() <= ends[-1]]
    if starts:
        return text[starts[-1] : ends[-1]].strip()
    if not several_lines:
        unfenced = "\n".join(line for line in text.splitlines() if not line.lstrip().startswith("```"))
        return marked_answer(unfenced) or last_line(unfenced) or ""
    span = marked_span(text)
    if span is not None:
        boxed = text[: span[0]].rstrip().endswith("\\boxed{")
        return (text[span[0] : span[1]] if boxed else text[span[0] :]).strip().strip("`").strip()
    blocks = [content for _, content in fenced(text) if content.strip()]
    return (blocks[-1] if blocks else text).strip()


def _reference(example: Example) -> str:
    return str(example.facts.get("answer") or example.gold)


def _entry(example: Example) -> dict[str, Any]:
    """The row as reasoning-gym's functions take it."""
    metadata = example.facts["metadata"]
    return {"question": example.task.question, "answer": _reference(example), "metadata": metadata}


def _build(context: GraderContext, options: GymOptions) -> ByGym:
    return ByGym(options)


ENTRY = GraderEntry(
    name="gym",
    summary="scored by reasoning-gym's own function for the generator, in a worker process",
    options=GymOptions,
    build=_build,
)
