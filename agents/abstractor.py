"""Abstractor: turns an accepted solution into one reusable concept (ArcMemo's open-ended form, arXiv 2509.04439)."""

from __future__ import annotations

import re
from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict, Field, field_validator

from phronesis.agents.decode import ask
from phronesis.agents.prompt import load_prompt
from phronesis.core.chat import ChatRequest, Sampling
from phronesis.core.concept import Concept
from phronesis.core.ports import ChatClient
from phronesis.core.site import Site
from phronesis.core.task import Message, Task

_FIGURE = re.compile(r"\d(?:[\d.,/]*\d)?")


class Lesson(BaseModel):
    """The reply that is asked for."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    situation: str = Field(min_length=8, max_length=600)
    """What to look for in a new problem."""
    suggestion: str = Field(min_length=8, max_length=600)
    """What to do then."""

    @field_validator("situation", "suggestion")
    @classmethod
    def _general(cls, value: str) -> str:
        """A lesson with figures is a copy of a problem, not an abstraction of it; the masks of its numbers become words."""
        figures = _FIGURE.findall(value)
        if figures:
            raise ValueError(f"it holds the figure {figures[0]!r}; say it in general words")
        return re.sub(r"(?:# ?)+", "some ", value).strip()


def masked(text: str) -> str:
    """The text with # for every number, so that a small model cannot copy what it should abstract from."""
    return _FIGURE.sub("#", text)


@dataclass(frozen=True, kw_only=True)
class Abstractor:
    """One lesson per accepted solution; the model sees problem and solution with their numbers masked (ours). Earlier turns
    are shown too, the system message is not: it tells how to answer, not what was asked."""

    client: ChatClient
    sampling: Sampling

    async def abstract(self, task: Task, solution: str, *, site: Site) -> Concept:
        """The concept. 1 call, 2 after a re-ask. Raises MalformedReply, ModelError, BudgetExhausted."""
        values = {"question": masked(task.question), "solution": masked(solution)}
        turns = [turn for turn in task.history if turn.role != "system"]
        history = [Message(role=turn.role, content=masked(turn.content)) for turn in turns]
        messages, prefill = load_prompt("abstractor").fill(values, history=history)
        request = ChatRequest(messages=messages, prefill=prefill, sampling=self.sampling)
        lesson = await ask(self.client, request, Lesson, site=site)
        return Concept(situation=lesson.situation, suggestion=lesson.suggestion, source=task.id)
