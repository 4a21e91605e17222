"""Items out of Results: the answer and every attempt graded, equal ones once, under a time limit."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from phronesis.bench.dataset import Example
from phronesis.bench.graders.grader import WRONG, Attempted, Grade, Grader
from phronesis.bench.running.item import AttemptGrade, CallCost, Item, served_seconds
from phronesis.bench.running.plan import Cell
from phronesis.core.errors import PhronesisError
from phronesis.core.result import Candidate, Failure, Result

SECONDS = 120.0
"""The most that one item's grading may take, whatever its grader's own limits are."""
_SHOWN = 3
"""Failures that an item keeps."""


async def grade_item(cell: Cell, example: Example, result: Result, calls: tuple[CallCost, ...], grader: Grader) -> Item:
    """The item of a Result. A grader that fails or takes too long makes it ``ungraded``."""
    memory = result.memory
    item = Item(
        arm=cell.arm,
        set=cell.set,
        repeat=cell.repeat,
        task=example.task.id,
        status="failed" if result.status == "failed" else "ok",
        answer=result.answer,
        gold=example.gold,
        group=example.group,
        cluster=example.cluster,
        stop=result.stop_reason,
        depth=result.depth,
        seconds=round(result.usage.seconds + served_seconds(calls), 4),
        calls=calls,
        recalled=tuple(hit.id for hit in memory.recalled if hit.rendered) if memory else (),
        written=tuple(made.id for made in memory.written if made.id and made.outcome in _WRITES) if memory else (),
        degraded=result.degraded,
        failures=result.failures[:_SHOWN],
        run_id=result.run_id,
    )
    if result.status == "failed":
        return item
    try:
        async with asyncio.timeout(SECONDS):
            graded = await _grades(example, result, grader)
    except Exception as error:
        return item.model_copy(update={"status": "ungraded", "failures": (_failure(error), *item.failures)[:_SHOWN]})
    grade, attempts = graded
    return item.model_copy(
        update={
            "correct": grade.correct,
            "score": grade.score,
            "parsed": grade.parsed,
            "figures": dict(grade.figures),
            "attempts": attempts,
        }
    )


def crashed_item(cell: Cell, example: Example, run_id: str, failure: Failure, calls: tuple[CallCost, ...] = ()) -> Item:
    """The item of a task that broke its strategy."""
    return Item(
        arm=cell.arm,
        set=cell.set,
        repeat=cell.repeat,
        task=example.task.id,
        status="failed",
        gold=example.gold,
        group=example.group,
        cluster=example.cluster,
        stop="failed",
        calls=calls,
        failures=(failure,),
        run_id=run_id,
    )


_WRITES = ("written", "updated")


async def _grades(example: Example, result: Result, grader: Grader) -> tuple[Grade, tuple[AttemptGrade, ...]]:
    known: dict[tuple[str | None, str], Grade] = {}
    found = None if result.retrieval is None else tuple(item.id for item in result.retrieval.passages)

    async def grade(answer: str | None, text: str) -> Grade:
        unread = answer is None and (grader.reads == "answer" or not text.strip())
        if unread and (found is None or grader.reads == "text"):
            return WRONG
        key = (answer, "" if grader.reads == "answer" else text)
        if key not in known:
            known[key] = await grader.grade(example, Attempted(answer, "" if unread else text, retrieved=found))
        return replace(WRONG, figures=known[key].figures) if unread else known[key]

    whole = await grade(result.answer, result.answer_text)
    attempts = [_attempt(item, await grade(item.answer, item.text)) for item in result.candidates]
    return whole, tuple(attempts)


def _attempt(item: Candidate, grade: Grade) -> AttemptGrade:
    return AttemptGrade(
        id=item.id,
        answer=item.answer,
        correct=grade.correct,
        status=item.status,
        tokens=item.tokens,
        round=item.round,
        parents=item.parents,
        mean_logprob=item.mean_logprob,
        reward=item.reward,
        scores=item.scores,
        kind=item.kind,
    )


def _failure(error: Exception) -> Failure:
    if isinstance(error, TimeoutError):
        return Failure(where="grader", error="TimedOut", message=f"grading took longer than {SECONDS:g} s")
    mend = error.mend if isinstance(error, PhronesisError) else None
    return Failure(where="grader", error=type(error).__name__, message=str(error)[:500], mend=mend)
