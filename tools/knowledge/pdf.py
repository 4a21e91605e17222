"""PDF to text, page by page (pypdf, extra ``documents``)."""

from __future__ import annotations

import io
import logging
from importlib.util import find_spec
from typing import NamedTuple

from phronesis.tools.knowledge.documents import Section, Unreadable, normalised


class Pages(NamedTuple):
    """The text of all pages, an empty line between them."""

    text: str
    title: str
    sections: tuple[Section, ...]


def pages_of(data: bytes) -> Pages:
    """The text of a PDF. Raises Unreadable for one that is damaged, locked or holds only pictures."""
    if find_spec("pypdf") is None:
        raise Unreadable("PDF files need pypdf: pip install 'phronesis[documents]'")
    import pypdf

    logging.getLogger("pypdf").setLevel(logging.CRITICAL)
    try:
        reader = pypdf.PdfReader(io.BytesIO(data))
        if reader.is_encrypted and not reader.decrypt(""):
            raise Unreadable("a PDF locked by a password")
        texts = [page.extract_text() for page in reader.pages]
        title = str((reader.metadata and reader.metadata.title) or "")
    except Unreadable:
        raise
    except (Exception, RecursionError) as error:
        # The boundary to a parser of foreign files, which raises anything.
        raise Unreadable(f"a damaged PDF: {type(error).__name__}: {' '.join(str(error).split())[:200]}") from error
    if not any(text.strip() for text in texts):
        raise Unreadable(f"no text in {len(texts)} PDF pages; scanned pictures need text recognition first")
    pieces, sections, length = [], [], 0
    for number, text in enumerate(texts, start=1):
        piece = normalised(text).strip()
        if piece:
            sections.append(Section(length, (), number))
            pieces.append(piece)
            length += len(piece) + 2
    return Pages("\n\n".join(pieces), " ".join(normalised(title).split()), tuple(sections))
