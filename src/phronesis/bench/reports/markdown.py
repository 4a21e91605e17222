"""A report as Markdown: its tables and notes; charts as links where they were written."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from phronesis.bench.reports.blocks import Charts, Note, Section, Table
from phronesis.bench.reports.figures import cut
from phronesis.bench.reports.svg import visible

_SPECIAL = re.compile(r"([\\`*|~]|(?<!\w)_|_(?!\w)|\](?=\(|\[|:)|!(?=\[)|^#)")
"""What could be markup within a line; an underscore inside a word and a lone bracket are not."""


def markdown(
    title: str, lead: Sequence[str], warnings: Sequence[str], sections: Sequence[Section], *, plots: Mapping[str, str]
) -> str:
    """The whole file. ``plots``: chart name -> relative path, of charts that were written."""
    parts = [f"# {plain(title)}", " · ".join(plain(cut(part)) for part in lead)]
    if warnings:
        parts.append("\n".join(f"- **Note:** {plain(text)}" for text in warnings))
    for section in sections:
        parts += _section(section, 2, plots)
    return "\n\n".join(parts) + "\n"


def _section(section: Section, level: int, plots: Mapping[str, str]) -> list[str]:
    if section.empty:
        return []
    parts = [f"{'#' * level} {plain(section.title)}"]
    for block in section.blocks:
        if isinstance(block, Table):
            parts.append(table(block))
            if block.caption:
                parts.append(plain(block.caption))
        elif isinstance(block, Note):
            parts.append(plain(block.text))
        elif isinstance(block, Charts):
            drawn = [f"![{plain(item.title)}]({plots[item.name]})" for item in block.charts if item.name in plots]
            if drawn:
                parts.append("\n".join(drawn))
    for part in section.parts:
        parts += _section(part, level + 1, plots)
    return parts


def table(block: Table) -> str:
    """A pipe table, figures flush right."""
    lines = [
        "| " + " | ".join(plain(column.name) for column in block.columns) + " |",
        "|" + "|".join("---:" if column.number else "---" for column in block.columns) + "|",
    ]
    lines += ["| " + " | ".join(plain(cut(cell.text)) for cell in row) + " |" for row in block.rows]
    return "\n".join(lines)


def plain(text: str) -> str:
    """Text in which nothing is markup, on one line."""
    line = " ".join(visible(text).split())
    line = _SPECIAL.sub(r"\\\1", line.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;"))
    return re.sub(r"^([-+]|\d+[.)])(?=\s)", r"\\\1", line)
