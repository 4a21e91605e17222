"""A report's blocks as HTML. Every text is escaped here; charts come escaped."""

from __future__ import annotations

import math
from collections.abc import Sequence

from phronesis.bench.ranking import Interval
from phronesis.bench.reports.blocks import Block, Cell, Column, Note, Section, Table
from phronesis.bench.reports.figures import cut
from phronesis.bench.reports.svg import escaped, number


def text(value: str) -> str:
    """Text of a model or of data: escaped, its writing direction kept to itself."""
    return f"<bdi>{escaped(value)}</bdi>"


def section(item: Section, level: int = 2) -> str:
    """A section with its parts; nothing for an empty one."""
    if item.empty:
        return ""
    inner = "".join(_block(block) for block in item.blocks) + "".join(section(part, level + 1) for part in item.parts)
    head = f"<h{level}>{text(item.title)}</h{level}>"
    return f'<section id="{escaped(item.anchor)}">{head}{inner}</section>\n'


def _block(block: Block) -> str:
    if isinstance(block, Note):
        return f"<p>{text(block.text)}</p>"
    if isinstance(block, Table):
        return table(block)
    figures = "".join(
        f"<figure><figcaption>{escaped(chart.title)}</figcaption>{chart.svg}"
        + (f'<p class="caption">{escaped(chart.caption)}</p>' if chart.caption else "")
        + "</figure>"
        for chart in block.charts
    )
    return f'<div class="figures{" narrow" if block.narrow else ""}">{figures}</div>\n'


def table(block: Table) -> str:
    """A table that scrolls sideways where it does not fit."""
    heads = "".join(
        f'<th scope="col"{_class("n" if column.number else "")}{_hint(column.hint)}>{escaped(column.name)}</th>'
        for column in block.columns
    )
    scales = [_scale([row[index] for row in block.rows], column) for index, column in enumerate(block.columns)]
    rows = []
    for row in block.rows:
        cells = zip(row, block.columns, scales, strict=True)
        drawn = (_cell(cell, number=column.number, scale=scale) for cell, column, scale in cells)
        rows.append(f"<tr>{''.join(drawn)}</tr>")
    caption = f'<p class="caption">{escaped(block.caption)}</p>' if block.caption else ""
    style = _class("fit" if block.fit else "")
    body = f"<table{style}><thead><tr>{heads}</tr></thead><tbody>{''.join(rows)}</tbody></table>"
    return f'<div class="scroll" tabindex="0">{body}</div>{caption}\n'


def _cell(cell: Cell, *, number: bool, scale: tuple[float, float] | None) -> str:
    names = " ".join(filter(None, ("n" if number else "i" if cell.interval is not None else "", cell.tone)))
    drawn = _glyph(cell.interval, scale) if cell.interval is not None and scale is not None else ""
    return f"<td{_class(names)}{_hint(cell.hint)}>{text(cut(cell.text))}{drawn}</td>"


def _class(names: str) -> str:
    return f' class="{names}"' if names else ""


def _hint(hint: str) -> str:
    return f' title="{escaped(hint)}"' if hint else ""


def _scale(cells: Sequence[Cell], column: Column) -> tuple[float, float] | None:
    """The bounds of a column's intervals."""
    known = [cell.interval for cell in cells if cell.interval is not None and not math.isnan(cell.interval.low)]
    if not known:
        return None
    low, high = min(item.low for item in known), max(item.high for item in known)
    return (min(low, 0.0), max(high, 0.0)) if column.zero else (low, high)


_GLYPH = 96.0


def _glyph(interval: Interval, scale: tuple[float, float]) -> str:
    """The interval as a line with a dot, on its column's scale; a hair line where zero is."""
    low, high = scale
    if math.isnan(interval.low) or high <= low:
        return ""

    def at(value: float) -> float:
        return 4 + (min(max(value, low), high) - low) / (high - low) * (_GLYPH - 8)

    zero = f'<path class="zero" d="M{number(at(0))} 1V15"/>' if low <= 0 <= high else ""
    line = f'<path class="span" d="M{number(at(interval.low))} 8H{number(at(interval.high))}"/>'
    dot = f'<circle cx="{number(at(interval.value))}" cy="8" r="3"/>'
    size = number(_GLYPH)
    return f'<svg class="glyph" width="{size}" height="16" viewBox="0 0 {size} 16" aria-hidden="true">{zero}{line}{dot}</svg>'
