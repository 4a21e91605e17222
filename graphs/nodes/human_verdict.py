"""A person's word on a verdict, before it counts: approve it, or overrule it with a reason."""

from __future__ import annotations

from typing import Literal

from phronesis.core.asking import Question
from phronesis.core.budget import Branch
from phronesis.core.result import Candidate
from phronesis.core.site import Site
from phronesis.core.verdict import Verdict
from phronesis.graphs.context import RunContext
from phronesis.graphs.nodes.asking import ask

Asks = Literal["none", "accept", "reject", "unsure", "all"]
KIND = "verdict"


def is_asked(verdict: Verdict, asks: Asks) -> bool:
    """Whether a person is asked about it: an unknown or self-contradicting verdict is unsure."""
    if asks == "unsure":
        return verdict.label == "unknown" or not verdict.consistent
    return asks == "all" or verdict.label == asks


async def reviewed(ctx: RunContext, verdict: Verdict, attempt: Candidate, *, asks: Asks, branch: Branch) -> Verdict:
    """The verdict as it counts. Overruled, an acceptance becomes a rejection and anything else an acceptance; the person's
    reason takes the place of the verifier's. No model call. Raises AwaitingAnswer where nobody is there."""
    if not is_asked(verdict, asks):
        return verdict
    question = Question(
        key=f"{Site(branch, 'person').key}?",
        task=ctx.task.id,
        kind=KIND,
        text=f"the verifier says {verdict.label} of the answer {attempt.answer!r}: does that stand?",
        choices=("approve", "overrule"),
        request={
            "answer": attempt.answer,
            "label": verdict.label,
            "score": verdict.score,
            "reason": verdict.reason,
        },
    )
    said = await ask(ctx.effects, question, ctx.person, account=ctx.root.account)
    details = {**verdict.details, "person": {"choice": said.choice, "reason": said.reason, "label": verdict.label}}
    if said.choice == "approve":
        return verdict.model_copy(update={"details": details})
    label: Literal["accept", "reject"] = "reject" if verdict.label == "accept" else "accept"
    told = said.reason if label == "reject" else ""
    return verdict.model_copy(
        update={
            "label": label,
            "score": float(label == "accept"),
            "reason": said.reason or verdict.reason,
            "feedback": told,
            "details": details,
        }
    )
