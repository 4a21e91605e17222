"""Rubrics: named, weighted criteria, each with ordered choices, and what a set of choices comes to.

A choice counts by its place: the i-th of n (from 0, worst first) scores i / (n - 1). The score of an attempt is the weighted
mean over the criteria that are known; it is unknown when these weigh less than ``least_known``. An attempt is accepted from
``accept`` on; a criterion with a veto at its worst choice rejects it whatever the others say. Source: ours; the five
dimensions with four levels of DeepVerifier (arXiv 2601.15808, appendix C) are one such rubric.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from phronesis.core.verdict import CriterionVerdict, Label, labelled

UNKNOWN = "unknown"
"""What a judge says of a criterion that it cannot decide; no choice may be called so."""


class _Value(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Choice(_Value):
    """One level of a criterion."""

    name: str = Field(pattern=r"\S")
    means: str = ""
    """When it is the right one."""


class Criterion(_Value):
    """One thing that is looked at."""

    name: str = Field(pattern=r"\S")
    question: str = Field(pattern=r"\S")
    """What is asked about the attempt."""
    choices: tuple[Choice, ...]
    """Worst first."""
    weight: float | None = None
    """Share of the score; the weights sum to 1. Unset in all criteria = equal."""
    evidence: str = ""
    """What the reason has to quote or name."""
    veto: bool = False
    """Whether the worst choice rejects an attempt whatever the others say."""

    @field_validator("choices", mode="before")
    @classmethod
    def _tables(cls, value: Any) -> Any:
        return (
            [{"name": item} if isinstance(item, str) else item for item in value] if isinstance(value, list) else value
        )

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        names = [choice.name.strip().casefold() for choice in self.choices]
        if len(names) < 2:
            raise ValueError(
                f"the criterion {self.name!r} has {len(names)} choice(s), wanted are two or more, worst first"
            )
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice is not None:
            raise ValueError(f"the criterion {self.name!r} has the choice {twice!r} twice")
        if UNKNOWN in names:
            raise ValueError(f"the criterion {self.name!r} has a choice {UNKNOWN!r}: judges may say that anyway")
        if self.weight is not None and not (math.isfinite(self.weight) and self.weight > 0):
            raise ValueError(f"the criterion {self.name!r} has the weight {self.weight}, wanted is a positive number")
        return self

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(choice.name for choice in self.choices)

    def score_of(self, choice: str) -> float:
        """The choice's place on the scale, from 0 to 1."""
        return self.names.index(choice) / (len(self.choices) - 1)


class Rubric(_Value):
    """Criteria and how they add up."""

    name: str = Field(pattern=r"\S")
    description: str = ""
    accept: float = Field(default=0.75, gt=0, le=1)
    """Lowest accepted score."""
    least_known: float = Field(default=0.5, gt=0, le=1)
    """Least weight of criteria that are known; with less the verdict is unknown."""
    criteria: tuple[Criterion, ...]

    @model_validator(mode="after")
    def _adds_up(self) -> Self:
        if not self.criteria:
            raise ValueError("there are no criteria")
        names = [item.name.strip().casefold() for item in self.criteria]
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice is not None:
            raise ValueError(f"two criteria are called {twice!r}")
        given = [item.weight for item in self.criteria if item.weight is not None]
        if given and len(given) < len(self.criteria):
            without = next(item.name for item in self.criteria if item.weight is None)
            raise ValueError(f"the criterion {without!r} has no weight, others have: give all of them one, or none")
        if given and not math.isclose(math.fsum(given), 1.0, abs_tol=1e-6):
            raise ValueError(f"the weights sum to {math.fsum(given):g}, wanted is 1")
        return self

    def weight_of(self, criterion: Criterion) -> float:
        """Share of the score."""
        return 1 / len(self.criteria) if criterion.weight is None else criterion.weight

    def judged(self, found: Mapping[str, Sequence[CriterionVerdict]]) -> tuple[CriterionVerdict, ...]:
        """One verdict for each criterion from one or several judgements of it: the mean of the scores that are known, with
        reason and choice of the judgement nearest to it, the first of equals."""
        return tuple(_mean(item, found.get(item.name, ())) for item in self.criteria)

    def score(self, verdicts: Sequence[CriterionVerdict]) -> float | None:
        """The weighted mean over the known criteria; None when too little is known. A veto caps it at half of ``accept``."""
        pairs = [(item, said) for item, said in zip(self.criteria, verdicts, strict=True) if said.score is not None]
        known = [(item, said.score or 0.0) for item, said in pairs]
        weight = math.fsum(self.weight_of(item) for item, _ in known)
        vetoed = self.vetoed(verdicts)
        if weight < self.least_known - 1e-9 and not vetoed:
            return None
        mean = math.fsum(self.weight_of(item) * score for item, score in known) / weight
        return min(mean, self.accept / 2) if vetoed else mean

    def vetoed(self, verdicts: Sequence[CriterionVerdict]) -> tuple[str, ...]:
        """The criteria whose veto rejects the attempt, whatever figure would be accepted."""
        pairs = zip(self.criteria, verdicts, strict=True)
        return tuple(item.name for item, said in pairs if item.veto and said.score is not None and _worst(item, said))

    def label(self, score: float | None) -> Label:
        return labelled(score, self.accept)

    def feedback(self, verdicts: Sequence[CriterionVerdict]) -> str:
        """What is not at its best, the worst first by weighted loss, each with its reason; empty when nothing is."""
        failed = [
            (self.weight_of(item) * (1 - said.score), item, said)
            for item, said in zip(self.criteria, verdicts, strict=True)
            if said.score is not None and said.score < 1
        ]
        failed.sort(key=lambda loss: -loss[0])
        return "\n".join(f"- {item.name}: {said.choice}. {said.reason}".strip() for _, item, said in failed)


def _worst(criterion: Criterion, said: CriterionVerdict) -> bool:
    """Whether the worst choice was taken, by the choice itself where the score is a mean below the middle."""
    return said.score == 0 or (said.choice == criterion.names[0] and (said.score or 0.0) < 0.5)


def _mean(criterion: Criterion, found: Sequence[CriterionVerdict]) -> CriterionVerdict:
    known = [item for item in found if item.score is not None]
    if not known:
        reason = next((item.reason for item in found if item.reason), "")
        return CriterionVerdict(criterion=criterion.name, reason=reason)
    mean = math.fsum(item.score or 0.0 for item in known) / len(known)
    nearest = min(known, key=lambda item: abs((item.score or 0.0) - mean))
    return nearest.model_copy(update={"score": mean})
