"""A person's word on a verdict, before it counts: approve it, or overrule it with a reason."""

from __future__ import annotations

from typing import Any, Literal

from phronesis.core.asking import Answer, Question
from phronesis.core.budget import Branch
from phronesis.core.result import Candidate
from phronesis.core.site import Site
from phronesis.core.verdict import Label, Verdict
from phronesis.graphs.context import RunContext
from phronesis.graphs.nodes.asking import ask

Asks = Literal["none", "accept", "reject", "unsure", "all"]
KIND = "verdict"
_ASKED: dict[Label, str] = {
    "accept": "the verifier accepts the answer {answer!r}: does that stand? (overrule: it is wrong)",
    "reject": "the verifier rejects the answer {answer!r}: does that stand? (overrule: it is right)",
    "unknown": "the verifier could not tell of the answer {answer!r}: does that stand? (overrule: it is right; "
    "reject: it is wrong)",
}


def is_asked(verdict: Verdict, asks: Asks) -> bool:
    """Whether a person is asked about it: an unknown or self-contradicting verdict is unsure."""
    if asks == "unsure":
        return verdict.label == "unknown" or not verdict.consistent
    return asks == "all" or verdict.label == asks


def question_about(verdict: Verdict, attempt: Candidate, *, key: str, task: str, asked: str) -> Question:
    """The question: everything the verdict rests on. ``asked``: what the attempt answers."""
    contradicting = ("overrule",) if verdict.label != "unknown" else ("overrule", "reject")
    return Question(
        key=key,
        task=task,
        kind=KIND,
        text=_ASKED[verdict.label].format(answer=attempt.answer),
        choices=("approve", *contradicting),
        reasoned=contradicting,
        request={
            "question": asked,
            "attempt": attempt.text,
            "answer": attempt.answer,
            "label": verdict.label,
            "score": verdict.score,
            "consistent": verdict.consistent,
            "reason": verdict.reason,
            "criteria": [item.model_dump(mode="json") for item in verdict.criteria],
        },
    )


def as_said(verdict: Verdict, said: Answer) -> Verdict:
    """The verdict as it counts. Overruled, an acceptance becomes a rejection and anything else an acceptance; an unknown one
    can be rejected too. What is rejected for good, or stays unknown, is told to the next attempt in the person's words
    where there are some. The verifier's own verdict stands in the details, under ``person``."""
    person: dict[str, Any] = {
        "choice": said.choice,
        "reason": said.reason,
        "verifier": {"label": verdict.label, "score": verdict.score, "reason": verdict.reason},
    }
    details = {**verdict.details, "person": person}
    if said.choice == "approve":
        told = said.reason if said.reason and verdict.label != "accept" else verdict.feedback
        return verdict.model_copy(update={"feedback": told, "details": details})
    label: Label = "accept" if said.choice == "overrule" and verdict.label != "accept" else "reject"
    changed = {
        "label": label,
        "score": float(label == "accept"),
        "reason": said.reason,
        "feedback": said.reason if label == "reject" else "",
        "consistent": True,
        "details": details,
    }
    return verdict.model_copy(update=changed)


async def reviewed(ctx: RunContext, verdict: Verdict, attempt: Candidate, *, asks: Asks, branch: Branch) -> Verdict:
    """The verdict as it counts, a person asked where they have to be. No model call. Raises AwaitingAnswer where nobody is
    there."""
    if not is_asked(verdict, asks):
        return verdict
    key = f"{Site(branch, 'person').key}?"
    question = question_about(verdict, attempt, key=key, task=ctx.task.id, asked=ctx.task.question)
    return as_said(verdict, await ask(ctx.effects, question, ctx.person, account=ctx.root.account))
