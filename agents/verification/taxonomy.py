"""Failure taxonomy: known kinds of mistakes as data, so that each domain, and each user, can have their own.

Source: DeepVerifier (arXiv 2601.15808), five classes with thirteen sub-classes; the figure that names them could not be read,
so the shipped list is a reconstruction and says of each leaf how far it is vouched for.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from difflib import get_close_matches
from importlib import resources
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from phronesis.core.errors import RecipeError

SCHEMA = "phronesis/taxonomy/1"
_FOLDER = "taxonomies"


class _Value(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class FailureKind(_Value):
    """One leaf: what behaviours are paired with."""

    id: str = Field(pattern=r"^[A-Za-z]\w*(\.\w+)*$")
    name: str = Field(min_length=1)
    definition: str = Field(min_length=1)
    cues: tuple[str, ...] = ()
    """What it looks like in a record."""
    check_template: str = ""
    """A question that finds it out."""


class FailureClass(_Value):
    """A class of failures, and the scale on which an attempt is free of it."""

    id: str = Field(pattern=r"^[A-Za-z]\w*$")
    name: str = Field(min_length=1)
    definition: str = Field(min_length=1)
    levels: tuple[str, ...] = Field(default=(), max_length=4)
    """Four anchors, best first: excellent, good, needs improvement, poor; empty = made from the kinds."""
    weight: float = Field(default=1.0, gt=0, allow_inf_nan=False)
    veto: bool = False
    """Whether poor in this class rejects whatever the others say."""
    dimension: bool = True
    """Whether the derived rubric has a criterion for it."""
    kinds: tuple[FailureKind, ...] = ()
    """Empty = the class is its only kind."""

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if self.levels and len(self.levels) != 4:
            raise ValueError(f"{self.id} has {len(self.levels)} levels, wanted are 4, best first")
        return self


class TaxonomyFile(_Value):
    """A taxonomy as written."""

    schema_: Literal["phronesis/taxonomy/1"] = Field(alias="schema")
    name: str = Field(min_length=1)
    description: str = ""
    extends: str = ""
    """Another taxonomy whose classes come first, a shipped one or a file beside this; a class of the same id adds its kinds
    to it and replaces what it says itself."""
    classes: tuple[FailureClass, ...] = ()


class Taxonomy(_Value):
    """Classes of known failures."""

    name: str
    description: str = ""
    classes: tuple[FailureClass, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _different(self) -> Self:
        for what, ids in (("classes", [item.id for item in self.classes]), ("kinds", [k.id for k in self.items])):
            twice = next((id for id in ids if ids.count(id) > 1), None)
            if twice is not None:
                raise ValueError(f"two {what} have the id {twice!r}")
        return self

    @property
    def items(self) -> tuple[FailureKind, ...]:
        """Every kind, in order; a class without kinds is its own."""
        return tuple(kind for item in self.classes for kind in item.kinds or (_alone(item),))


def _alone(item: FailureClass) -> FailureKind:
    return FailureKind(id=item.id, name=item.name, definition=item.definition)


def taxonomy_names() -> list[str]:
    """The shipped ones, sorted."""
    folder = resources.files("phronesis.recipes").joinpath(_FOLDER)
    return sorted(item.name.removesuffix(".toml") for item in folder.iterdir() if item.name.endswith(".toml"))


def taxonomy_file(name: str) -> tuple[str, ...]:
    """The user's files that a run has to pin, those that it extends too; none for a shipped taxonomy."""
    files: list[str] = []
    while name and name not in taxonomy_names() and name not in files:
        files.append(name)
        try:
            name = _beside(name, str(tomllib.loads(_read(name)[1]).get("extends", "")))
        except (RecipeError, tomllib.TOMLDecodeError):
            break
    return tuple(files)


def load_taxonomy(name: str) -> Taxonomy:
    """A shipped taxonomy by name, or any file by path. Raises RecipeError naming file, key and the nearest known one."""
    return _loaded(name, ())


def _loaded(name: str, before: tuple[str, ...]) -> Taxonomy:
    if name in before:
        raise RecipeError(f"the taxonomy {name!r} extends itself", mend="take the circle out of `extends`")
    source, text = _read(name)
    try:
        data = tomllib.loads(text)
        file = TaxonomyFile.model_validate(data)
        classes = file.classes
        if file.extends:
            classes = _joined(_loaded(_beside(name, file.extends), (*before, name)).classes, classes)
        return Taxonomy(name=file.name, description=file.description, classes=classes)
    except tomllib.TOMLDecodeError as error:
        raise RecipeError(f"{source} is not TOML: {error}", mend="correct the line it names") from None
    except ValidationError as error:
        raise _explained(error, source) from None


def _beside(name: str, other: str) -> str:
    """The file that another one names: as written, or beside it where there is one."""
    near = Path(name).parent / other
    return str(near) if other and other not in taxonomy_names() and near.is_file() else other


def _joined(base: tuple[FailureClass, ...], more: tuple[FailureClass, ...]) -> tuple[FailureClass, ...]:
    found: dict[str, FailureClass] = {item.id: item for item in base}
    for item in more:
        known = found.get(item.id)
        said = {key: getattr(item, key) for key in item.model_fields_set - {"kinds"}}
        kinds = item.kinds if known is None else (*known.kinds, *item.kinds)
        found[item.id] = (item if known is None else known).model_copy(update={**said, "kinds": kinds})
    return tuple(found.values())


def _read(name: str) -> tuple[str, str]:
    if name in taxonomy_names():
        file = resources.files("phronesis.recipes").joinpath(_FOLDER, f"{name}.toml")
        return f"taxonomy {name}", file.read_text(encoding="utf-8")
    try:
        return name, Path(name).read_text(encoding="utf-8")
    except FileNotFoundError:
        near = get_close_matches(name, taxonomy_names(), n=1, cutoff=0.4)
        hint = f"did you mean {near[0]!r}?" if near else f"shipped: {', '.join(taxonomy_names())}; or give a path"
        raise RecipeError(f"there is no taxonomy {name!r}, and no file of that name", mend=hint) from None
    except (OSError, UnicodeDecodeError) as error:
        raise RecipeError(
            f"{name} cannot be read: {error}", mend="give the path of a taxonomy's TOML file, in UTF-8"
        ) from None


def _explained(error: ValidationError, source: str) -> RecipeError:
    first = error.errors()[0]
    key = ".".join(str(part) for part in first["loc"]) or "taxonomy"
    if first["type"] == "extra_forbidden":
        known: Mapping[str, Any] = {
            **TaxonomyFile.model_fields,
            **FailureClass.model_fields,
            **FailureKind.model_fields,
        }
        near = get_close_matches(str(first["loc"][-1]), [n.rstrip("_") for n in known], n=1, cutoff=0.4)
        return RecipeError(
            f"{source}: unknown key {key!r}", mend=f"did you mean {near[0]!r}?" if near else "take it out"
        )
    if first["type"] == "missing":
        return RecipeError(f"{source}: the key {key!r} is missing", mend=f"add {first['loc'][-1]} = ...")
    said = first["msg"].removeprefix("Value error, ")
    return RecipeError(f"{source}: {key}: {said}", mend=f"correct {key}")
