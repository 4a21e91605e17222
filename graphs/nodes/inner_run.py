"""One attempt of a whole strategy inside another graph: in a context of its own, its candidates named apart."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

from langgraph.graph.state import CompiledStateGraph

from phronesis.core.errors import BudgetExhausted
from phronesis.core.result import Candidate
from phronesis.core.task import Message, Task
from phronesis.graphs.context import RunContext
from phronesis.graphs.state import Outcome

_TOLD = (
    "{question}\n\nAn earlier attempt at this was checked and not accepted. What the check says of it (the problem above "
    "stands as it is):\n{feedback}"
)
_LATER = re.compile(r"v\d+/")
_SHOWN = 300
"""Characters of a source in a trajectory."""


@dataclass(frozen=True)
class InnerRun:
    """What an attempt brought."""

    candidates: tuple[Candidate, ...]
    chosen: Candidate | None
    """The one its answer is taken from; None = there is no answer."""
    trajectory: str
    """What was done on the way to it, for those who check it."""
    stop: str


def told(task: Task, feedback: str) -> Task:
    """The task with feedback behind its question; the same id."""
    if not feedback:
        return task
    last = task.messages[-1]
    text = _TOLD.format(question=last.content.strip(), feedback=feedback)
    return task.model_copy(update={"messages": (*task.messages[:-1], Message(role=last.role, content=text))})


async def run_inner(
    ctx: RunContext,
    graph: CompiledStateGraph[Any, Any, Any, Any],
    *,
    supersteps: int,
    attempt: int,
    feedback: str = "",
) -> InnerRun:
    """The strategy's graph over the context's task. The first attempt (0) is what the strategy does by itself; the calls,
    notes and candidates of a later one stand under ``v<attempt>/``. A limit that no node caught leaves the best so far."""
    own = ctx if attempt == 0 else _later(ctx, f"v{attempt}/", attempt, feedback)
    searched = set(ctx.search.found)
    last: Outcome = {"candidates": (), "answer": None, "chosen": None, "stop": "failed"}
    try:
        async for state in graph.astream(
            {"candidates": ()},
            config={"recursion_limit": supersteps},
            context=own,
            stream_mode="values",
        ):
            last = cast(Outcome, {**last, **state})
    except BudgetExhausted as error:
        last = cast(Outcome, {**last, "stop": f"budget:{error.details['limit']}"})
    found = {item.id: _named(item, own.prefix) for item in last["candidates"]}
    chosen = found.get(last["chosen"] or "") if last["answer"] is not None else None
    trajectory = ""
    if chosen is not None:
        done = own.reports.trajectories.get(last["chosen"] or "", chosen.text)
        trajectory = f"{_sources(ctx, searched)}{done}"
    return InnerRun(tuple(found.values()), chosen, trajectory, last["stop"])


def _later(ctx: RunContext, prefix: str, attempt: int, feedback: str) -> RunContext:
    reports = replace(ctx.reports, trajectories={}, first_rewards={})
    return replace(
        ctx,
        task=told(ctx.task, feedback),
        root=ctx.root.at(f"v{attempt}"),
        search=replace(ctx.search, prefix=prefix),
        reports=reports,
        prefix=prefix,
    )


def _named(candidate: Candidate, prefix: str) -> Candidate:
    if not prefix:
        return candidate
    parents = tuple(f"{prefix}{parent}" for parent in candidate.parents)
    return candidate.model_copy(update={"id": f"{prefix}{candidate.id}", "parents": parents})


def _sources(ctx: RunContext, before: set[str]) -> str:
    """What the attempt's searches found, each passage once."""
    passages = {item.id: item for key, found in ctx.search.found.items() if key not in before for item in found}
    lines = [
        f"Source {number} ({item.title or item.source or item.id}): {' '.join(item.text.split())[:_SHOWN]}"
        for number, item in enumerate(passages.values(), 1)
    ]
    return "Found on the way:\n" + "\n".join(lines) + "\n\nAttempt:\n" if lines else ""


def round_of(id: str) -> str:
    """What stands before the ids of an attempt's candidates: nothing for the first."""
    found = _LATER.match(id)
    return "" if found is None else found[0]


def newest(advice: Sequence[str], window: int) -> str:
    """The newest feedbacks as one text, the newest last."""
    return "\n\n".join(text.strip() for text in advice[-window:] if text.strip())
