"""Judge of DeepVerifier: a score of 1 to 4 with its explanation first.

Source: DeepVerifier (arXiv 2601.15808), appendix B. It sees the summary and the checks, never the trajectory itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict

from phronesis.agents.bounded import Brief
from phronesis.agents.check_code import code_of, coded
from phronesis.agents.decode import ask
from phronesis.agents.passages import shortened
from phronesis.agents.prompt import load_prompt
from phronesis.agents.verification.checking import Check, CheckAnswer
from phronesis.agents.verification.decomposition import Synopsis
from phronesis.core.chat import ChatRequest, Sampling, completion_of
from phronesis.core.errors import MalformedReply
from phronesis.core.ports import ChatClient
from phronesis.core.site import Site
from phronesis.core.task import Task

SCALE = ("1", "2", "3", "4")
"""Entirely wrong, mostly wrong, mostly right, entirely right."""
_FORM = (
    "First explain in one or two sentences what the checks say about the answer. Then give the score: 4 = entirely right, "
    "3 = mostly right, 2 = mostly wrong, 1 = entirely wrong. A check that says no weighs most.\n"
    "Reply with JSON in this form, with the same check:\n"
    '{{"check": "{code}", "explanation": "what the checks say", "score": 1 or 2 or 3 or 4}}'
)
_OPEN_FORM = (
    "Explain in one or two sentences what the checks say about the answer. A check that says no weighs most. Then give the "
    "score: 4 = entirely right, 3 = mostly right, 2 = mostly wrong, 1 = entirely wrong."
)
Score = Annotated[Literal[1, 2, 3, 4], BeforeValidator(lambda value: int(value) if value in SCALE else value)]


class _Value(BaseModel):
    model_config = ConfigDict(frozen=True)


class Judgement(_Value):
    """The judge's reply."""

    check: str = ""
    explanation: Brief
    score: Score


def shown_checks(checks: Sequence[tuple[Check, CheckAnswer]]) -> str:
    """Questions, answers and why, as prompts show them."""
    lines = [
        f"{number}. {check.question} ({check.source})\n   {said.answer}: {shortened(said.explanation, 300)}"
        for number, (check, said) in enumerate(checks, 1)
    ]
    return "\n".join(lines) or "(nothing was checked)"


@dataclass(frozen=True, kw_only=True)
class DeepJudge:
    """Sees the task, the answer, the summary and all checks."""

    client: ChatClient
    sampling: Sampling

    def request(
        self, task: Task, answer: str, synopsis: Synopsis, checks: Sequence[tuple[Check, CheckAnswer]], form: str
    ) -> ChatRequest:
        values = {
            "question": task.question,
            "answer": shortened(answer, 1500),
            "synopsis": synopsis.text,
            "checks": shown_checks(checks),
            "levels": "",
            "form": form,
            "opening": "",
        }
        messages, _ = load_prompt("deep_judge").fill(values, history=task.history)
        return ChatRequest(messages=messages, sampling=self.sampling)

    async def judge(
        self, task: Task, answer: str, synopsis: Synopsis, checks: Sequence[tuple[Check, CheckAnswer]], *, site: Site
    ) -> Judgement:
        """1 call, or 2 where the first cannot be read. Raises ModelError, BudgetExhausted."""
        code = code_of(f"{answer}\n{synopsis.text}\n{shown_checks(checks)}")
        request = self.request(task, answer, synopsis, checks, _FORM.format(code=code))
        return await ask(self.client, request, coded(Judgement, code), site=site)

    async def expect(
        self, task: Task, answer: str, synopsis: Synopsis, checks: Sequence[tuple[Check, CheckAnswer]], *, site: Site
    ) -> tuple[float, str]:
        """The expected score in [1, 4] by the probabilities of the four digits behind a written explanation, and that
        explanation. 2 calls. Raises ModelError, BudgetExhausted, CapabilityMissing."""
        request = self.request(task, answer, synopsis, checks, _OPEN_FORM)
        opened = ChatRequest(
            messages=request.messages, sampling=self.sampling, prefill="The checks say that", stop=("\nScore", "Score:")
        )
        (reply,) = await self.client.sample(opened, 1, site=site)
        said = f"{opened.prefill} {completion_of(reply).text.strip()}".strip()
        if said == opened.prefill:
            raise MalformedReply("the judge's explanation is empty", reason="empty")
        ended = ChatRequest(messages=request.messages, sampling=self.sampling, prefill=f"{said}\nScore:")
        found = await self.client.label_probabilities(ended, SCALE, site=site.at("score"))
        return sum(int(digit) * found.probabilities[digit] for digit in SCALE), said
