"""Given: attempts that somebody else made, read from a file. Draws nothing and chooses by majority.

It is the bank behind ``phronesis scorers test --attempts``: once the attempts stand in its journal they are scored like
drawn ones, and the file is not needed any more. Whether an attempt is right is nowhere in the file. Source: ours.
Roles: none.
Cost law: calls = 0; depth = 0.
Stopping: ``finished``.
An attempt's answer is the one the file names, else the one that is read from its text. Where there is none it gets an answer
that no other attempt has (``the whole of attempt 2``), so that it is judged like the others and no vote unites it with them.
A text of several lines in the format ``text`` is read by a marked answer only: the last line of prose is no answer.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import orjson
from langgraph.graph import END, START, StateGraph
from langgraph.graph.state import CompiledStateGraph
from langgraph.runtime import Runtime

from phronesis.agents.steps import split_steps
from phronesis.core.errors import ConfigurationError
from phronesis.core.ports import AnswerSpace
from phronesis.core.result import Candidate
from phronesis.graphs.context import RunContext
from phronesis.graphs.cost import CostLaw
from phronesis.graphs.nodes.attempts import unify_answers
from phronesis.graphs.policies.voting import majority
from phronesis.graphs.state import Outcome
from phronesis.graphs.strategy import Knobs, Strategy
from phronesis.tools.extraction import marked_answer


class GivenKnobs(Knobs):
    """What can be set."""

    attempts: str
    """JSONL file: a task's ``id`` and its ``attempts`` a line, each with ``text`` and perhaps ``answer``."""


def own_answer(number: int) -> str:
    """What stands for the answer of an attempt, counted from 1, in which none can be read."""
    return f"the whole of attempt {number}"


def answer_in(text: str, space: AnswerSpace) -> str | None:
    """The answer that can be read from an attempt; None where there is none."""
    if space.format == "text" and "\n" in text.strip() and marked_answer(text) is None:
        return None
    return space.extract(text)


def given_attempts(path: str, task: str) -> list[dict[str, Any]]:
    """The attempts of a task in such a file, in order. Raises ConfigurationError for a file that cannot be read, and for a
    task that it does not hold."""
    try:
        lines = Path(path).read_bytes().splitlines()
        rows = [orjson.loads(line) for line in lines if line.strip()]
        found = next((row["attempts"] for row in rows if row["id"] == task), None)
    except (OSError, orjson.JSONDecodeError, KeyError, TypeError) as error:
        raise ConfigurationError(
            f"cannot read the given attempts {path!r}: {error}",
            mend="give them again: phronesis scorers test --attempts",
        ) from None
    if found is None:
        raise ConfigurationError(
            f"{path!r} holds no attempts at {task!r}", mend="give the file that the run began with"
        )
    return list(found)


def build(knobs: GivenKnobs) -> CompiledStateGraph[Any, Any, Any, Any]:
    """START -> load -> END."""

    async def load(state: Outcome, runtime: Runtime[RunContext]) -> Outcome:
        ctx = runtime.context

        async def read() -> list[dict[str, Any]]:
            return given_attempts(knobs.attempts, ctx.task.id)

        found = await ctx.effects.effect("given", {"attempts": knobs.attempts, "task": ctx.task.id}, read)
        drawn = [_candidate(number, item, ctx.answers) for number, item in enumerate(found)]
        candidates = unify_answers(drawn, ctx.answers)
        vote = majority([item.answer for item in candidates])
        chosen = None if vote.leader is None else candidates[vote.leader].id
        return {"candidates": candidates, "answer": vote.winner, "chosen": chosen, "stop": "finished"}

    graph = StateGraph(Outcome, context_schema=RunContext)
    graph.add_node("load", load)
    graph.add_edge(START, "load")
    graph.add_edge("load", END)
    return graph.compile()


def _candidate(number: int, item: Mapping[str, Any], space: AnswerSpace) -> Candidate:
    text = str(item["text"])
    answer = item.get("answer") or answer_in(text, space) or own_answer(number + 1)
    return Candidate(id=f"c{number}", text=text, answer=answer, steps=split_steps(text))


STRATEGY = Strategy(
    name="given",
    summary="attempts read from a file; draws nothing",
    paper="ours",
    knobs=GivenKnobs,
    build=build,
    cost=lambda knobs: CostLaw(calls="0", depth="0"),
    supersteps=lambda knobs: 3,
    needs=lambda knobs: {},
)
