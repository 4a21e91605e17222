"""What reading a file yields: documents with positions, or what is wrong with it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

Scalar = str | int | float | bool


class Section(NamedTuple):
    """Where a part of a document begins."""

    start: int
    """First character in the document's text."""
    headings: tuple[str, ...] = ()
    """Headings it stands under, outermost first."""
    page: int | None = None


@dataclass(frozen=True)
class Document:
    """One document, read."""

    source: str
    text: str
    """Normalised: see ``normalised``."""
    title: str = ""
    id: str | None = None
    """Its own name, of a row that has one: what gold references speak of."""
    facts: Mapping[str, Scalar] = field(default_factory=dict)
    """What filters may ask for."""
    sections: tuple[Section, ...] = ()
    """In order of their starts."""


class Problem(NamedTuple):
    """Why a file or a row was left out."""

    where: str
    """The path, with ``:line`` of a row."""
    reason: str


class Unreadable(Exception):
    """A file that yields no document; the message is the reason. Never leaves this package."""


def normalised(text: str) -> str:
    """Text as it is kept: line breaks are ``\\n``, and what a database cannot hold (NUL, half a surrogate pair) is U+FFFD."""
    text = text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n").replace("\0", "\ufffd")
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
