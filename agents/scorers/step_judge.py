"""The judge step by step: how likely the model finds each step right, given the ones before it.

The prompt grows at its end only (problem, steps so far, one more step), and the steps of an attempt are asked for in order,
so that a server's prefix cache holds all but the newest step. Source: the yes/no stand-in for process reward models
(specification of sampling methods, stand-in S1); the order is ours.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pydantic import Field

from phronesis.agents.prompt import load_prompt
from phronesis.agents.scorers.table import ScorerCalls, ScorerEntry, ScorerOptions
from phronesis.core.chat import ChatRequest
from phronesis.core.ports import ChatClient
from phronesis.core.result import Candidate
from phronesis.core.site import Site
from phronesis.core.task import Task

GOOD, BAD = "Yes", "No"


class StepJudgeOptions(ScorerOptions):
    """What can be set."""

    most_steps: int = Field(default=12, ge=1)
    """Steps judged singly; what follows is judged together with the last of them."""


@dataclass(frozen=True, kw_only=True)
class StepJudge:
    """P(Yes) of each step, in [0, 1]. As many calls as steps, one after another."""

    client: ChatClient
    most_steps: int = 12
    name: str = "step_judge"

    def calls_for(self, candidate: Candidate) -> int:
        return min(len(candidate.steps), self.most_steps)

    def request(self, task: Task, steps: Sequence[str]) -> ChatRequest:
        """Asks about the last of the steps."""
        values = {"question": task.question, "steps": "\n".join(steps)}
        messages, prefill = load_prompt("step_judge").fill(values, history=task.history)
        return ChatRequest(messages=messages, prefill=prefill)

    async def score(self, task: Task, candidate: Candidate, *, site: Site) -> tuple[float, ...]:
        scores: list[float] = []
        judged = self.calls_for(candidate)
        for index in range(judged):
            end = index + 1 if index + 1 < judged else len(candidate.steps)
            request = self.request(task, candidate.steps[:end])
            found = await self.client.label_probabilities(
                request, (GOOD, BAD), site=site.as_role("judge").at(f"s{index}")
            )
            scores.append(found.probabilities[GOOD])
        return (*scores, *scores[-1:] * (len(candidate.steps) - judged))


ENTRY = ScorerEntry(
    name="step_judge",
    kind="step",
    summary="P(Yes) to 'is this step right?' for each step, no reasoning; 1 call a step",
    build=lambda around, options: StepJudge(client=around.client("judge"), most_steps=options.most_steps),
    options=StepJudgeOptions,
    calls=lambda options: ScorerCalls(step=1, most_steps=options.most_steps),
    roles=lambda options: {"judge": ("logprobs", "prefill")},
)
