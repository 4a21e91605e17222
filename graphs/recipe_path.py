"""Knobs that name a file: relative to the recipe's folder, and absolute from there on, so that a resume finds it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, ValidationInfo


def _absolute(value: str, info: ValidationInfo) -> str:
    if not value:
        return value
    path = Path(value).expanduser()
    folder = (info.context or {}).get("folder")
    beside = path if folder is None else Path(folder) / path
    return str((beside if beside.is_file() else path).absolute())


RecipePath = Annotated[str, AfterValidator(_absolute)]
"""A file beside the recipe, else one in the current folder, or an absolute path; empty = none."""
