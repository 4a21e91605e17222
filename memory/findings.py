"""What looking after a memory comes to: problems, what was mended, what was lost."""

from __future__ import annotations

from collections.abc import Iterable

from pydantic import BaseModel, ConfigDict

_NAMED = 5


class Problem(BaseModel):
    """Something that is not as it should be."""

    model_config = ConfigDict(frozen=True)

    where: str
    """``file``, ``pages``, ``indexes`` (SQLite's), ``concepts``, ``bodies``, ``texts``, ``events``, ``vectors``,
    ``references``, ``operations`` or ``index`` (Chroma's)."""
    what: str
    mend: str
    """What a person does about it."""


class VerifyReport(BaseModel):
    """What looking through a memory found."""

    model_config = ConfigDict(frozen=True)

    session: str
    path: str
    sound: bool
    problems: tuple[Problem, ...]
    counts: dict[str, int]
    """Rows looked at, by table; what could not be counted is left out."""
    index: str
    """What was seen of the vector index: ``sound``, ``none yet``, ``not looked at: ...`` or ``damaged``."""


class RepairReport(BaseModel):
    """What a repair did. A second one finds nothing to do."""

    model_config = ConfigDict(frozen=True)

    session: str
    path: str
    sound: bool
    """Nothing is left to mend."""
    mended: tuple[str, ...]
    left: tuple[Problem, ...]
    lost: tuple[str, ...] = ()
    """What a salvage could not read any more."""
    kept: str | None = None
    """Where a salvage put the damaged file."""


class ReembedReport(BaseModel):
    """What came of new vectors for a memory."""

    model_config = ConfigDict(frozen=True)

    session: str
    before: str | None
    """Fingerprint of the old vectors; None = there were none."""
    after: str
    switched: bool
    """False: the memory had this embedder already."""
    embedded: int
    """Body versions embedded now; those of an interrupted attempt are not done again."""
    deleted: int
    """Old vectors deleted."""
    version: int
    """The memory's version after it."""
    index: str
    """State of the vector index."""


def some(names: Iterable[object]) -> str:
    """``c1, c2, c3, c4, c5 and 7 more``."""
    every = [str(name) for name in names]
    more = f" and {len(every) - _NAMED} more" if len(every) > _NAMED else ""
    return ", ".join(every[:_NAMED]) + more
