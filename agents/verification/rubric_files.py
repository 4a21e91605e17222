"""Rubrics by name: the shipped ones, those derived from a failure taxonomy, and files of the user's."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from difflib import get_close_matches
from importlib import resources
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError

from phronesis.agents.verification.rubric import Choice, Criterion, Rubric
from phronesis.agents.verification.taxonomy import (
    FailureClass,
    Taxonomy,
    load_taxonomy,
    taxonomy_file,
    taxonomy_names,
)
from phronesis.core.errors import RecipeError

SCHEMA = "phronesis/rubric/1"
DERIVED = "taxonomy:"
"""``taxonomy:maths`` is the rubric derived from that taxonomy, a name or a path."""
_LEVELS = ("poor", "needs improvement", "good", "excellent")
_FOLDER = "rubrics"


class RubricFile(Rubric):
    """A rubric as written."""

    schema_: Literal["phronesis/rubric/1"] = Field(alias="schema")


def rubric_names() -> list[str]:
    """The shipped rubrics, sorted, and behind them those derived from the shipped taxonomies."""
    folder = resources.files("phronesis.recipes").joinpath(_FOLDER)
    files = sorted(item.name.removesuffix(".toml") for item in folder.iterdir() if item.name.endswith(".toml"))
    return [*files, *(f"{DERIVED}{name}" for name in taxonomy_names())]


def rubric_file(name: str) -> tuple[str, ...]:
    """The user's files that a run has to pin; none for a shipped rubric."""
    if name.startswith(DERIVED):
        return taxonomy_file(name.removeprefix(DERIVED))
    return () if name in rubric_names() else (name,)


def load_rubric(name: str) -> Rubric:
    """A shipped rubric, a derived one, or any file by path. Raises RecipeError that names file, key, value and the nearest
    known key."""
    if name.startswith(DERIVED):
        return derived(load_taxonomy(name.removeprefix(DERIVED)))
    source, text = _read(name)
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise RecipeError(f"{source} is not TOML: {error}", mend="correct the line it names") from None
    try:
        file = RubricFile.model_validate(data)
    except ValidationError as error:
        raise _explained(error, source) from None
    return Rubric.model_validate(file.model_dump(exclude={"schema_"}))


def derived(taxonomy: Taxonomy) -> Rubric:
    """One criterion for each class of failures, with its four levels from poor to excellent and its share of the weights;
    a class without levels gets some from its kinds. Raises RecipeError where no class is a dimension or two are called the
    same. Source: DeepVerifier, appendix C (one dimension per class)."""
    dimensions = [item for item in taxonomy.classes if item.dimension]
    total = sum(item.weight for item in dimensions)
    criteria = [
        Criterion(
            name=item.name,
            question=f"How free is the work of this failure: {item.definition}?",
            choices=tuple(Choice(name=name, means=means) for name, means in zip(_LEVELS, _means(item), strict=True)),
            weight=item.weight / total,
            evidence="the step, with its words or numbers",
            veto=item.veto,
        )
        for item in dimensions
    ]
    name = f"{DERIVED}{taxonomy.name}"
    try:
        return Rubric(name=name, description=taxonomy.description, criteria=tuple(criteria))
    except ValidationError as error:
        said = error.errors()[0]["msg"].removeprefix("Value error, ")
        mend = "give each class a name of its own, and leave `dimension` on in one at least"
        raise RecipeError(f"no rubric can be derived from the taxonomy {taxonomy.name!r}: {said}", mend=mend) from None


def _means(item: FailureClass) -> tuple[str, ...]:
    """Worst first."""
    if item.levels:
        return tuple(reversed(item.levels))
    kinds = ", ".join(kind.name for kind in item.kinds) or item.name
    return (
        f"{kinds}: it decides the answer",
        f"{kinds}: it shows in several steps",
        f"{kinds}: traces of it that change nothing",
        f"nothing of it: {kinds}",
    )


def _read(name: str) -> tuple[str, str]:
    if name in rubric_names():
        file = resources.files("phronesis.recipes").joinpath(_FOLDER, f"{name}.toml")
        return f"rubric {name}", file.read_text(encoding="utf-8")
    try:
        return name, Path(name).read_text(encoding="utf-8")
    except FileNotFoundError:
        near = get_close_matches(name, rubric_names(), n=1, cutoff=0.4)
        hint = f"did you mean {near[0]!r}?" if near else f"shipped: {', '.join(rubric_names())}; or give a path"
        raise RecipeError(f"there is no rubric {name!r}, and no file of that name", mend=hint) from None
    except (OSError, UnicodeDecodeError) as error:
        raise RecipeError(
            f"{name} cannot be read: {error}", mend="give the path of a rubric's TOML file, in UTF-8"
        ) from None


def _explained(error: ValidationError, source: str) -> RecipeError:
    first = error.errors()[0]
    key = ".".join(str(part) for part in first["loc"]) or "rubric"
    if first["type"] == "extra_forbidden":
        known: Mapping[str, Any] = {**Rubric.model_fields, **Criterion.model_fields, **Choice.model_fields}
        near = get_close_matches(str(first["loc"][-1]), known, n=1, cutoff=0.4)
        return RecipeError(
            f"{source}: unknown key {key!r}", mend=f"did you mean {near[0]!r}?" if near else "take it out"
        )
    if first["type"] == "missing":
        return RecipeError(f"{source}: the key {key!r} is missing", mend=f"add {first['loc'][-1]} = ...")
    said = first["msg"].removeprefix("Value error, ")
    shown = "" if isinstance(first["input"], (dict, list)) else f" = {first['input']!r}"
    return RecipeError(f"{source}: {key}{shown}: {said}", mend=f"correct {key}")
