"""The recipe's section ``[verify]``: a verifier around the strategy, whose rejections make it try again."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator

from phronesis.agents.scorers.table import ChosenScorer, choose_scorer


class VerifySection(BaseModel):
    """What checks the strategy's answer, and what happens when it is rejected."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    strategy: str = ""
    """Verifier or any other scorer, with its options: ``"deep_verifier(max_checks=2)"``; empty = nothing is checked.
    ``phronesis scorers list`` names them."""
    rounds: int = Field(default=4, ge=0)
    """R_max: most further attempts after rejections. DeepVerifier scales to 10; its gains end at 3 or 4."""
    accept: float | None = Field(default=None, ge=0, le=1)
    """Lowest figure that is accepted; unset = the verifier's own rule."""
    fallback: Literal["best_score", "last"] = "best_score"
    """Whose answer stands when none is accepted: that of the highest figure, ties to the later attempt (the regression
    guard), or of the last attempt that can be read, as the paper has it."""
    feedback: bool = True
    """Whether a further attempt is told why the one before was rejected."""
    feedback_window: int = Field(default=1, ge=1)
    """Rejections a further attempt is told of, the newest last."""
    reject_twice: bool = False
    """Whether a rejection has to be given twice before it counts; the paper loses 13 % of right answers in round one."""
    ask: Literal["none", "accept", "reject", "unsure", "all"] = "none"
    """Which verdicts a person is asked about before they count: acceptances, rejections, those that are unknown or
    contradict themselves, or all."""

    @property
    def asks(self) -> bool:
        """Whether a person may be asked."""
        return bool(self.strategy) and self.ask != "none"

    @field_validator("strategy")
    @classmethod
    def _known(cls, value: str) -> str:
        if value:
            choose_scorer(value)
        return value

    @field_validator("ask")
    @classmethod
    def _about_something(cls, value: str, info: ValidationInfo) -> str:
        if value != "none" and not info.data.get("strategy", "-"):
            raise ValueError("a person would be asked about verdicts, and verify.strategy names no verifier")
        return value

    @property
    def chosen(self) -> ChosenScorer | None:
        """The verifier; None = there is none."""
        return choose_scorer(self.strategy) if self.strategy else None
