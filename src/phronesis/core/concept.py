"""A concept: one reusable abstraction, in one of ArcMemo's two forms (arXiv 2509.04439, section 3)."""

from __future__ import annotations

import hashlib
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

ConceptStatus = Literal["probation", "active", "invalid"]


class Parameter(BaseModel):
    """A typed hole of a parameterised concept."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    """Name used by the concept's text."""
    typing: str = ""
    """Type in the words of the domain, for example ``rate`` or ``list of numbers``."""
    description: str = ""
    """What goes in."""


class Concept(BaseModel):
    """What is remembered. Open-ended: situation -> suggestion. Parameterised: the same plus name, parameters, notes."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    suggestion: str = Field(min_length=1)
    """What to do."""
    situation: str = ""
    """When it helps: what to look for in a new problem. This is what recall searches by."""
    name: str = ""
    """Short unique name of a parameterised concept; empty for an open-ended one."""
    kind: Literal["lesson", "structure", "routine", "pitfall"] = "lesson"
    """``lesson`` is the open-ended form; ``structure`` and ``routine`` are ArcMemo's parameterised ones."""
    parameters: tuple[Parameter, ...] = ()
    cues: tuple[str, ...] = ()
    """Further signs that it applies; each is searched by as the situation is."""
    implementation: tuple[str, ...] = ()
    """Notes on how to carry it out."""
    source: str = ""
    """Where it came from: a task id, or ``user``."""

    @field_validator("suggestion", "situation", "name", "source")
    @classmethod
    def _tidy(cls, value: str) -> str:
        return " ".join(value.split())

    @property
    def content_hash(self) -> str:
        """24 hex digits over what the concept says (not where it came from); equal text, equal hash."""
        parts = (
            self.kind,
            self.name.casefold(),
            self.situation.casefold(),
            self.suggestion.casefold(),
            repr([parameter.model_dump() for parameter in self.parameters]),
            repr(self.cues),
            repr(self.implementation),
        )
        return hashlib.blake2b("\x00".join(parts).encode(), digest_size=12).hexdigest()

    @property
    def views(self) -> tuple[str, ...]:
        """The texts it is found by: the situation, or the suggestion where there is none, then each cue."""
        return (self.situation or self.suggestion, *self.cues)


class StoredConcept(BaseModel):
    """A concept as the ledger holds it."""

    model_config = ConfigDict(frozen=True)

    id: str
    """Stable over versions: ``c`` and a number that counts up in its ledger."""
    version: int
    """1 for a new concept; counts up with each change."""
    concept: Concept
    status: ConceptStatus
    created: str
    """UTC time, ISO 8601."""
    recalled: int = 0
    """Runs that had it in a prompt."""
    helped: int = 0
    """Runs that had it in a prompt and were accepted."""
    harmed: int = 0
    """Runs that had it in a prompt and were not."""


class Hit(BaseModel):
    """A search result."""

    model_config = ConfigDict(frozen=True)

    id: str
    score: float
    """Cosine of query and best view in [-1, 1]; for lexical search a rank score in (0, 1]."""
    concept: Concept
    status: ConceptStatus = "active"
