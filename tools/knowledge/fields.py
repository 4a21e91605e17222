"""How files are to be read."""

from __future__ import annotations

from dataclasses import dataclass

MAX_BYTES = 50_000_000
"""Largest document, unless asked otherwise."""


@dataclass(frozen=True)
class Fields:
    """The names under which a JSONL file keeps a document."""

    text: str = "text"
    title: str = "title"
    id: str = "id"


@dataclass(frozen=True)
class Reading:
    """How files are read. None = as this file was read the last time, else the plain way."""

    text: str | None = None
    """JSONL field of the text."""
    title: str | None = None
    id: str | None = None
    encoding: str | None = None
    """Of text, Markdown and HTML without a byte order mark."""
    max_bytes: int = MAX_BYTES
    """Of a file, or of a line of JSONL."""
