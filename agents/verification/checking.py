"""Checks: single yes/no questions about an attempt, and the channels that answer them without having seen it.

Source: DeepVerifier (arXiv 2601.15808), its verification agent: one source and question at a time, a brief explanation, a
short answer. Without a source of its own a verifier degenerates (the paper's ablation), so each channel but ``model`` brings
evidence that the solver did not write. Whatever goes wrong on the way to the evidence makes the answer ``unknown``.
"""

from __future__ import annotations

from typing import Annotated, Literal, Protocol

from pydantic import AfterValidator, BaseModel, ConfigDict

from phronesis.agents.scorers.table import ScorerContext
from phronesis.core.chat import Sampling
from phronesis.core.site import Site
from phronesis.core.task import Task

Channel = Literal["auto", "agent", "search", "program", "model"]
Said = Literal["yes", "no", "unknown"]


class _Value(BaseModel):
    model_config = ConfigDict(frozen=True)


def asks_something(text: str) -> str:
    """The text. Raises ValueError where it has no words, as the dots of a form that was copied."""
    if not any(char.isalnum() for char in text):
        raise ValueError(f"{text!r} asks nothing")
    return text


WHOLE = "the whole task"
"""Source of the check that asks about the answer itself."""


class Check(_Value):
    """A question whose yes speaks for the answer, and what settles it."""

    source: str
    question: Annotated[str, AfterValidator(asks_something)]


class CheckAnswer(_Value):
    """What came of a check."""

    answer: Said
    explanation: str = ""
    evidence: str = ""
    """What the checker saw, shortened."""
    by: str = ""
    """The channel."""


class Checker(Protocol):
    """Answers one check at a time."""

    @property
    def most_calls(self) -> int:
        """Of one check."""
        ...

    async def check(self, task: Task, check: Check, *, site: Site) -> CheckAnswer:
        """Raises ModelError, BudgetExhausted, AwaitingAnswer."""
        ...


def checker(around: ScorerContext, channel: Channel, *, steps: int, max_tokens: int) -> Checker:
    """The checker of a channel; ``auto``: an agent where there are tools, a search where there are documents, else a
    program."""
    if channel == "auto":
        channel = "agent" if around.tools is not None else "search" if around.search is not None else "program"
    sampling = around.sampling("checker", Sampling(temperature=0.0, top_p=1.0, max_tokens=max_tokens))
    client = around.client("checker")
    if channel == "agent":
        from phronesis.agents.verification.agent_check import AgentChecker

        return AgentChecker(client=client, sampling=sampling, tools=around.tools, steps=steps)
    if channel == "search":
        from phronesis.agents.verification.search_check import SearchChecker

        return SearchChecker(client=client, sampling=sampling, search=around.search)
    if channel == "program":
        from phronesis.agents.verification.program_check import ProgramChecker

        return ProgramChecker(client=client, sampling=sampling, programs=around.programs)
    from phronesis.agents.verification.model_check import ModelChecker

    return ModelChecker(client=client, sampling=sampling)


def checker_calls(channel: Channel, *, steps: int) -> tuple[int, int]:
    """(most calls, longest chain) of one check, before the surroundings are known."""
    most = {"model": 2, "program": 1, "search": 2, "agent": steps + 2, "auto": steps + 2}[channel]
    return most, most
