"""Retrier: another attempt in the light of the last one and of what a check made of it (ArcMemo, arXiv 2509.04439, retries
with feedback)."""

from __future__ import annotations

from dataclasses import dataclass

from phronesis.agents.prompt import load_prompt
from phronesis.agents.solver import ANSWER_INSTRUCTIONS, Solver
from phronesis.core.chat import ChatRequest, Reply
from phronesis.core.result import Candidate
from phronesis.core.site import Site
from phronesis.core.task import AnswerFormat, Message, Task


@dataclass(frozen=True, kw_only=True)
class Retrier:
    """The solver once more: its own prompt, the last attempt only, and the outcome of the check."""

    solver: Solver

    def request(
        self, task: Task, format: AnswerFormat, attempt: str, outcome: str, *, memory: str = "", again: str = ""
    ) -> ChatRequest:
        """``memory``: the section of the first prompt, which stays; ``again``: one recalled for this retry."""
        first = self.solver.request(task, format, memory)
        said = Message(role="assistant", content=attempt.strip() or "(the reply was empty)")
        values = {"outcome": outcome, "memory": again, "answer_instruction": ANSWER_INSTRUCTIONS[format]}
        messages, _ = load_prompt("retry").fill(values, history=(*first.messages, said))
        return ChatRequest(messages=messages, sampling=first.sampling, logprobs=first.logprobs)

    async def retry(
        self,
        task: Task,
        format: AnswerFormat,
        attempt: str,
        outcome: str,
        *,
        site: Site,
        memory: str = "",
        again: str = "",
    ) -> Reply:
        """The new attempt, or the failure in its place. 1 call. Raises BudgetExhausted."""
        request = self.request(task, format, attempt, outcome, memory=memory, again=again)
        (reply,) = await self.solver.client.sample(request, 1, site=site)
        return reply


def outcome_of(candidate: Candidate, threshold: float) -> str:
    """What the check made of an attempt, in words: that it cannot be read, or its score and the steps below the threshold."""
    if candidate.answer is None:
        return "No final answer could be read in it; it must be marked as asked for."
    if candidate.reward is None:
        return "It could not be checked."
    said = f"A check gives it {candidate.reward:.2f} of 1; at least {threshold:.2f} is needed."
    low = [
        f'"{step.strip()}"'
        for step, score in zip(candidate.steps, candidate.step_scores, strict=False)
        if score < threshold
    ]
    return f"{said} Doubtful: {'; '.join(low)}." if low else said
