"""A document to its chunks: spans, titles, pages and ids."""

from __future__ import annotations

import hashlib
from bisect import bisect_right
from collections.abc import Sequence
from typing import NamedTuple

import orjson

from phronesis.tools.knowledge.chunking import spans
from phronesis.tools.knowledge.documents import Document, Section


class Chunk(NamedTuple):
    """``document.text[start:end]``."""

    id: str
    start: int
    end: int
    title: str
    """The document's, and the headings that all of it stands under: ``Guide > Install``."""
    page: int | None
    text: str

    @property
    def digest(self) -> bytes:
        """Equal for equal texts."""
        return hashlib.blake2b(self.text.encode(), digest_size=8).digest()


def chunks_of(document: Document, *, size: int, overlap: int) -> list[Chunk]:
    """The chunks in order. Ids stay the same while source, place and text do; those of a row that has an id are that id,
    with ``#1``, ``#2`` ... where it is cut into several."""
    starts = [section.start for section in document.sections if section.headings]
    places = spans(document.text, size=size, overlap=overlap, sections=starts)
    found, seen = [], 0
    for number, (start, end) in enumerate(places, start=1):
        text = document.text[start:end]
        if document.id is None:
            id_ = short_hash(f"{document.source}\n{start}:{end}\n{text}")
        else:
            id_ = document.id if len(places) == 1 else f"{document.id}#{number}"
        touched = _sections_of(document.sections, max(start, seen), end)
        headings = _shared([section.headings for section in touched])
        page = _sections_of(document.sections, start, start + 1)[:1]
        found.append(Chunk(id_, start, end, _title(document.title, headings), page[0].page if page else None, text))
        seen = end
    return found


def document_hash(document: Document) -> str:
    """Another one when anything of the document changes."""
    whole: list[object] = [document.source, document.text, document.title, document.id, dict(document.facts)]
    whole += [list(section) for section in document.sections]
    return short_hash(orjson.dumps(whole, option=orjson.OPT_SORT_KEYS).decode(), size=16)


def short_hash(text: str, *, size: int = 6) -> str:
    """``size`` bytes as hex digits."""
    return hashlib.blake2b(text.encode(), digest_size=size).hexdigest()


def _sections_of(sections: Sequence[Section], start: int, end: int) -> list[Section]:
    """Those that ``start:end`` touches; what stands before the first belongs to none, an empty one."""
    first = bisect_right(sections, start, key=lambda section: section.start) - 1
    last = bisect_right(sections, end - 1, key=lambda section: section.start)
    before = [Section(0)] if first < 0 and sections else []
    return [*before, *sections[max(0, first) : last]]


def _shared(paths: Sequence[tuple[str, ...]]) -> tuple[str, ...]:
    """What all paths begin with."""
    if not paths:
        return ()
    length = 0
    for names in zip(*paths, strict=False):
        if len(set(names)) > 1:
            break
        length += 1
    return paths[0][:length]


def _title(title: str, headings: tuple[str, ...]) -> str:
    if title and headings[:1] != (title,):
        headings = (title, *headings)
    return " > ".join(headings)
