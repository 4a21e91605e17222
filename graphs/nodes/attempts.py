"""Replies to candidates, and the sampling step that most strategies begin with."""

from __future__ import annotations

import math
from collections.abc import Sequence

from phronesis.agents.logprobs import span_logprob
from phronesis.agents.solver import Solver
from phronesis.agents.steps import split_steps
from phronesis.core.budget import Branch
from phronesis.core.chat import Completion, Reply
from phronesis.core.errors import PhronesisError
from phronesis.core.ports import AnswerSpace
from phronesis.core.result import Candidate, Failure
from phronesis.core.site import Site
from phronesis.graphs.context import RunContext
from phronesis.tools.answers import representatives
from phronesis.tools.extraction import marked_span


def failure_of(error: PhronesisError, where: str) -> Failure:
    """The record of a failure."""
    return Failure(where=where, error=type(error).__name__, message=error.message, mend=error.mend)


def to_candidate(
    reply: Reply,
    *,
    id: str,
    space: AnswerSpace,
    prefill: str = "",
    where: str = "",
    parents: tuple[str, ...] = (),
    round: int = 0,
    notes: str = "",
) -> Candidate:
    """The candidate a reply makes; a failure makes a failed one, which has no text and no answer.

    A reply without text is unparsable, whatever the server put into the reasoning field."""
    if isinstance(reply, PhronesisError):
        error = failure_of(reply, where)
        return Candidate(id=id, status="failed", error=error, parents=parents, round=round, notes=notes)
    body = reply.text.rstrip()
    text = f"{prefill}{body if body.startswith((' ', chr(10))) or not prefill else ' ' + body}".strip() if body else ""
    cut_off = reply.finish == "length"
    answer = space.extract(text, cut_off=cut_off) if text else None
    mean = reply.logprobs.mean if reply.logprobs else math.nan
    return Candidate(
        id=id,
        text=text,
        answer=answer,
        status="ok" if answer is not None else "unparsable",
        steps=split_steps(text),
        mean_logprob=None if math.isnan(mean) else mean,
        answer_logprob=_answer_logprob(reply),
        tokens=reply.tokens,
        cut_off=cut_off,
        parents=parents,
        round=round,
        notes=notes,
    )


def _answer_logprob(reply: Completion) -> float | None:
    """Of the marked answer where it stands last; an answer that is not marked has no place of its own."""
    span = marked_span(reply.text) if reply.logprobs else None
    return None if reply.logprobs is None or span is None else span_logprob(reply.logprobs, reply.text, *span)


async def draw(ctx: RunContext, solver: Solver, n: int, *, branch: Branch, first: int = 0) -> tuple[Candidate, ...]:
    """As many of n attempts as the account allows, in index order, as candidates ``c0``, ``c1`` ... or from ``c<first>`` on.

    Raises BudgetExhausted when it allows none. n calls, depth 1."""
    granted = branch.account.grant(n)
    if n and not granted:
        raise branch.account.deny("calls")
    site = Site(branch, "solver")
    replies = await solver.sample(ctx.task, ctx.answers.format, granted, site=site, memory=ctx.memory)
    prefill = "Step 1:" if solver.prefilled else ""
    drawn = tuple(
        to_candidate(reply, id=f"c{index}", space=ctx.answers, prefill=prefill, where=f"{site.where} {index}")
        for index, reply in enumerate(replies, start=first)
    )
    ctx.note("node", f"{branch.path}drawn", {"candidates": [brief(candidate) for candidate in drawn]})
    return drawn


def brief(candidate: Candidate) -> dict[str, object]:
    """What progress displays show of a candidate."""
    kept = ("id", "answer", "status", "tokens", "outcome", "reward", "round", "cut_off")
    return {name: getattr(candidate, name) for name in kept}


def unify_answers(candidates: Sequence[Candidate], space: AnswerSpace) -> tuple[Candidate, ...]:
    """The candidates with each answer replaced by its class's representative, so that equal answers are equal texts."""
    leaders = representatives([candidate.answer for candidate in candidates], space)
    return tuple(
        candidate if candidate.answer == leader else candidate.model_copy(update={"answer": leader})
        for candidate, leader in zip(candidates, leaders, strict=True)
    )


def alive(candidates: Sequence[Candidate]) -> tuple[Candidate, ...]:
    """Those that came out, readable or not."""
    return tuple(candidate for candidate in candidates if candidate.status != "failed")


def stop_reason(ctx: RunContext, candidates: Sequence[Candidate], otherwise: str) -> str:
    """``failed`` when nothing came out, ``budget:<limit>`` when a limit stopped something, else ``otherwise``."""
    denied = ctx.root.account.denied
    if denied is not None:
        return f"budget:{denied}"
    return otherwise if alive(candidates) else "failed"
