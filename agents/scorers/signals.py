"""Cheap signals of one attempt, each free, and their calibrated logistic combination.

Each signal alone ranks a small model's attempts a little better than chance; together they do better than any (measured in
docs/scorers.md). None of them looks at other attempts.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from fractions import Fraction

from pydantic import Field, field_validator

from phronesis.agents.expressions import evaluate
from phronesis.agents.scorers.arithmetic import equations
from phronesis.agents.scorers.logistic import LogisticModel, load_model
from phronesis.agents.scorers.table import ScorerEntry, ScorerOptions
from phronesis.core.result import Candidate
from phronesis.core.site import Site
from phronesis.core.task import Task

_NUMBER = re.compile(r"\d+(?:,\d{3})*(?:\.\d+)?")
_CODE = re.compile(r"```|^[^\S\n]*(?:def|import|print)\b", re.MULTILINE)
_HEDGE = re.compile(r"\b(?:wait|however|but this|not possible|cannot be|assum\w+|mistake|let'?s re)\b", re.IGNORECASE)
SIGNALS = (
    "mean_logprob",
    "answer_logprob",
    "wrong_equations",
    "right_equations",
    "derived",
    "question_numbers",
    "steps",
    "log_tokens",
    "cut_off",
    "code",
    "hedges",
    "negative",
    "fraction",
)
"""Names of what ``signals`` returns."""


def signals(task: Task, candidate: Candidate) -> dict[str, float | None]:
    """The figures of one attempt, by name; None where there is nothing to measure."""
    text, answer = candidate.text, candidate.answer
    found = equations(text)
    asked = {_plain(number) for number in _NUMBER.findall(task.question)}
    used = {_plain(number) for number in _NUMBER.findall(text)}
    value = evaluate(answer) if answer is not None else None
    return {
        "mean_logprob": candidate.mean_logprob,
        "answer_logprob": candidate.answer_logprob,
        "wrong_equations": float(sum(not item.holds for item in found)),
        "right_equations": float(min(8, sum(item.holds for item in found))),
        "derived": None if value is None or not found else float(_derived(value, [item.text for item in found])),
        "question_numbers": len(asked & used) / len(asked) if asked else None,
        "steps": float(min(15, len(candidate.steps))),
        "log_tokens": math.log(max(1, candidate.tokens)),
        "cut_off": float(candidate.cut_off),
        "code": float(bool(_CODE.search(text))),
        "hedges": float(min(3, len(_HEDGE.findall(text)))),
        "negative": None if value is None else float(value < 0),
        "fraction": None if value is None else float(value.denominator != 1),
    }


def _derived(value: Fraction, written: list[str]) -> bool:
    """Whether the answer is the right side of the last equations: what the chain worked out is what it says."""
    sides = [evaluate(text.rpartition("=")[2].strip()) for text in written[-2:]]
    return value in sides


def _plain(number: str) -> str:
    text = number.replace(",", "")
    return text.rstrip("0").rstrip(".") if "." in text else text


class SignalsOptions(ScorerOptions):
    """What can be set."""

    model: str = Field(default="signals")
    """Logistic model: a shipped name or the path of a file made by ``phronesis scorers fit``."""

    @field_validator("model")
    @classmethod
    def _readable(cls, value: str) -> str:
        load_model(value)
        return value


@dataclass(frozen=True, kw_only=True)
class Signals:
    """P(right) from the signals, in (0, 1). No calls."""

    model: LogisticModel
    name: str = "signals"

    def calls_for(self, candidate: Candidate) -> int:
        return 0

    async def score(self, task: Task, candidate: Candidate, *, site: Site) -> float:
        return self.model.probability(signals(task, candidate))


ENTRY = ScorerEntry(
    name="signals",
    kind="outcome",
    summary="logistic combination of free signals: logprobs, arithmetic, length, use of the numbers",
    build=lambda around, options: Signals(model=load_model(options.model)),
    options=SignalsOptions,
    logprobs=lambda options: True,
    files=lambda options: tuple(name for name in (options.model,) if name.endswith(".toml")),
)
