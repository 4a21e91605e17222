"""What a judge that writes its own principles replies, how it is made to think on, and how such a reply is checked.

Source: SPCT (Inference-Time Scaling for Generalist Reward Modeling, arXiv 2504.02495): principles with weights first, then a
critique, then the scores; and J1's simple test-time scaling, which lets the judge think on when it wants to end. Every reply
ends with a code of what was shown, so that scores which stand in a response, or are dictated by it, are none.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, WithJsonSchema, create_model

from phronesis.agents.bounded import Brief
from phronesis.agents.check_code import coded
from phronesis.agents.decode import decode
from phronesis.agents.logprobs import word_probability
from phronesis.core.chat import Completion
from phronesis.core.errors import MalformedReply, PhronesisError

LEAST, TOP = 1, 10
HEAVIEST = 5
MOST_PRINCIPLES = 5
CUE = " Wait, let me check that again."
"""What stands in the place of the end of a critique that is to go on."""
_SOUND = re.compile(r'"sound"\s*:\s*"(yes|no)"', re.IGNORECASE)


def _schema(least: int, most: int) -> WithJsonSchema:
    return WithJsonSchema({"type": "integer", "minimum": least, "maximum": most})


Weight = Annotated[int, AfterValidator(lambda value: max(1, min(HEAVIEST, value))), _schema(1, HEAVIEST)]
Score = Annotated[int, AfterValidator(lambda value: max(LEAST, min(TOP, value))), _schema(LEAST, TOP)]
"""Whole numbers; one outside the range becomes its nearest end."""


class Principle(BaseModel):
    """What the judge goes by."""

    model_config = ConfigDict(frozen=True)

    text: str = Field(min_length=1)
    weight: Weight


class _Judgement(BaseModel):
    model_config = ConfigDict(frozen=True)

    principles: list[Principle] = Field(min_length=1, json_schema_extra={"maxItems": MOST_PRINCIPLES})
    critique: str = Field(min_length=1, json_schema_extra={"maxLength": 800})


class _Meta(BaseModel):
    model_config = ConfigDict(frozen=True)

    reason: Brief
    sound: Literal["yes", "no"]
    check: str


@dataclass(frozen=True, slots=True)
class Judgement:
    """One run's reply."""

    principles: tuple[tuple[str, int], ...]
    """Text and weight, from 1 to 5."""
    critique: str
    scores: tuple[int, ...]
    """From 1 to 10, in the order the responses were shown."""

    @property
    def shown(self) -> str:
        """As a checker is shown it."""
        principles = "\n".join(f"- {text} (weight {weight})" for text, weight in self.principles)
        scores = ", ".join(str(score) for score in self.scores)
        return f"Principles:\n{principles}\nCritique: {self.critique}\nScores: {scores}"

    @property
    def opened(self) -> str:
        """The reply up to the end of its critique, which goes on: what the next one starts with."""
        principles = [{"text": text, "weight": weight} for text, weight in self.principles]
        head = json.dumps({"principles": principles, "critique": self.critique.rstrip() + CUE}, ensure_ascii=False)
        return head.removesuffix('"}')


@dataclass(frozen=True, slots=True)
class JudgeRun:
    """One run of the judge, and what became of it."""

    order: tuple[int, ...]
    """Which response stood at each place."""
    judgement: Judgement | None = None
    thought: int = 0
    """Times it thought on and could be read."""
    meta: float | None = None
    """What speaks for keeping it, in [0, 1]; None = unknown."""
    kept: bool = False
    error: PhronesisError | None = None
    dropped: str = ""
    """Why there is no judgement."""

    @property
    def scores(self) -> tuple[int, ...]:
        """By response, whatever the order it saw them in; nothing without a judgement."""
        if self.judgement is None:
            return ()
        by_response = dict(zip(self.order, self.judgement.scores, strict=True))
        return tuple(by_response[index] for index in range(len(self.order)))

    def to_json(self) -> dict[str, Any]:
        """As the journal has it."""
        if self.judgement is None:
            return {"order": list(self.order), "dropped": self.dropped}
        return {
            "order": list(self.order),
            "principles": [list(pair) for pair in self.judgement.principles],
            "critique": self.judgement.critique,
            "scores": list(self.scores),
            "thought": self.thought,
            "meta": self.meta,
            "kept": self.kept,
        }


def judgement_type(count: int, code: str) -> type[BaseModel]:
    """The reply's type: principles, critique, exactly one score for each of ``count`` responses, the code."""
    scores: Any = (list[Score], Field(min_length=count, max_length=count))
    fields: Any = {"scores": scores, "check": (str, ...)}
    return coded(create_model("Judgement", __base__=_Judgement, **fields), code)


def judgement_form(code: str) -> str:
    """The reply's form."""
    principle = '{"text": "...", "weight": ...}'
    return f'{{"principles": [{principle}, ...], "critique": "...", "scores": [...], "check": "{code}"}}'


def read_judgement(completion: Completion, count: int, code: str) -> Judgement:
    """What a run said. Raises MalformedReply for a reply that lacks something, or the code."""
    said: Any = decode(completion, judgement_type(count, code))
    principles = tuple((item.text.strip(), item.weight) for item in said.principles)
    return Judgement(principles, said.critique.strip(), tuple(said.scores))


def meta_type(code: str) -> type[BaseModel]:
    """The type of a checker's reply."""
    return coded(_Meta, code)


def read_soundness(completion: Completion, code: str) -> float | None:
    """How sound a checker finds a judgement, in [0, 1]: the probability of its yes where log-probabilities show it, else its
    word; None where it cannot be read."""
    try:
        said: Any = decode(completion, meta_type(code))
    except MalformedReply:
        return None
    places = list(_SOUND.finditer(completion.text))
    shown = None
    if completion.logprobs is not None and places:
        shown = word_probability(completion.logprobs, completion.text, places[-1].start(1), {"yes"}, {"no"})
    return float(said.sound == "yes") if shown is None else shown
