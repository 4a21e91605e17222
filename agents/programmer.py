"""Programmer: writes a program whose result is the answer, and mends one that failed (program of thoughts, 2211.12588)."""

from __future__ import annotations

import ast
import re
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
_LINE_END = re.compile(r"\r\n|\r|\n")
"""What ends a line of Python; ``str.splitlines`` knows more."""
_DEFINING = (
    ast.FunctionDef,
    ast.AsyncFunctionDef,
    ast.ClassDef,
    ast.Import,
    ast.ImportFrom,
    ast.Assign,
    ast.AnnAssign,
    ast.AugAssign,
)
"""Statements beside ``solution()`` that belong to it."""


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
    """The program of a reply that began inside the code block: up to the block's end, the function's head before it.

    What stands beside ``solution()`` and defines nothing goes: its result is wanted, and small models write tests with
    made-up values behind it. A text that is no Python stays as it is."""
    body = text.split("\n```")[0].rstrip()
    return _definitions(f"def solution():\n{body.lstrip(chr(10))}\n")


def _definitions(program: str) -> str:
    try:
        statements = ast.parse(program).body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return program
    dropped = {number for item in statements if not isinstance(item, _DEFINING) for number in _lines(item)}
    kept = {number for item in statements if isinstance(item, _DEFINING) for number in _lines(item)}
    lines = _LINE_END.split(program)
    return "\n".join(line for number, line in enumerate(lines, 1) if number not in dropped - kept).rstrip() + "\n"


def _lines(item: ast.stmt) -> range:
    return range(item.lineno, (item.end_lineno or item.lineno) + 1)
