"""Abstractor, open-ended form (ArcMemo, arXiv 2509.04439): turns solutions into lessons of a situation and a suggestion.

Beside a solution alone it reads two attempts at one task, the accepted one and one that came to another answer
(self-contrast over the samples there are: ReasoningBank's MaTTS, arXiv 2509.25140), or one attempt that a test refuted.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, field_validator

from phronesis.agents.decode import ask
from phronesis.agents.masking import Mask, general
from phronesis.agents.prompt import load_prompt
from phronesis.core.chat import ChatRequest, Sampling
from phronesis.core.concept import Concept
from phronesis.core.ports import ChatClient
from phronesis.core.site import Site
from phronesis.core.task import Message, Task

MOST_LESSONS = 3
"""Most lessons of one task (ReasoningBank's)."""


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
        return general(value)


class Lessons(BaseModel):
    """The reply where several may come."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    lessons: tuple[Lesson, ...] = Field(min_length=1, max_length=12)
    """The most useful first; what is beyond the number asked for is left out."""


def mask_of(task: Task) -> Mask:
    """Hides the numbers and names of the whole conversation."""
    return Mask.of("\n".join([*(turn.content for turn in task.history if turn.role != "system"), task.question]))


def shown(
    task: Task, name: str, sampling: Sampling, values: dict[str, str], kept: Mapping[str, str] = MappingProxyType({})
) -> ChatRequest:
    """A request about a task; question and ``values`` with numbers and names masked, ``kept`` as it is. Earlier turns are
    shown too, the system message is not: it tells how to answer, not what was asked. The solver's memory section is never
    part of it."""
    turns = [turn for turn in task.history if turn.role != "system"]
    mask = mask_of(task)
    history = [Message(role=turn.role, content=mask(turn.content)) for turn in turns]
    values = {"question": task.question, **values}
    masked = {key: mask(value) for key, value in values.items()}
    messages, prefill = load_prompt(name).fill({**masked, **kept}, history=history)
    return ChatRequest(messages=messages, prefill=prefill, sampling=sampling)


@dataclass(frozen=True, kw_only=True)
class Abstractor:
    """The model sees problem and attempts with their numbers and names masked (ours). Each method makes 1 call, 2 after a
    re-ask, and raises MalformedReply, ModelError or BudgetExhausted; nothing is filled in for a reply that cannot be read."""

    client: ChatClient
    sampling: Sampling
    lessons: int = 1
    """Most lessons of one task, 1 to MOST_LESSONS."""

    async def abstract(self, task: Task, solution: str, *, site: Site) -> tuple[Concept, ...]:
        """What the solution teaches: at least one concept."""
        values = {"solution": solution}
        if self.lessons > 1:
            return await self._several("abstractor_lessons", task, values, site)
        request = shown(task, "abstractor", self.sampling, values)
        return (_concept(await ask(self.client, request, Lesson, site=site), task),)

    async def contrast(self, task: Task, accepted: str, rejected: str, *, site: Site) -> tuple[Concept, ...]:
        """What separates the accepted attempt from one that came to another answer: at least one concept."""
        values = {"accepted": accepted, "rejected": rejected}
        return await self._several("abstractor_contrast", task, values, site)

    async def pitfall(self, task: Task, attempt: str, outcome: str, *, site: Site) -> tuple[Concept, ...]:
        """The mistake in an attempt that a test refuted, as one concept of kind ``pitfall``. ``outcome``: the test's."""
        values = {"attempt": attempt, "outcome": outcome}
        request = shown(task, "abstractor_pitfall", self.sampling, values)
        lesson = await ask(self.client, request, Lesson, site=site)
        return (_concept(lesson, task, kind="pitfall"),)

    async def _several(self, name: str, task: Task, values: dict[str, str], site: Site) -> tuple[Concept, ...]:
        request = shown(task, name, self.sampling, values, {"lessons": _IN_WORDS[self.lessons]})
        found = await ask(self.client, request, Lessons, site=site)
        return tuple(_concept(lesson, task) for lesson in found.lessons[: self.lessons])


def _concept(lesson: Lesson, task: Task, **more: Any) -> Concept:
    return Concept(situation=lesson.situation, suggestion=lesson.suggestion, source=task.id, **more)


_IN_WORDS = {1: "one lesson", 2: "two lessons", 3: "three lessons"}
