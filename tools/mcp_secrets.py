"""Secrets of a server: named in the recipe, read from the environment, and left out of whatever is told or kept."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from phronesis.core.errors import ConfigurationError, SetupError
from phronesis.core.settings import variable

_REFERENCE = re.compile(r"\$(\w+)")
_SECRET = re.compile(r"(?i)key|token|secret|password|passwd|credential|auth|cookie|private")
"""Names of variables that hold something secret."""
_SHORTEST = 4
"""Characters; what is shorter would be crossed out everywhere."""


@dataclass(frozen=True)
class Secrets:
    """Values that were filled in, and how to leave them out."""

    values: Mapping[str, str] = field(default_factory=dict, repr=False)
    """Names to whole values, as the server gets them."""
    hidden: tuple[str, ...] = field(default=(), repr=False)

    @classmethod
    def filled(cls, given: object, *, what: str, all_secret: bool) -> Secrets:
        """``$NAME`` in a value is the variable of that name. ``all_secret``: a value without one is refused.

        Raises ConfigurationError for a secret that is written out, without repeating it; SetupError for a variable that is
        not set."""
        if not isinstance(given, dict) or not all(isinstance(value, str) for value in given.values()):
            raise ConfigurationError(f"mcp: {what} is no table of texts", mend=f'write {what}={{NAME = "$VARIABLE"}}')
        values, hidden = {}, []
        for name, text in given.items():
            named = _REFERENCE.findall(text)
            if not named and (all_secret or _SECRET.search(name)):
                raise ConfigurationError(
                    f"mcp: {what} holds {name} itself, and recipes are kept with their runs",
                    mend=f'put it into a variable and write {what}={{"{name}" = "$VARIABLE"}}',
                )
            for variable_name in named:
                found = variable(variable_name)
                if not found:
                    raise SetupError(
                        f"mcp: the variable {variable_name} is not set", mend=f"export {variable_name}=..."
                    )
                hidden.append(found)
            values[name] = _REFERENCE.sub(lambda match: variable(match[1]) or "", text)
        return cls(values, tuple(hidden))

    def __or__(self, other: Secrets) -> Secrets:
        """To hide what both hide."""
        return Secrets(self.values, (*self.hidden, *other.hidden))

    def without(self, text: str) -> str:
        """The text with *** for each secret."""
        for secret in self.hidden:
            text = text.replace(secret, "***") if len(secret) >= _SHORTEST else text
        return text

    def without_in(self, data: Any) -> Any:
        """JSON data with *** for each secret."""
        if not self.hidden or data is None:
            return data
        if isinstance(data, str):
            return self.without(data)
        if isinstance(data, list):
            return [self.without_in(item) for item in data]
        if isinstance(data, dict):
            return {self.without(str(key)): self.without_in(value) for key, value in data.items()}
        return data
