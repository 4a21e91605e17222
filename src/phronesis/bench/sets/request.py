"""Which examples a bench wants: a set's name or file, and which of its rows."""

from __future__ import annotations

import re
from pathlib import PurePath
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from phronesis.core.errors import ConfigurationError
from phronesis.core.task import AnswerFormat


class SetRequest(BaseModel):
    """A data set as asked for."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    spec: str
    """A known set's name, a file or folder, or a generator with its options: ``countdown(numbers=4, n=50)``."""
    name: str = Field(default="", pattern=r"^[\w.+-]*$")
    """What the reports call it; empty = after the spec."""
    limit: int | None = Field(default=None, ge=1)
    """The first so many rows, after ``where``, ``sample`` and ``shuffle``."""
    sample: int | None = Field(default=None, ge=1)
    """So many rows drawn without replacement, in the order of the file."""
    seed: int = 0
    """Of ``sample``."""
    shuffle: int | None = None
    """Seed of a shuffle of the order, after ``sample`` and before ``limit``; None = the order of the file."""
    where: dict[str, tuple[str, ...]] = {}
    """Rows whose field has one of these values, compared as text."""
    columns: dict[str, str] = {}
    """Our field (question, gold, id, context, answer_format, group, cluster, grader) -> the column that holds it."""
    format: AnswerFormat | None = None
    """Answer format of rows that do not name their own."""
    grader: str = ""
    """Grader of every row, instead of the set's own."""
    options: dict[str, Any] = {}
    """Further options of a generator or a known set."""

    @property
    def title(self) -> str:
        """The name, or one made of the spec."""
        if self.name:
            return self.name
        path = PurePath(self.spec)
        plain = path.parent.name if path.stem in ("dev", "test") and path.parent.name else path.stem
        return re.sub(r"[^\w.+-]+", "-", plain).strip("-") or "set"


def requested(**fields: Any) -> SetRequest:
    """The request of option values. Raises ConfigurationError that names a wrong one."""
    try:
        return SetRequest(**fields)
    except ValidationError as error:
        first = error.errors()[0]
        option = str(first["loc"][0])
        raise ConfigurationError(f"--{option} {first['input']!r}: {first['msg']}", mend=f"correct --{option}") from None
