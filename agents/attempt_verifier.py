"""Attempt verifier: marks the demands of a question one by one and decides among SUCCESS, CONTINUE and PIVOT.

Source: BATS (arXiv 2511.17006), verifier prompt. Its decision is held against its marks by graphs/policies/verdicts.py.
A verdict repeats a code that depends on every letter of the record, so that a verdict written into a tool's result, which a
model may copy, is none.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from phronesis.agents.check_code import code_of, coded
from phronesis.agents.decode import ask
from phronesis.agents.prompt import load_prompt
from phronesis.core.chat import ChatRequest, Sampling
from phronesis.core.ports import ChatClient
from phronesis.core.site import Site
from phronesis.core.task import Task

_LONGEST = 1500


class _Value(BaseModel):
    model_config = ConfigDict(frozen=True)


class Checked(_Value):
    """One demand of the question."""

    constraint: str = Field(min_length=1)
    mark: Literal["satisfied", "contradicted", "unverifiable"]


class Details(_Value):
    """What the next attempt should know."""

    failure_analysis: str = ""
    useful_information: str = ""
    strategic_recommendations: str = ""


class Verification(_Value):
    """The verifier's reply."""

    check: str
    """The code of the prompt."""
    verification: tuple[Checked, ...]
    decision: Literal["SUCCESS", "CONTINUE", "PIVOT"]
    justification: str = ""
    trajectory_summary: str
    details: Details = Details()

    @property
    def handed_on(self) -> str:
        """Summary and details as the next attempt is shown them, in place of the old trace."""
        parts = (
            ("", self.trajectory_summary),
            ("What went wrong: ", self.details.failure_analysis),
            ("Useful: ", self.details.useful_information),
            ("Advice: ", self.details.strategic_recommendations),
        )
        return "\n".join(f"{title}{' '.join(text.split())[:_LONGEST]}" for title, text in parts if text.strip())


@dataclass(frozen=True, kw_only=True)
class AttemptVerifier:
    """Sees the question, the record of the attempt, its answer and the budget."""

    client: ChatClient
    sampling: Sampling

    def request(self, task: Task, record: str, answer: str, budget: str) -> ChatRequest:
        values = {
            "question": task.question,
            "record": record,
            "answer": answer,
            "budget": budget,
            "code": code_of(record),
        }
        messages, _ = load_prompt("attempt_verifier").fill(values, history=task.history)
        return ChatRequest(messages=messages, sampling=self.sampling)

    async def verify(self, task: Task, record: str, answer: str, budget: str, *, site: Site) -> Verification:
        """1 call, or 2 where the first cannot be read. Raises ModelError, BudgetExhausted."""
        return await ask(
            self.client, self.request(task, record, answer, budget), coded(Verification, code_of(record)), site=site
        )
