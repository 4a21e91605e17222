"""The two turns of Self-Refine: feedback that ends in a verdict, and a revision with everything earlier in view."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from phronesis.agents.prompt import load_prompt
from phronesis.agents.scorers.generative import read_verdict
from phronesis.agents.solver import ANSWER_INSTRUCTIONS
from phronesis.core.chat import ChatRequest, Reply, Sampling, completion_of
from phronesis.core.errors import MalformedReply
from phronesis.core.ports import ChatClient
from phronesis.core.site import Site
from phronesis.core.task import AnswerFormat, Task


@dataclass(frozen=True, slots=True)
class Feedback:
    """What was said of an attempt."""

    text: str
    satisfied: bool
    """The verdict is that the answer is right. Feedback without a readable verdict is not."""


@dataclass(frozen=True, kw_only=True)
class FeedbackGiver:
    """Sees the problem and one attempt, never the earlier ones."""

    client: ChatClient
    sampling: Sampling

    def request(self, task: Task, solution: str) -> ChatRequest:
        """Asks for errors first and for the verdict last."""
        values = {"question": task.question, "solution": solution}
        messages, prefill = load_prompt("feedback").fill(values, history=task.history)
        return ChatRequest(messages=messages, prefill=prefill, sampling=self.sampling)

    async def feedback(self, task: Task, solution: str, *, site: Site) -> Feedback:
        """1 call. Raises ModelError, also for an empty reply; BudgetExhausted."""
        (reply,) = await self.client.sample(self.request(task, solution), 1, site=site)
        text = completion_of(reply).text.strip()
        if not text:
            raise MalformedReply("the feedback is empty", reason="empty")
        return Feedback(text, read_verdict(text) is True)


@dataclass(frozen=True, kw_only=True)
class SelfRefiner:
    """Sees the problem, every attempt that was given feedback, and the feedback, in order."""

    client: ChatClient
    sampling: Sampling

    def request(self, task: Task, format: AnswerFormat, said: Sequence[tuple[str, str]]) -> ChatRequest:
        """``said``: (attempt, feedback on it), oldest first. The prompt's beginning is that of the round before."""
        values = {
            "question": task.question,
            "attempts": history_of(said),
            "answer_instruction": ANSWER_INSTRUCTIONS[format],
        }
        messages, prefill = load_prompt("self_refine").fill(values, history=task.history)
        return ChatRequest(messages=messages, prefill=prefill, sampling=self.sampling)

    async def refine(self, task: Task, format: AnswerFormat, said: Sequence[tuple[str, str]], *, site: Site) -> Reply:
        """The revised attempt, or the failure in its place. 1 call. Raises BudgetExhausted."""
        (reply,) = await self.client.sample(self.request(task, format, said), 1, site=site)
        return reply


def history_of(said: Sequence[tuple[str, str]]) -> str:
    """Attempts and feedback as the prompt shows them; an attempt that was given feedback again is not repeated."""
    parts: list[str] = []
    before, number = None, 0
    for attempt, feedback in said:
        if attempt != before:
            number += 1
            parts.append(f"Attempt {number}:\n{attempt.strip() or '(the reply was empty)'}")
        parts.append(f"Feedback on attempt {number}:\n{feedback.strip()}")
        before = attempt
    return "\n\n".join(parts)
