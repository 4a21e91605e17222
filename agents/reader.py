"""Reader: answers a question from passages, and says which of them it used."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from pydantic import BaseModel, ConfigDict, Field
from pydantic.config import JsonDict

from phronesis.agents.decode import decode
from phronesis.agents.passages import numbered
from phronesis.agents.prompt import load_prompt
from phronesis.agents.solver import ANSWER_INSTRUCTIONS
from phronesis.core.chat import ChatRequest, Completion, Reply, Sampling
from phronesis.core.errors import MalformedReply
from phronesis.core.ports import ChatClient
from phronesis.core.retrieval import Passage
from phronesis.core.site import Site
from phronesis.core.task import AnswerFormat, Task

_SHAPES: dict[AnswerFormat, str] = {
    "text": "only a name, a place, a date, a number, yes or no: at most five words, unless the question asks for more",
    "number": "only the final number, without a unit",
    "choice": "only the letter of the right choice",
}
"""Formats whose answers are short: they are asked for in a field of their own, where small models keep them short."""


class _Answered(BaseModel):
    """What a short answer is replied as (SPARC-RAG's answer generator, arXiv 2602.00083)."""

    model_config = ConfigDict(frozen=True)

    reasoning: str = ""
    sources: list[int] = []
    answer: str = Field(min_length=1)

    @property
    def text(self) -> str:
        """As a text: reasoning with its sources, and the answer in a last line."""
        named = " ".join(f"[{number}]" for number in dict.fromkeys(self.sources))
        said = " ".join(part for part in (" ".join(self.reasoning.split()), named) if part)
        return f"{said}\nAnswer: {' '.join(self.answer.split())}".strip()


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
            "order": _order(format, closed=self.closed),
        }
        if not self.closed:
            shown = numbered(passages, characters=self.characters, best_last=self.best_last)
            values["passages"] = shown or "(No passage was found.)"
        prompt = load_prompt("reader_closed" if self.closed else "reader")
        messages, _ = prompt.fill(values, history=task.history)
        schema = _schema(0 if self.closed else len(passages)) if format in _SHAPES else None
        return ChatRequest(messages=messages, sampling=self.sampling, reply_schema=schema)

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
        """The reply as a text that ends in the answer, or the failure in its place. 1 call. Raises BudgetExhausted."""
        request = self.request(task, format, passages, memory=memory, demonstrations=demonstrations)
        (reply,) = await self.client.sample(request, 1, site=site)
        return reply if request.reply_schema is None or not isinstance(reply, Completion) else _plain(reply)


def _plain(reply: Completion) -> Reply:
    """The JSON reply as a text. A reply that is no JSON is read as it stands; JSON that is broken is a failure."""
    try:
        found = decode(reply, _Answered)
    except MalformedReply as error:
        return error if reply.text.lstrip().startswith(("{", "```")) else reply
    return replace(reply, text=found.text, logprobs=None)


def _order(format: AnswerFormat, *, closed: bool) -> str:
    said = "what you know about the question" if closed else "what the passages tell about the question"
    if format not in _SHAPES:
        mark = "" if closed else ", with the number of each passage you use, like [2]"
        return f"First say in one or two short sentences {said}{mark}.\n{ANSWER_INSTRUCTIONS[format]}"
    sources = "" if closed else '"sources" (the numbers of the passages you use) and '
    return (
        f'Reply with JSON: an object with the keys "reasoning" (one short sentence: {said}), {sources}'
        f'"answer" ({_SHAPES[format]}).'
    )


def _schema(count: int) -> JsonDict:
    """Of the reply to a prompt with so many passages; without any there are no sources."""
    text: JsonDict = {"type": "string", "minLength": 1}
    numbers: JsonDict = {"type": "integer", "minimum": 1, "maximum": count}
    sources: JsonDict = {"sources": {"type": "array", "items": numbers, "minItems": 1, "maxItems": min(count, 6)}}
    properties: JsonDict = {"reasoning": {"type": "string"}, **(sources if count else {}), "answer": text}
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }
