"""Things that are chosen by name and options, as recipes and commands write them: ``generative(votes=4)``."""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from phronesis.core.errors import ConfigurationError

Options = TypeVar("Options", bound=BaseModel)

_FORM = re.compile(r"\s*(\w+)\s*(?:\((.*)\))?\s*", re.DOTALL)
_QUOTED = r"""(?:"(?:[^"\\]|\\.)*"|'[^']*')"""
_PIECE = re.compile(rf"""(?:\[(?:{_QUOTED}|[^\]"'])*\]|\{{(?:{_QUOTED}|[^}}"'])*\}}|{_QUOTED}|[^,])+""")
"""What stands between commas; those in brackets, braces and quotes do not count."""


@dataclass(frozen=True)
class NamedSpec:
    """A name and the options written behind it."""

    name: str
    options: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def parse(cls, text: str, *, what: str, error: type[ConfigurationError] = ConfigurationError) -> NamedSpec:
        """Reads ``name`` or ``name(option=value, ...)``, values as TOML writes them; a bare word is a text.

        ``what`` the thing is, for the message. Raises ``error`` for anything else."""
        found = _FORM.fullmatch(text)
        if found is None:
            raise error(f"{text!r} is no {what}", mend="write a name, or name(option=value, ...)")
        options = {}
        for part in filter(None, (piece.strip() for piece in _PIECE.findall(found[2] or ""))):
            key, equals, value = (side.strip() for side in part.partition("="))
            if not equals or not key.isidentifier():
                raise error(f"{part!r} in {text!r} is no option", mend="write option=value")
            if key in options:
                raise error(f"{text!r} sets {key} twice", mend="leave one of them out")
            options[key] = _value(value)
        return cls(found[1], options)

    def checked(
        self, model: type[Options], *, what: str, error: type[ConfigurationError] = ConfigurationError
    ) -> Options:
        """The options as values of the model. Raises ``error`` for an unknown one, with the nearest, or a wrong value."""
        try:
            return model(**self.options)
        except ValidationError as found:
            first = found.errors()[0]
        name = ".".join(str(part) for part in first["loc"])
        if first["type"] == "extra_forbidden":
            near = get_close_matches(name, model.model_fields, n=1, cutoff=0.4)
            known = ", ".join(model.model_fields) or "none"
            hint = f"did you mean {near[0]!r}?" if near else f"known options: {known}"
            raise error(f"the {what} {self.name!r} has no option {name!r}", mend=hint)
        if first["type"] == "missing":
            raise error(f"the {what} {self.name!r} needs the option {name!r}", mend=f"write {self.name}({name}=...)")
        raise error(f"{self.name}: {name} = {first['input']!r}: {first['msg']}", mend=f"correct {name}")


def _value(text: str) -> Any:
    try:
        return tomllib.loads(f"v = {text}")["v"]
    except tomllib.TOMLDecodeError:
        return text
