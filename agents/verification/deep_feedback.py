"""Feedback writer of DeepVerifier: what went wrong by the checks, and what to do about it.

Source: DeepVerifier (arXiv 2601.15808), appendix B: a reflection and at most three instructions; they may state the answer
where the checks show it. Ours: without ``suggest`` the next attempt gets no number from a check. A small model's check is
often wrong, and told its number, the solver finds a way to come to it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict

from phronesis.agents.bounded import Brief, few
from phronesis.agents.check_code import code_of, coded
from phronesis.agents.decode import ask
from phronesis.agents.passages import shortened
from phronesis.agents.prompt import load_prompt
from phronesis.agents.sentences import sentences
from phronesis.agents.verification.checking import Check, CheckAnswer
from phronesis.agents.verification.claimed_numbers import derived_numbers, masked
from phronesis.agents.verification.deep_judge import shown_checks
from phronesis.core.chat import ChatRequest, Sampling
from phronesis.core.ports import ChatClient
from phronesis.core.site import Site
from phronesis.core.task import Task

ANEW = "A check did not come to the same. Work the task out anew, step by step, from what it says."
"""What is told where nothing that was written may be."""


class Feedback(BaseModel):
    """The feedback writer's reply."""

    model_config = ConfigDict(frozen=True)

    check: str
    reflection: Brief
    instructions: tuple[Brief, ...] = few(3, least=1)
    suggested_answer: str = ""

    def text(self) -> str:
        """As the next attempt is told it, three instructions at the most, and the answer where one is suggested."""
        lines = [shortened(self.reflection, 800), *_numbered(shortened(item, 400) for item in self.instructions[:3])]
        if self.suggested_answer.strip():
            lines.append(f"The answer may be: {shortened(self.suggested_answer, 200)}")
        return "\n".join(lines)

    def without_answers(self, known: str) -> str:
        """The same less every sentence with a number that what is known does not have; ``ANEW`` where none is left."""
        reflection, *instructions = (_unrevealing(item, known) for item in (self.reflection, *self.instructions[:3]))
        lines = [shortened(reflection, 800), *_numbered(shortened(item, 400) for item in instructions if item)]
        return "\n".join(line for line in lines if line) or ANEW


def _numbered(items: Iterable[str]) -> list[str]:
    return [f"{number}. {item}" for number, item in enumerate(items, 1)]


def _unrevealing(text: str, known: str) -> str:
    return " ".join(sentence for sentence in sentences(text) if not derived_numbers(sentence, known))


@dataclass(frozen=True, kw_only=True)
class FeedbackWriter:
    """Is told that the answer is wrong; sees what the judge saw."""

    client: ChatClient
    sampling: Sampling
    suggest: bool = True
    """Whether it may state the answer where the checks already show it, as the paper allows. Without, numbers that neither
    the task nor the attempt has are kept from the writer, and from the next attempt."""

    async def write(
        self, task: Task, answer: str, synopsis: str, checks: Sequence[tuple[Check, CheckAnswer]], *, site: Site
    ) -> str:
        """Reflection and at most three instructions. 1 call, or 2. Raises ModelError, BudgetExhausted."""
        known = f"{task.question}\n{answer}\n{synopsis}"
        shown = shown_checks(checks if self.suggest else [(check, _hidden(said, known)) for check, said in checks])
        code = code_of(f"{answer}\n{synopsis}\n{shown}")
        values = {
            "question": task.question,
            "answer": shortened(answer, 1500),
            "synopsis": synopsis,
            "checks": shown,
            "suggest": (
                " If the checks already show what the answer is, say it; else leave it empty." if self.suggest else ""
            ),
            "suggest_key": ', "suggested_answer": ""' if self.suggest else "",
            "code": code,
        }
        messages, _ = load_prompt("deep_feedback").fill(values, history=task.history)
        request = ChatRequest(messages=messages, sampling=self.sampling)
        found = await ask(self.client, request, coded(Feedback, code), site=site)
        return found.text() if self.suggest else found.without_answers(known)


def _hidden(said: CheckAnswer, known: str) -> CheckAnswer:
    return said.model_copy(update={"explanation": masked(said.explanation, known)})
