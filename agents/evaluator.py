"""Evaluator: whether an answer is right and grounded in its evidence (SPARC-RAG's answer evaluator, arXiv 2602.00083).

The paper trains it to avoid wrong stops. The stand-in is the probability of STOP at the decision, or a written verdict.
A written verdict repeats a code of its prompt, which no document can know. The probability has no such guard: a model that
obeys an order inside the evidence obeys it here too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from phronesis.agents.check_code import code_of, coded
from phronesis.agents.context_manager import listed
from phronesis.agents.decode import ask
from phronesis.agents.prompt import load_prompt
from phronesis.core.chat import ChatRequest, Sampling
from phronesis.core.ports import ChatClient
from phronesis.core.retrieval import Evidence
from phronesis.core.site import Site
from phronesis.core.task import Task

Decider = Literal["probability", "verdict"]


class _Verdict(BaseModel):
    model_config = ConfigDict(frozen=True)

    check: str
    """The code of the prompt."""
    missing: str = ""
    correct: float = Field(ge=0, le=1)
    grounded: float = Field(ge=0, le=1)
    decision: Literal["STOP", "CONTINUE"]


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What was found out of an answer."""

    stop: float
    """Probability of STOP; 1 or 0 where a verdict was written."""
    grounded: float
    """How far the evidence backs it, in [0, 1]."""
    correct: float
    """How far it is right, in [0, 1]."""
    missing: str = ""


@dataclass(frozen=True, kw_only=True)
class Evaluator:
    """Sees the question, the evidence with its sources, and the answer; nothing of how it was found."""

    client: ChatClient
    sampling: Sampling
    decider: Decider = "probability"

    def request(self, task: Task, evidence: Sequence[Evidence], answer: str) -> ChatRequest:
        probability = self.decider == "probability"
        shown = listed(evidence, numbers=True)
        form = (
            "Reply with one word, STOP or CONTINUE."
            if probability
            else f'Reply with JSON: an object with the keys "check" (the text {code_of(shown)}), "missing" (what is missing, '
            'or nothing), "correct" (from 0 to 1), "grounded" (from 0 to 1) and "decision" ("STOP" or "CONTINUE").'
        )
        values = {
            "question": task.question,
            "evidence": shown,
            "answer": answer,
            "form": form,
            "opening": "Decision:" if probability else "",
        }
        messages, prefill = load_prompt("evaluator").fill(values, history=task.history)
        return ChatRequest(messages=messages, prefill=prefill, sampling=self.sampling)

    async def evaluate(self, task: Task, evidence: Sequence[Evidence], answer: str, *, site: Site) -> Evaluation:
        """1 call; a written verdict that cannot be read is asked for once more. Raises ModelError, BudgetExhausted."""
        request = self.request(task, evidence, answer)
        if self.decider == "probability":
            found = await self.client.label_probabilities(request, ("STOP", "CONTINUE"), site=site)
            stop = found.probabilities["STOP"]
            return Evaluation(stop, stop, stop)
        wanted = coded(_Verdict, code_of(listed(evidence, numbers=True)))
        said = await ask(self.client, request, wanted, site=site)
        return Evaluation(float(said.decision == "STOP"), said.grounded, said.correct, said.missing)
