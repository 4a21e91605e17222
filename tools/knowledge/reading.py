"""A file to the documents in it, by its suffix."""

from __future__ import annotations

import hashlib
import os
import re
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from phronesis.tools.knowledge.decoding import decoded
from phronesis.tools.knowledge.documents import Document, Problem, Section, Unreadable, normalised
from phronesis.tools.knowledge.fields import Fields
from phronesis.tools.knowledge.html_text import page_of
from phronesis.tools.knowledge.jsonl import rows_of
from phronesis.tools.knowledge.markdown import sections_of
from phronesis.tools.knowledge.pdf import pages_of

KINDS = {
    ".txt": "text", ".text": "text", ".rst": "text", ".md": "markdown", ".markdown": "markdown",
    ".html": "html", ".htm": "html", ".xhtml": "html", ".pdf": "pdf", ".jsonl": "jsonl", ".ndjson": "jsonl",
}  # fmt: skip
"""Suffixes that are read, and as what."""
_DECLARED = re.compile(rb"""<meta[^>]{0,200}?charset\s*=\s*["']?\s*([\w.:-]+)""", re.IGNORECASE)
_BLOCK = 1 << 20
_HEAD = 2048
"""Bytes of a page in which it may say its encoding, as in the HTML standard (1024 there)."""


def kind_of(path: Path) -> str | None:
    """``text``, ``markdown``, ``html``, ``pdf`` or ``jsonl``; None = unknown."""
    return KINDS.get(path.suffix.lower())


@contextmanager
def opened(path: Path) -> Iterator[BinaryIO]:
    """The file to read from. Raises Unreadable when there is none or it is no regular file (a pipe would never end)."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise Unreadable(f"cannot be read: {error.strerror}") from None
    with os.fdopen(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise Unreadable("no regular file")
        yield file


def content_hash(file: BinaryIO) -> str:
    """Of the whole file, which then stands at its beginning again."""
    digest = hashlib.blake2b(digest_size=16)
    while block := file.read(_BLOCK):
        digest.update(block)
    file.seek(0)
    return digest.hexdigest()


def documents_of(
    file: BinaryIO, kind: str, source: str, fields: Fields, *, encoding: str | None, most: int
) -> Iterator[Document | Problem]:
    """The documents of an open file and what is wrong with the rest of it; one document but for JSONL."""
    if kind == "jsonl":
        yield from rows_of(file, source, fields, most=most)
        return
    size = os.fstat(file.fileno()).st_size
    if size > most:
        yield Problem(source, f"{size:,} bytes, more than {most:,}; --max-bytes allows more")
        return
    try:
        document = _whole(file.read(most + 1), kind, source, encoding)
    except Unreadable as error:
        yield Problem(source, str(error))
        return
    yield document if document.text.strip() else Problem(source, "empty")


def _whole(data: bytes, kind: str, source: str, encoding: str | None) -> Document:
    stem = PurePosixPath(source).stem
    if kind == "pdf":
        pages = pages_of(data)
        return Document(source, pages.text, pages.title or stem, sections=pages.sections)
    if kind == "html":
        found = _DECLARED.search(data[:_HEAD])
        page = page_of(normalised(decoded(data, encoding=encoding or (_known(found[1]) if found else None))))
        return Document(source, page.text, page.title or _over_all(page.sections) or stem, sections=page.sections)
    text = normalised(decoded(data, encoding=encoding))
    if kind == "markdown":
        sections = sections_of(text)
        return Document(source, text, _over_all(sections) or stem, sections=sections)
    return Document(source, text, stem)


def _over_all(sections: Sequence[Section]) -> str:
    """The heading that all sections stand under; empty when there are several."""
    found = {section.headings[0] for section in sections if section.headings}
    return found.pop() if len(found) == 1 else ""


def _known(name: bytes) -> str | None:
    """A declared encoding; None where Python does not know it, or it cannot be true of a page that says so in ASCII."""
    text = name.decode("ascii", "replace").lower()
    try:
        "".encode(text)
    except (LookupError, ValueError):
        return None
    return None if text.startswith(("utf-16", "utf-32")) else text
