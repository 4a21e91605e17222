"""A concept: one reusable abstraction, in one of ArcMemo's two forms (arXiv 2509.04439, section 3)."""

from __future__ import annotations

import hashlib
import unicodedata
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

ConceptStatus = Literal["probation", "active", "invalid"]
Origin = Literal["user", "run", "import", "merge"]
"""Who wrote it: a person, a run that learned it, an archive, or a consolidation that made one of several."""
Trust = Literal["given", "proven", "trial", "imported", "withdrawn"]
"""How far a concept may be believed: a person wrote it; runs found it and it has helped; it has yet to; it came with an
archive; it was taken back."""
Verdict = Literal["accepted", "rejected"]
_REORDERING = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
"""Characters that change the order in which others are shown."""


class Parameter(BaseModel):
    """A typed hole of a parameterised concept."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    """Name used by the concept's text."""
    typing: str = ""
    """Type in the words of the domain, for example ``rate`` or ``list of numbers``."""
    description: str = ""
    """What goes in."""


def tidy(text: str) -> str:
    """One line: blanks and control characters become single spaces; characters that reorder the text go."""
    text = " ".join(text.split())
    if text.isprintable():  # the usual case, and quick: nothing to take out
        return text
    plain = (
        " " if unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp") else character
        for character in text
        if character not in _REORDERING
    )
    return " ".join("".join(plain).split())


def trust_of(status: ConceptStatus, origin: Origin) -> Trust:
    """The mark a concept is shown with. What is withdrawn or on trial says so whoever wrote it."""
    if status == "invalid":
        return "withdrawn"
    if status == "probation":
        return "trial"
    if origin == "user":
        return "given"
    return "imported" if origin == "import" else "proven"


class Concept(BaseModel):
    """What is remembered. Open-ended: situation -> suggestion. Parameterised: the same plus name, parameters, notes."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    suggestion: str = Field(min_length=1)
    """What to do; for a parameterised concept, what it is and does."""
    situation: str = ""
    """When it helps: what to look for in a new problem. This is what recall searches by."""
    name: str = ""
    """Short unique name of a parameterised concept; empty for an open-ended one."""
    kind: Literal["lesson", "structure", "routine", "pitfall"] = "lesson"
    """``lesson`` is the open-ended form, ``pitfall`` one learned from a failure (what not to do); ``structure`` and
    ``routine`` are ArcMemo's parameterised ones."""
    subtype: str = ""
    """Sort of routine, in the words of the domain; groups concepts when they are shown."""
    typing: str = ""
    """Type of what a routine gives."""
    parameters: tuple[Parameter, ...] = ()
    cues: tuple[str, ...] = ()
    """Further signs that it applies; each is searched by as the situation is."""
    avoid: tuple[str, ...] = ()
    """Signs that it does not apply; shown, never searched by."""
    parts: tuple[str, ...] = ()
    """Names of the concepts it is composed of."""
    implementation: tuple[str, ...] = ()
    """Notes on how to carry it out."""
    source: str = ""
    """Where it came from: a task id, or ``user``."""

    @field_validator("suggestion", "situation", "name", "subtype", "typing", "source")
    @classmethod
    def _tidy(cls, value: str) -> str:
        return tidy(value)

    @field_validator("cues", "avoid", "parts", "implementation")
    @classmethod
    def _tidy_list(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        """In the order given, without empty lines and repeats."""
        return tuple(dict.fromkeys(line for item in value if (line := tidy(item))))

    @field_validator("suggestion")
    @classmethod
    def _says_something(cls, value: str) -> str:
        if not value:
            raise ValueError("the suggestion is empty")
        return value

    @property
    def content_hash(self) -> str:
        """24 hex digits over what the concept says (not where it came from); equal text, equal hash."""
        parts = [
            self.kind,
            self.name.casefold(),
            self.situation.casefold(),
            self.suggestion.casefold(),
            repr([parameter.model_dump() for parameter in self.parameters]),
            repr(self.cues),
            repr(self.implementation),
        ]
        later = (self.subtype, self.typing, self.avoid, self.parts)
        if any(later):  # fields that came with a later version: older concepts keep their hashes
            parts.append(repr(later))
        return hashlib.blake2b("\x00".join(parts).encode(), digest_size=12).hexdigest()

    @property
    def views(self) -> tuple[str, ...]:
        """The texts it is found by: the situation, or the suggestion where there is none; each cue; for a parameterised
        concept its name with what it does. Never a solution."""
        named = (f"{self.name}: {self.suggestion}",) if self.name else ()
        return (self.situation or self.suggestion, *self.cues, *named)


class Evidence(BaseModel):
    """Why a concept may be believed, or not: what one run with it, or before it, came to."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    run: str
    """Run id; empty for a person's word."""
    task: str
    """Task id."""
    verdict: Verdict
    verifier: str
    """What gave the verdict, with its version: ``agreement+arithmetic/1``."""
    score: float | None = None
    """The verifier's figure in [0, 1], where it gave one."""
    note: str = ""
    """The reason, for people."""


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
    origin: Origin = "run"
    superseded_by: str | None = None
    """The concept that took its place, when one did."""
    recalled: int = 0
    """Runs that had it in a prompt."""
    helped: int = 0
    """Runs that had it in a prompt and were accepted."""
    harmed: int = 0
    """Runs that had it in a prompt and were not."""
    last_used: str | None = None
    """UTC time of the last run that had it in a prompt."""
    evidence: tuple[Evidence, ...] = ()
    """Oldest first; uses are counted, not listed."""

    @property
    def trust(self) -> Trust:
        """The mark it is shown with."""
        return trust_of(self.status, self.origin)


class Hit(BaseModel):
    """A search result."""

    model_config = ConfigDict(frozen=True)

    id: str
    """``c17``; of a mounted memory ``its-name/c17``."""
    score: float
    """Cosine of query and best view in [-1, 1]; for lexical search a rank score in (0, 1]."""
    concept: Concept
    status: ConceptStatus = "active"
    origin: Origin = "run"
    helped: int = 0
    """Runs that had it in a prompt and were accepted, by now."""
    why: dict[str, float] = {}
    """What put it where it is, for people: ``dense`` and ``lexical`` ranks from 1, ``fused`` score, ``view`` from 0,
    ``rank`` from 1 in the order before diversity."""

    @property
    def trust(self) -> Trust:
        """The mark it is shown with."""
        return trust_of(self.status, self.origin)
