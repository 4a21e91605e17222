"""HTML to text with headings, by the parser of the standard library: what a reader sees, without scripts and styles."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from typing import NamedTuple

from phronesis.tools.knowledge.documents import Section, normalised

_HIDDEN = frozenset({"script", "style", "template", "noscript", "svg", "head", "iframe", "object"})
"""Elements whose text nobody reads; of the head only the title is taken."""
_BLOCK = re.compile(
    r"address|article|aside|blockquote|body|br|caption|d[dlt]|details|div|fieldset|figcaption|figure|footer|form|h[1-6r]|header|"
    r"html|li|main|nav|[ou]l|p|pre|section|summary|table|t[dhr]|title"
)
_PARAGRAPH = re.compile(r"p|h[1-6]|pre|blockquote|table|[oud]l|section|article|figure")
_HEADING = re.compile(r"h([1-6])")
_SPACE = re.compile(r"[ \t\r\n\f\v]+")


class Page(NamedTuple):
    """What is read on a page."""

    text: str
    title: str
    sections: tuple[Section, ...]


def page_of(html: str) -> Page:
    """The page's text: an empty line between paragraphs, a line break between other blocks, ``pre`` as it stands."""
    reader = _Reader()
    reader.feed(html)
    reader.close()
    return reader.page()


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self._pieces: list[str] = []
        self._length = 0
        self._gap = ""
        """White space that is owed before the next word."""
        self._hidden: list[str] = []
        self._pre = 0
        self._in_title = False
        self._title: list[str] = []
        self._heading: list[str] | None = None
        self._heading_start: int | None = None
        self._path: list[tuple[int, str]] = []
        self._sections: list[Section] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "title" and not self._title:
            self._in_title = True
        if tag == "body":
            self._hidden.clear()  # a head or script that was never closed ends here
        if tag in _HIDDEN:
            self._hidden.append(tag)
        if self._hidden:
            return
        self._break(tag)
        self._pre += tag == "pre"
        if _HEADING.fullmatch(tag):
            self._heading, self._heading_start = [], None

    def handle_endtag(self, tag: str) -> None:
        if tag == "title":
            self._in_title = False
        if tag in self._hidden:
            while self._hidden.pop() != tag:
                pass
            return
        if self._hidden:
            return
        self._break(tag)
        self._pre = max(0, self._pre - (tag == "pre"))
        level = _HEADING.fullmatch(tag)
        if level and self._heading is not None:
            self._end_heading(int(level[1]))

    def handle_data(self, data: str) -> None:
        if self._in_title:
            self._title.append(data)
            return
        if self._hidden:
            return
        data = normalised(data)  # a character reference may be a carriage return
        if self._pre:
            self._write(data)
            return
        text = _SPACE.sub(" ", data)
        if text.startswith(" ") and not self._gap:
            self._gap = " "
        if text.strip(" "):
            self._write(text.strip(" "))
            self._gap = " " if text.endswith(" ") else ""

    def page(self) -> Page:
        title = " ".join("".join(self._title).split())
        return Page("".join(self._pieces), title, tuple(self._sections))

    def _break(self, tag: str) -> None:
        if _PARAGRAPH.fullmatch(tag):
            self._gap = "\n\n"
        elif _BLOCK.fullmatch(tag) and self._gap != "\n\n":
            self._gap = "\n"

    def _write(self, text: str) -> None:
        if self._length and self._gap:
            self._put(self._gap)
        self._gap = ""
        if self._heading is not None:
            self._heading.append(text)
            if self._heading_start is None:
                self._heading_start = self._length
        self._put(text)

    def _put(self, text: str) -> None:
        self._pieces.append(text)
        self._length += len(text)

    def _end_heading(self, level: int) -> None:
        name = " ".join(" ".join(self._heading or ()).split())
        if name and self._heading_start is not None:
            self._path = [*(item for item in self._path if item[0] < level), (level, name)]
            self._sections.append(Section(self._heading_start, tuple(item[1] for item in self._path)))
        self._heading = None
