"""Reward formats: how a reward model wants a solution written down, and how its numbers become scores. A table, no code."""

from __future__ import annotations

import math
import re
import tomllib
from collections.abc import Sequence
from fnmatch import fnmatchcase
from functools import cache
from importlib import resources
from typing import Any, ClassVar, Literal, Self

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from phronesis.agents.scorers.table import ScorerOptions
from phronesis.core.errors import RecipeError
from phronesis.core.reward import RewardRequest, RewardRoute, Rewards
from phronesis.core.task import Message, Task

Scores = Literal["solution", "steps"]
Activation = Literal["server", "sigmoid", "softmax"]
_CONTROL = re.compile(r"<(?=/?s>|\|[^|<>\s]{1,40}\|>)")
"""Where a chat template's control token begins."""


class RewardFormat(BaseModel):
    """What one family of reward models expects."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    scores: Scores
    """One number for the whole solution, or one for each step."""
    models: tuple[str, ...] = ()
    """Patterns of model names (``*`` = anything), lower case."""
    route: RewardRoute = "/pooling"
    system: str = ""
    """System message the model was trained with; it takes the place of the task's own. Empty = the task's."""
    mark: str = ""
    """What stands behind each step; the model's judgement is read there."""
    between: str = ""
    """What stands between a mark and the next step."""
    ending: str = ""
    """What ends the text, in place of what the chat template would write; empty = the template's own ending."""
    labels: tuple[str, ...] = ()
    """Tokens of which the model writes one behind each mark (/v1/completions only)."""
    width: int = 1
    """Numbers the server gives for one judgement; with labels, their number."""
    good: int = 0
    """Which of them stands for *right*, from 0."""
    activation: Activation = "sigmoid"
    """What makes a probability of them: the server itself, the sigmoid 1 / (1 + exp(-x)), or the softmax over them."""

    @model_validator(mode="before")
    @classmethod
    def _labelled(cls, data: Any) -> Any:
        return {**data, "width": len(data["labels"])} if isinstance(data, dict) and data.get("labels") else data

    @model_validator(mode="after")
    def _fits(self) -> RewardFormat:
        if self.scores == "steps" and len(self._bare_mark) < 2:
            raise ValueError("mark: a step format needs a mark of two characters or more")
        if bool(self.labels) != (self.route == "/v1/completions"):
            raise ValueError("labels: they belong to the route /v1/completions, and it needs them")
        if not 0 <= self.good < self.width:
            raise ValueError(f"good: {self.good} is not among {self.width} values")
        if (self.activation == "softmax") != (self.width > 1) and self.activation != "server":
            raise ValueError(f"activation: {self.activation} does not go with {self.width} values")
        return self

    @property
    def _bare_mark(self) -> str:
        return self.mark.strip() or self.mark

    def request(self, task: Task, pieces: Sequence[str]) -> RewardRequest:
        """The request about a solution's pieces: its steps, or the whole as one piece.

        The mark and a chat template's control tokens are broken up by a space wherever question or solution contain
        them, so that neither can forge a judgement or a turn."""
        own_system = bool(self.system or self.labels)
        turns = [turn for turn in task.history if turn.role != "system" or not own_system]
        said = [Message(role="system", content=self.system)] if self.system else []
        said += [Message(role=turn.role, content=self._clean(turn.content)) for turn in turns]
        solution = self.between.join(self._clean(piece) + self.mark for piece in pieces) + self.ending
        said += [Message(role="user", content=self._clean(task.question)), Message(role="assistant", content=solution)]
        return RewardRequest(
            messages=tuple(said),
            route=self.route,
            rows=len(pieces) if self.mark else 0,
            width=self.width,
            activated=self.activation == "server",
            open_ended=bool(self.ending),
            mark=self._bare_mark if self.labels else "",
            labels=self.labels,
        )

    def values(self, rows: Rewards) -> tuple[float, ...]:
        """One score in [0, 1] per row."""
        return tuple(_ACTIVATIONS[self.activation](row, self.good) for row in rows)

    def _clean(self, text: str) -> str:
        text = _CONTROL.sub("< ", text)
        mark = self._bare_mark
        return text.replace(mark, f"{mark[0]} {mark[1:]}") if mark else text


def _sigmoid(row: Sequence[float], good: int) -> float:
    value = row[good]
    return 1.0 / (1.0 + math.exp(-value)) if value >= 0 else math.exp(value) / (1.0 + math.exp(value))


def _softmax(row: Sequence[float], good: int) -> float:
    shares = [math.exp(value - max(row)) for value in row]
    return shares[good] / math.fsum(shares)


_ACTIVATIONS = {"server": lambda row, good: float(row[good]), "sigmoid": _sigmoid, "softmax": _softmax}


class RewardOptions(ScorerOptions):
    """What a recipe may set: where the model is, its format, and any field of the format."""

    scores: ClassVar[Scores] = "solution"
    role: str = "reward"
    """The section [models.<role>] that names the model and its address."""
    format: str = ""
    """Name of a format; empty = the one that fits the model's name."""
    route: RewardRoute | None = None
    system: str | None = None
    mark: str | None = None
    between: str | None = None
    ending: str | None = None
    labels: tuple[str, ...] | None = None
    width: int | None = None
    good: int | None = None
    activation: Activation | None = None

    @model_validator(mode="after")
    def _known(self) -> Self:
        """A format that is named is looked at before a run begins."""
        if self.format:
            reward_format(self)
        return self

    @property
    def changes(self) -> dict[str, Any]:
        """The format's fields that the recipe sets."""
        return self.model_dump(exclude={"role", "format"}, exclude_none=True)


_OF: dict[Scores, str] = {"solution": "whole solutions", "steps": "steps"}


@cache
def reward_formats() -> tuple[RewardFormat, ...]:
    """The shipped formats, in the order in which they are tried."""
    text = resources.files("phronesis.agents.scorers").joinpath("reward_formats.toml").read_text(encoding="utf-8")
    return tuple(RewardFormat(**item) for item in tomllib.loads(text)["format"])


def reward_format(options: RewardOptions, model: str = "") -> RewardFormat:
    """The format a recipe names, else the one that fits the model's name, with the recipe's changes.

    Raises RecipeError for an unknown name, for a model that no format fits, and for changes that do not go together."""
    fitting = [item for item in reward_formats() if item.scores == options.scores]
    if options.format:
        found = next((item for item in fitting if item.name == options.format), None)
    else:
        found = next((item for item in fitting if any(fnmatchcase(model.lower(), wish) for wish in item.models)), None)
    if found is None:
        asked = f"there is no format {options.format!r}" if options.format else f"no format fits the model {model!r}"
        raise RecipeError(
            f"{asked} for rewards of {_OF[options.scores]}",
            mend=f"write format=NAME behind the scorer, one of {', '.join(item.name for item in fitting)}, "
            "and set what differs",
        )
    try:
        return RewardFormat(**{**found.model_dump(), **options.changes})
    except ValidationError as error:
        said = error.errors()[0]["msg"].removeprefix("Value error, ")
        raise RecipeError(
            f"the reward format {found.name!r} with {options.changes}: {said}", mend="correct it"
        ) from None
