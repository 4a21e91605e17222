"""Rubric writer: criteria for one task, written before any solution is seen and checked before they are used.

Source: ours, after self-generated principles (SPCT, arXiv 2504.02495).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from phronesis.agents.check_code import code_of, coded
from phronesis.agents.decode import ask
from phronesis.agents.prompt import load_prompt
from phronesis.agents.verification.rubric import Choice, Criterion, Rubric
from phronesis.core.chat import ChatRequest, Sampling
from phronesis.core.ports import ChatClient
from phronesis.core.site import Site
from phronesis.core.task import Task

LEVELS = ("poor", "partly", "good")
_WHOLE = re.compile(
    r"^\W*(?:is|was) (?:the |this )?(?:final )?(?:answer|solution|result)\b[\w ]*\b(?:correct|right|true|wrong)\W*$",
    re.IGNORECASE,
)


class _Value(BaseModel):
    model_config = ConfigDict(frozen=True)


class _Written(_Value):
    name: str = Field(min_length=1)
    question: str = Field(min_length=1)
    importance: int = Field(ge=1, le=5)
    poor: str
    partly: str
    good: str

    @field_validator("question")
    @classmethod
    def _about_something(cls, value: str) -> str:
        if _WHOLE.match(value):
            raise ValueError("it only asks whether the answer is right")
        return value


class _Criteria(_Value):
    check: str
    criteria: tuple[_Written, ...] = Field(min_length=2, max_length=6)

    @model_validator(mode="after")
    def _different(self) -> Self:
        for what in ("name", "question"):
            said = [" ".join(getattr(item, what).split()).casefold() for item in self.criteria]
            twice = next((text for text in said if said.count(text) > 1), None)
            if twice is not None:
                raise ValueError(f"two criteria have the {what} {twice!r}")
        return self


@dataclass(frozen=True, kw_only=True)
class RubricWriter:
    """Sees the task only."""

    client: ChatClient
    sampling: Sampling

    async def write(self, task: Task, *, site: Site) -> Rubric:
        """Two to six criteria with three levels each, weighted by importance. 1 call, or 2 where the first does not hold.
        Raises ModelError, MalformedReply among them; BudgetExhausted."""
        code = code_of(task.question)
        messages, _ = load_prompt("rubric_writer").fill({"question": task.question, "code": code}, history=task.history)
        found = await ask(
            self.client, ChatRequest(messages=messages, sampling=self.sampling), coded(_Criteria, code), site=site
        )
        total = sum(item.importance for item in found.criteria)
        criteria = [
            Criterion(
                name=item.name,
                question=item.question,
                weight=item.importance / total,
                choices=tuple(Choice(name=level, means=getattr(item, level)) for level in LEVELS),
            )
            for item in found.criteria
        ]
        return Rubric(name=f"for {task.id}", criteria=tuple(criteria))
