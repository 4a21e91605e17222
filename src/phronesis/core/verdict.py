"""What a verifier says of an attempt: label, figure, reasons, and advice for the next attempt."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

Label = Literal["accept", "reject", "unknown"]
"""``unknown``: it could not be found out. It never counts as accepted."""


class _Value(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class CriterionVerdict(_Value):
    """One criterion of a rubric."""

    criterion: str
    reason: str = ""
    choice: str | None = None
    """The chosen level; None = unknown."""
    score: float | None = None
    """Its place on the scale, from 0 (worst) to 1 (best); None = unknown."""


class Verdict(_Value):
    """A verifier's judgement of one attempt."""

    label: Label
    score: float | None = None
    """How far the attempt is right, in [0, 1]; None = unknown."""
    reason: str = ""
    criteria: tuple[CriterionVerdict, ...] = ()
    feedback: str = ""
    """What the next attempt may be told; empty = nothing."""
    consistent: bool = True
    """False where the verifier contradicts itself, for example when the order of what it is shown decides."""
    details: dict[str, Any] = {}
    """What else was found out, for the journal: findings, checks, votes."""


def labelled(score: float | None, accept: float) -> Label:
    """``accept`` for a figure of ``accept`` or more, ``unknown`` for none."""
    return "unknown" if score is None else "accept" if score >= accept else "reject"
