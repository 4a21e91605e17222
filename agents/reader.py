"""Reader: answers a question from passages, and says which of them it used."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from phronesis.agents.passages import numbered
from phronesis.agents.prompt import load_prompt
from phronesis.agents.solver import ANSWER_INSTRUCTIONS
from phronesis.core.chat import ChatRequest, Reply, Sampling
from phronesis.core.ports import ChatClient
from phronesis.core.retrieval import Passage
from phronesis.core.site import Site
from phronesis.core.task import AnswerFormat, Task

INSTRUCTIONS: dict[AnswerFormat, str] = {
    **ANSWER_INSTRUCTIONS,
    "text": 'Then write a last line that begins with "Answer:" and gives only the few words that answer the question, '
    "not a sentence.",
}
"""How an answer from passages ends: short ones are compared word by word."""


@dataclass(frozen=True, kw_only=True)
class Reader:
    """One prompt: demonstrations, passages, memory, question."""

    client: ChatClient
    sampling: Sampling
    characters: int = 1500
    """Of a passage at the most."""
    best_last: bool = False
    """Passages in reverse order of rank."""
    closed: bool = False
    """A closed book: the prompt speaks of no passages, where others say that none was found."""

    def request(
        self,
        task: Task,
        format: AnswerFormat,
        passages: Sequence[Passage],
        *,
        memory: str = "",
        demonstrations: str = "",
    ) -> ChatRequest:
        """What is sent. ``demonstrations``: rendered examples, a prefix that is the same for every task."""
        values = {
            "demonstrations": demonstrations,
            "memory": memory,
            "question": task.question,
            "answer_instruction": INSTRUCTIONS[format],
        }
        if not self.closed:
            shown = numbered(passages, characters=self.characters, best_last=self.best_last)
            values["passages"] = shown or "(No passage was found.)"
        prompt = load_prompt("reader_closed" if self.closed else "reader")
        messages, _ = prompt.fill(values, history=task.history)
        return ChatRequest(messages=messages, sampling=self.sampling)

    async def read(
        self,
        task: Task,
        format: AnswerFormat,
        passages: Sequence[Passage],
        *,
        site: Site,
        memory: str = "",
        demonstrations: str = "",
    ) -> Reply:
        """The reply, or the failure in its place. 1 call. Raises BudgetExhausted."""
        request = self.request(task, format, passages, memory=memory, demonstrations=demonstrations)
        (reply,) = await self.client.sample(request, 1, site=site)
        return reply
