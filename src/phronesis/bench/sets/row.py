"""One row of a data set as it was read, before it is an example."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any


@dataclass(frozen=True, slots=True)
class Row:
    """A row and where it stands."""

    fields: Mapping[str, Any]
    number: int
    """Its line or row, from 1."""
    where: str
    """For messages: file and line, or the generator."""


def shown(value: Any) -> str:
    """A field as text: what ``where`` compares. Nothing is empty, true is ``true``, lists and objects are as JSON writes
    them."""
    if value is None:
        return ""
    if isinstance(value, (bool, list, dict)):
        return json.dumps(value, ensure_ascii=False, default=str)
    return str(value)


def nearest(name: str, known: Sequence[str]) -> str:
    """A hint for a name that is not among the known ones."""
    near = get_close_matches(name, known, n=1, cutoff=0.4)
    return f"did you mean {near[0]!r}?" if near else f"known: {', '.join(sorted(known)) or 'none'}"
