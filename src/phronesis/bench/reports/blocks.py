"""What a report is made of: sections of tables, charts and notes. HTML and Markdown render the same ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from phronesis.bench.ranking import Interval

Tone = Literal["", "good", "bad", "quiet"]


@dataclass(frozen=True)
class Cell:
    """A table's cell. Its text may come from models or data; whoever renders it escapes it."""

    text: str
    tone: Tone = ""
    hint: str = ""
    """What it means, for who points at it."""
    interval: Interval | None = None
    """Drawn small beside the text, on the scale of its column."""


@dataclass(frozen=True)
class Column:
    name: str
    number: bool = True
    """Whether its cells are figures: set flush right."""
    hint: str = ""
    zero: bool = False
    """Whether zero belongs on the scale of its intervals."""


@dataclass(frozen=True, kw_only=True)
class Table:
    columns: Sequence[Column]
    rows: Sequence[Sequence[Cell]]
    caption: str = ""
    """What a reader must know to read it."""
    fit: bool = False
    """Whether its columns shrink to the page's width; else it scrolls."""


@dataclass(frozen=True, kw_only=True)
class Chart:
    name: str
    """Unique in a report; also its file's name."""
    title: str
    svg: str
    caption: str = ""


@dataclass(frozen=True)
class Charts:
    """Charts that stand side by side."""

    charts: Sequence[Chart]
    narrow: bool = False
    """Whether three of them fit a row."""


@dataclass(frozen=True)
class Note:
    """A paragraph."""

    text: str


Block = Table | Charts | Note


@dataclass(frozen=True, kw_only=True)
class Section:
    anchor: str
    title: str
    blocks: Sequence[Block] = ()
    parts: Sequence[Section] = ()

    @property
    def empty(self) -> bool:
        return not self.blocks and all(part.empty for part in self.parts)


def charts_of(sections: Sequence[Section]) -> list[Chart]:
    """Every chart, in reading order."""
    found: list[Chart] = []
    for section in sections:
        for block in section.blocks:
            if isinstance(block, Charts):
                found += block.charts
        found += charts_of(section.parts)
    return found
