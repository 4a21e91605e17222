"""Refiner: rewrites an attempt in the light of a review (MAgICoRe's third agent).

Its prompt begins as the reviewer's of the same chain does, to the last score, so that a server with a prefix cache reads
that part once for both.
"""

from __future__ import annotations

from dataclasses import dataclass

from phronesis.agents.prompt import load_prompt
from phronesis.agents.solver import ANSWER_INSTRUCTIONS
from phronesis.core.chat import ChatRequest, Reply, Sampling
from phronesis.core.ports import ChatClient
from phronesis.core.site import Site
from phronesis.core.task import AnswerFormat, Task


@dataclass(frozen=True, kw_only=True)
class Refiner:
    """Asks for a revised solution, primed with its heading."""

    client: ChatClient
    sampling: Sampling
    prefilled: bool = True
    logprobs: int = 0

    def request(self, task: Task, format: AnswerFormat, annotated: str, feedback: str) -> ChatRequest:
        """The task's own answer format is asked for, whatever it is."""
        values = {
            "question": task.question,
            "annotated": annotated,
            "feedback": feedback,
            "answer_instruction": ANSWER_INSTRUCTIONS[format],
        }
        messages, prefill = load_prompt("refiner").fill(values, history=task.history)
        return ChatRequest(
            messages=messages,
            prefill=prefill if self.prefilled else "",
            sampling=self.sampling,
            logprobs=self.logprobs,
            stop=("\nReview:", "\nProblem:"),
        )

    async def refine(self, task: Task, format: AnswerFormat, annotated: str, feedback: str, *, site: Site) -> Reply:
        """The revised attempt, or the failure in its place. 1 call. Raises BudgetExhausted."""
        (reply,) = await self.client.sample(self.request(task, format, annotated, feedback), 1, site=site)
        return reply
