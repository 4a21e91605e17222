"""Scorers as recipes and commands write them: ``judge``, ``generative(votes=4)``."""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass, field
from typing import Any

from phronesis.core.errors import RecipeError

_FORM = re.compile(r"\s*(\w+)\s*(?:\((.*)\))?\s*", re.DOTALL)
_PIECE = re.compile(r"""(?:\[[^\]]*\]|"(?:[^"\\]|\\.)*"|'[^']*'|[^,])+""")
"""What stands between commas; those in brackets and quotes do not count."""


@dataclass(frozen=True)
class ScorerSpec:
    """A scorer's name and the options written behind it."""

    name: str
    options: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def parse(cls, text: str) -> ScorerSpec:
        """Reads ``name`` or ``name(option=value, ...)``, values as TOML writes them; a bare word is a text.

        Raises RecipeError for anything else."""
        found = _FORM.fullmatch(text)
        if found is None:
            raise RecipeError(f"{text!r} is no scorer", mend="write a name, or name(option=value, ...)")
        options = {}
        for part in filter(None, (piece.strip() for piece in _PIECE.findall(found[2] or ""))):
            key, equals, value = (side.strip() for side in part.partition("="))
            if not equals or not key.isidentifier():
                raise RecipeError(f"{part!r} in {text!r} is no option", mend="write option=value")
            if key in options:
                raise RecipeError(f"{text!r} sets {key} twice", mend="leave one of them out")
            options[key] = _value(value)
        return cls(found[1], options)


def _value(text: str) -> Any:
    try:
        return tomllib.loads(f"v = {text}")["v"]
    except tomllib.TOMLDecodeError:
        return text
