"""What an agent did, step by step: as the messages of its next turn, and as a record for those who only read it.

What a tool brought is data wherever it is shown: a record quotes it as a JSON text on one line, so that no order in it
stands by itself.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

from phronesis.agents.passages import shortened
from phronesis.agents.tool_user import Turn, said, shown
from phronesis.core.task import Message
from phronesis.core.tool import ToolResult

LEFT_OUT = "[left out: only the newest responses are kept]"


@dataclass(frozen=True, slots=True)
class Step:
    """One turn of the agent and what came of it."""

    number: int
    """From 1."""
    turn: Turn | None
    """None = the call failed."""
    results: tuple[ToolResult, ...] = ()
    """In the order of the calls."""
    after: str = ""
    """What the agent is told behind it: budget block, what was wrong, a note."""


def messages_of(steps: Sequence[Step], *, responses: int | None = None) -> tuple[Message, ...]:
    """The steps as a conversation. ``responses``: the newest tool responses that stay; of earlier ones a placeholder is
    left, and what the agent was told behind them goes. None = all stay.

    Two user messages in a row become one: many chat templates allow no others."""
    answered = [step.number for step in steps if step.results]
    kept = set(answered if responses is None else answered[len(answered) - min(responses, len(answered)) :])
    messages: list[Message] = []
    for step in steps:
        stale = bool(step.results) and step.number not in kept
        made: list[Message] = []
        if step.turn is not None:
            results = [item.model_copy(update={"text": LEFT_OUT}) for item in step.results] if stale else step.results
            made = [*said(step.turn), *shown(step.turn, results)]
        if step.after and not stale:
            made.append(Message(role="user", content=step.after))
        messages += made
    return joined(messages)


def joined(messages: Sequence[Message]) -> tuple[Message, ...]:
    """With each run of user messages as one."""
    found: list[Message] = []
    for message in messages:
        if found and message.role == found[-1].role == "user":
            found[-1] = Message(role="user", content=f"{found[-1].content}\n\n{message.content}")
        else:
            found.append(message)
    return tuple(found)


def record(
    steps: Sequence[Step], *, before: str = "", characters: int = 6000, each: int = 1000, answer: str = ""
) -> str:
    """Thoughts, calls and results in order, for a reader who is not the agent.

    ``before``: the summary of what came earlier; ``each``: characters of one result; ``characters``: of the whole, of which
    the end is kept, at whole steps; ``answer``: what counts as the answer, which stands at the end where the last step gave
    none (it was asked for without tools, or a limit left an earlier one standing)."""
    parts: list[str] = []
    room = characters - len(before)
    for step in reversed(steps):
        part = _recorded(step, each)
        if room - len(part) < 0 and parts:
            parts.append("(earlier steps are left out)")
            break
        room -= len(part)
        parts.append(part)
    earlier = [f"Summary of what came before: {before}"] if before else []
    last = steps[-1].turn if steps else None
    ends = [f"Answer: {answer.strip()}"] if answer and (last is None or last.answer is None) else []
    return "\n".join([*earlier, *reversed(parts), *ends]) or "(nothing was done)"


def _recorded(step: Step, each: int) -> str:
    if step.turn is None:
        return f"Step {step.number}. (no reply)"
    lines = [f"Step {step.number}. {shortened(step.turn.thought, each)}".rstrip()]
    for result in step.results:
        call = f"{result.call.name}({json.dumps(result.call.arguments, ensure_ascii=False)})"
        quoted = json.dumps(shortened(result.text, each), ensure_ascii=False)
        lines.append(f"Call: {call}\nResult ({result.status}): {quoted}")
    if step.turn.answer is not None:
        lines.append(f"Answer: {shortened(step.turn.answer, each)}")
    if step.turn.problem:
        lines.append("(not a usable turn)")
    return "\n".join(lines)
