"""Programmer: writes a program whose result is the answer, and mends one that failed (program of thoughts, 2211.12588)."""

from __future__ import annotations

from dataclasses import dataclass

from phronesis.agents.prompt import load_prompt
from phronesis.core.chat import ChatRequest, Reply, Sampling
from phronesis.core.ports import ChatClient
from phronesis.core.site import Site
from phronesis.core.task import AnswerFormat, Task

RETURN_INSTRUCTIONS: dict[AnswerFormat, str] = {
    "number": "It returns a number.",
    "choice": "It returns the letter of the right choice as a string.",
    "text": "It returns the answer as a short string.",
    "code": "It returns the source as a string.",
    "latex": "It returns the answer as a number, or as a string of LaTeX.",
}
_STOP = ("\n```",)


@dataclass(frozen=True, kw_only=True)
class Programmer:
    """Asks for ``solution()``. The reply starts inside the code block, so a server that continues a turn is needed."""

    client: ChatClient
    sampling: Sampling
    logprobs: int = 0

    def request(self, task: Task, format: AnswerFormat, memory: str = "") -> ChatRequest:
        """What is sent for a new program."""
        values = {"question": task.question, "return_instruction": RETURN_INSTRUCTIONS[format], "memory": memory}
        messages, prefill = load_prompt("program").fill(values, history=task.history)
        return ChatRequest(
            messages=messages, prefill=prefill, sampling=self.sampling, stop=_STOP, logprobs=self.logprobs
        )

    async def sample(
        self, task: Task, format: AnswerFormat, n: int, *, site: Site, memory: str = ""
    ) -> tuple[Reply, ...]:
        """n programs in index order, failures as values. n calls, depth 1."""
        return await self.client.sample(self.request(task, format, memory), n, site=site)

    async def repair(self, task: Task, format: AnswerFormat, program: str, error: str, *, site: Site) -> Reply:
        """The program written again in view of its error. 1 call. Raises BudgetExhausted."""
        values = {
            "question": task.question,
            "program": program,
            "error": error,
            "return_instruction": RETURN_INSTRUCTIONS[format],
        }
        messages, prefill = load_prompt("program_repair").fill(values, history=task.history)
        request = ChatRequest(messages=messages, prefill=prefill, sampling=self.sampling, stop=_STOP)
        (reply,) = await self.client.sample(request, 1, site=site)
        return reply


def program_of(text: str) -> str:
    """The program of a reply that began inside the code block: up to the block's end, the function's head before it."""
    body = text.split("\n```")[0].rstrip()
    return f"def solution():\n{body.lstrip(chr(10))}\n"
