"""Solver: draws attempts at a task."""

from __future__ import annotations

from dataclasses import dataclass

from phronesis.agents.prompt import load_prompt
from phronesis.core.chat import ChatRequest, Reply, Sampling
from phronesis.core.ports import ChatClient
from phronesis.core.site import Site
from phronesis.core.task import AnswerFormat, Task

ANSWER_INSTRUCTIONS: dict[AnswerFormat, str] = {
    "number": "End with the final number, without a unit, in \\boxed{}.",
    "choice": "End with the letter of the right choice in \\boxed{}.",
    "text": "End with the final answer, as short as possible, in \\boxed{}.",
    "latex": "End with the final answer in LaTeX, as simple as possible, in \\boxed{}.",
    "code": "End with it in one fenced block, and write nothing after the block.",
}


@dataclass(frozen=True, kw_only=True)
class Solver:
    """Asks for an attempt in numbered steps."""

    client: ChatClient
    sampling: Sampling
    prefilled: bool = False
    """The reply starts with ``Step 1:``, so that the chain comes out in steps; needs a server that continues a turn."""
    logprobs: int = 0
    """Alternatives per token to ask for; 1 = the chosen token's only."""

    def request(self, task: Task, format: AnswerFormat, memory: str = "") -> ChatRequest:
        """What is sent; the memory section, when there is one, stands before the question."""
        plain = "solver_code" if format == "code" else "solver"
        prompt = load_prompt("solver_steps" if self.prefilled else plain)
        values = {"question": task.question, "answer_instruction": ANSWER_INSTRUCTIONS[format], "memory": memory}
        messages, prefill = prompt.fill(values, history=task.history)
        return ChatRequest(messages=messages, prefill=prefill, sampling=self.sampling, logprobs=self.logprobs)

    async def sample(
        self, task: Task, format: AnswerFormat, n: int, *, site: Site, memory: str = ""
    ) -> tuple[Reply, ...]:
        """n attempts in index order, failures as values. n calls, depth 1."""
        return await self.client.sample(self.request(task, format, memory), n, site=site)
