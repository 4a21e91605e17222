"""Bench files: arms over data sets as TOML. A suite is a bench file that comes with the package."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from phronesis.bench.running.plan import Arm, BenchPlan
from phronesis.bench.sets.request import SetRequest
from phronesis.core.errors import ConfigurationError
from phronesis.graphs.recipe import Recipe


class ArmEntry(BaseModel):
    """An arm as written."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    recipe: str
    """A shipped recipe's name, or a path that is relative to the bench file."""
    name: str = ""
    """Empty = the recipe's."""
    overrides: dict[str, Any] = {}
    """Dotted recipe keys: ``{"knobs.k" = 8}``."""
    bank: str = ""
    calls: int | None = Field(default=None, ge=0)


class BenchFile(BaseModel):
    """A bench file, validated."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    schema_: Literal["phronesis/bench/1"] = Field(alias="schema")
    name: str
    description: str = ""
    repeats: int = Field(default=1, ge=1)
    overrides: dict[str, Any] = {}
    """Dotted recipe keys of every arm; an arm's own come after them."""
    sets: tuple[SetRequest, ...] = Field(min_length=1)
    arms: tuple[ArmEntry, ...] = Field(min_length=1)


def arm_of(entry: ArmEntry, overrides: Mapping[str, Any], *, folder: Path | None = None) -> Arm:
    """The arm with its recipe whole. ``overrides`` are those of every arm. Raises RecipeError, and ConfigurationError for a
    name that is none."""
    path = entry.recipe
    if folder is not None and (folder / path).is_file():
        path = str(folder / path)
    recipe = Recipe.load(path, overrides={**overrides, **entry.overrides})
    name = entry.name or recipe.name
    try:
        return Arm(name=name, recipe=recipe.to_data(), bank=entry.bank, calls=entry.calls)
    except ValidationError as error:
        first = error.errors()[0]
        if first["loc"] != ("name",):
            key = ".".join(str(part) for part in first["loc"])
            raise ConfigurationError(
                f"arm {name!r}: {key} = {first['input']!r}: {first['msg']}", mend=f"correct {key}"
            ) from None
        mend = "use letters, digits, '_', '.', '+' and '-'; name the arm (--recipe NAME=RECIPE, or name = in the file)"
        raise ConfigurationError(f"arm name {name!r} is not allowed", mend=mend) from None


def plan_of(file: BenchFile, *, folder: Path | None = None, overrides: Mapping[str, Any] | None = None) -> BenchPlan:
    """The plan of a bench file. Raises RecipeError and ConfigurationError."""
    common = {**file.overrides, **(overrides or {})}
    arms = tuple(arm_of(entry, common, folder=folder) for entry in file.arms)
    return BenchPlan(name=file.name, description=file.description, sets=file.sets, arms=arms, repeats=file.repeats)


def read_bench(text: str, source: str) -> BenchFile:
    """A bench file's content. Raises ConfigurationError naming the source and the key."""
    try:
        return BenchFile.model_validate(tomllib.loads(text))
    except tomllib.TOMLDecodeError as error:
        raise ConfigurationError(f"{source} is not TOML: {error}", mend="correct the line it names") from None
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        if first["type"] == "missing":
            raise ConfigurationError(f"{source}: {key} is missing", mend=f"give {key}") from None
        raise ConfigurationError(
            f"{source}: {key} = {first['input']!r}: {first['msg']}", mend=f"correct {key}"
        ) from None


def suites() -> list[str]:
    """Names of the suites that come with the package, sorted."""
    folder = resources.files("phronesis.bench.suites")
    return sorted(item.name.removesuffix(".toml") for item in folder.iterdir() if item.name.endswith(".toml"))


def suite(name: str) -> BenchFile:
    """A shipped suite. Raises ConfigurationError for an unknown one."""
    if name not in suites():
        raise ConfigurationError(f"there is no suite {name!r}", mend=f"choose one of {', '.join(suites())}")
    text = resources.files("phronesis.bench.suites").joinpath(f"{name}.toml").read_text(encoding="utf-8")
    return read_bench(text, f"suite {name}")


def recipes_as_arms(names: Sequence[str], overrides: Mapping[str, Any], *, bank: str, calls: int | None) -> list[Arm]:
    """An arm per recipe, ``NAME=RECIPE`` or ``RECIPE``. Raises RecipeError."""
    found = []
    for text in names:
        name, equals, recipe = text.partition("=")
        entry = ArmEntry(recipe=recipe if equals else text, name=name if equals else "", bank=bank, calls=calls)
        found.append(arm_of(entry, overrides))
    return found
