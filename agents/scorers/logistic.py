"""Logistic models over named figures: what a combination of signals is worth, fitted on graded attempts.

A model says what it was calibrated on and how well it ranked there. It never extrapolates silently: a figure that is missing
takes the mean it had when the model was fitted.
"""

from __future__ import annotations

import math
import tomllib
from collections.abc import Mapping, Sequence
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from phronesis.core.errors import RecipeError

SCHEMA = "phronesis/logistic/1"


class Feature(BaseModel):
    """One figure's part: weight x (figure - mean) / scale."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    weight: float
    mean: float
    scale: float = Field(gt=0)


class LogisticModel(BaseModel):
    """P(right) = 1 / (1 + exp(-(bias + sum of the features' parts)))."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    schema_: str = Field(default=SCHEMA, alias="schema")
    calibrated_on: str
    """Model, data and size, for people."""
    auroc: float | None = Field(default=None, ge=0, le=1)
    """Area under the curve on questions it was not fitted on (cross-validated)."""
    bias: float
    scorers: dict[str, str] = {}
    """Features that other scorers find: name -> scorer as a recipe writes it."""
    features: dict[str, Feature]

    def probability(self, figures: Mapping[str, float | None]) -> float:
        """In (0, 1); a figure that is None or not given counts as its mean."""
        total = self.bias
        for name, feature in self.features.items():
            value = figures.get(name)
            if value is not None and math.isfinite(value):
                total += feature.weight * (value - feature.mean) / feature.scale
        return 1.0 / (1.0 + math.exp(-max(-30.0, min(30.0, total))))

    def to_toml(self) -> str:
        """The file ``load_model`` reads."""
        lines = [f'schema = "{SCHEMA}"', f"calibrated_on = {_quoted(self.calibrated_on)}"]
        lines += [f"auroc = {self.auroc:.4f}"] if self.auroc is not None else []
        lines += [f"bias = {self.bias:.10g}"]
        if self.scorers:
            lines += [
                "",
                "[scorers]",
                *(f"{name} = {_quoted(text)}" for name, text in self.scorers.items()),
            ]
        lines += ["", "[features]"]
        for name, item in self.features.items():
            figures = f"weight = {item.weight:.10g}, mean = {item.mean:.10g}, scale = {item.scale:.10g}"
            lines.append(f"{name} = {{ {figures} }}")
        return "\n".join(lines) + "\n"


def load_model(name: str) -> LogisticModel:
    """A shipped model by name (agents/scorers/<name>.toml), or any file by path. Raises RecipeError."""
    if not name.endswith(".toml"):
        return _parsed(name, None)
    try:
        return _parsed(name, Path(name).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise RecipeError(
            f"cannot read the logistic model {name!r}: {error}", mend="make one with `phronesis scorers fit`"
        ) from None


@cache
def _parsed(name: str, text: str | None) -> LogisticModel:
    try:
        if text is None:
            text = resources.files("phronesis.agents.scorers").joinpath(f"{name}.toml").read_text(encoding="utf-8")
        data: dict[str, Any] = tomllib.loads(text)
        model = LogisticModel.model_validate(data)
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError, ValidationError) as error:
        raise RecipeError(
            f"cannot read the logistic model {name!r}: {error}", mend="make one with `phronesis scorers fit`"
        ) from None
    if model.schema_ != SCHEMA:
        raise RecipeError(f"{name!r} has schema {model.schema_!r}; this version reads {SCHEMA}")
    return model


def fit(
    rows: Sequence[Mapping[str, float | None]],
    right: Sequence[bool],
    *,
    names: Sequence[str],
    calibrated_on: str,
    scorers: Mapping[str, str] | None = None,
    ridge: float = 1.0,
    rounds: int = 50,
) -> LogisticModel:
    """The model of greatest penalised likelihood, by Newton's method over standardised figures.

    ``ridge`` is the penalty on squared weights (the bias has none). Missing figures become the mean of the others; one that
    never varies gets weight 0. Raises ValueError without rows of both kinds."""
    if not (any(right) and not all(right)):
        raise ValueError("a fit needs right and wrong examples")
    table = np.array([[_number(row.get(name)) for name in names] for row in rows], dtype=np.float64)
    table = np.where(np.isfinite(table), table, np.nan)
    mean = np.nan_to_num(np.nanmean(np.where(np.isfinite(table).any(axis=0), table, 0.0), axis=0))
    table = np.where(np.isfinite(table), table, mean)
    spread = table.std(axis=0)
    scale = np.where(spread > 1e-9, spread, 1.0)
    design = np.hstack([np.ones((len(rows), 1)), (table - mean) / scale])
    weights = newton(design, np.array(right, dtype=np.float64), ridge=ridge, rounds=rounds)
    parts = {
        name: Feature(weight=float(weights[index + 1]), mean=float(mean[index]), scale=float(scale[index]))
        for index, name in enumerate(names)
    }
    return LogisticModel(
        calibrated_on=calibrated_on, bias=float(weights[0]), scorers=dict(scorers or {}), features=parts
    )


def newton(
    design: NDArray[np.float64], right: NDArray[np.float64], *, ridge: float, rounds: int
) -> NDArray[np.float64]:
    """Weights of a logistic regression; the first column is the bias and is not penalised. Shape (columns,)."""
    weights = np.zeros(design.shape[1])
    penalty = np.full(design.shape[1], ridge)
    penalty[0] = 1e-6
    for _ in range(rounds):
        chance = 1.0 / (1.0 + np.exp(-np.clip(design @ weights, -30, 30)))
        slope = design.T @ (right - chance) - penalty * weights
        curve = (design * (chance * (1 - chance))[:, None]).T @ design + np.diag(penalty)
        step = np.linalg.solve(curve, slope)
        weights = weights + step
        if float(np.abs(step).max()) < 1e-8:
            break
    return weights


def _quoted(text: str) -> str:
    """As a TOML string; JSON's escapes are TOML's."""
    return orjson.dumps(text).decode()


def _number(value: float | None) -> float:
    return math.nan if value is None else float(value)
