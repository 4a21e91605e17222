"""Horizontal bars: a row per thing, with its interval, or stacked from parts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from phronesis.bench.reports.labels import fitted, width
from phronesis.bench.reports.line_chart import WIDE
from phronesis.bench.reports.svg import (
    Frame,
    Scale,
    chart,
    escaped,
    label,
    number,
    series_class,
    short,
    tag,
    ticks,
)

_ROW, _TOP, _BOTTOM = 26.0, 8.0, 48.0


@dataclass(frozen=True, kw_only=True)
class Bar:
    """A row: parts that add up (a single one for a plain bar), and the interval of the whole."""

    name: str
    parts: Sequence[tuple[float, int]]
    """(length, style)."""
    low: float | None = None
    high: float | None = None
    text: str = ""
    """What stands at its end."""


def bars(
    rows: Sequence[Bar],
    *,
    name: str,
    title: str,
    description: str,
    x_label: str,
    legend: Sequence[tuple[str, int]] = (),
    x_max: float | None = None,
    x_text: Callable[[float], str] = short,
    least_top: float = 0.0,
) -> str:
    """The chart as SVG, as high as its rows need. ``legend`` names the styles of stacked parts;
    ``least_top`` is room above the rows, so that they stand beside those of another chart."""
    room = min(max(width(row.name) for row in rows), WIDE * 0.36)
    ends = max(width(row.text) for row in rows)
    left = room + 14
    top = _TOP + max(legend_height(legend), least_top)
    high = top + _ROW * len(rows) + _BOTTOM
    most = max(
        [sum(part for part, _ in row.parts) for row in rows]
        + [row.high for row in rows if row.high is not None and row.high > 0]
    )
    last = x_max if x_max is not None else (most or 1.0)
    x = Scale(low=0.0, high=last, start=left, end=WIDE - ends - 14)
    y = Scale(low=0.0, high=1.0, start=high - _BOTTOM, end=top)
    marks = ticks(0.0, last, count=4)
    frame = Frame(x=x, y=y, x_label=x_label, y_label="", x_ticks=marks, y_ticks=(), x_text=x_text)
    parts = [_legend(legend)]
    for value in marks:
        parts.append(tag("line", x1=x(value), x2=x(value), y1=top, y2=y.start, class_="grid"))
    parts.append(frame.draw())
    for index, row in enumerate(rows):
        parts.append(_row(row, top + _ROW * (index + 0.5), x, room))
    return chart("".join(parts), name=name, title=title, description=description, wide=WIDE, high=high)


def _row(row: Bar, middle: float, x: Scale, room: float) -> str:
    name = label(fitted(row.name, room + 2))
    parts = [tag("text", name, x=x.start - 10, y=middle + 4.3, text_anchor="end")]
    begin = 0.0
    for length, style in row.parts:
        box = tag(
            "rect",
            tag("title", label(f"{row.name} {row.text}")),
            x=x(begin),
            y=middle - 8,
            width=max(0.0, x(begin + length) - x(begin)),
            height=16,
            class_=f"bar {series_class(style)}",
        )
        parts.append(box)
        begin += length
    if row.low is not None and row.high is not None and row.low <= row.high:
        low, high = number(x(row.low)), number(x(row.high))
        at, up, down = number(middle), number(middle - 4), number(middle + 4)
        path = f"M{low} {at}H{high}M{low} {up}V{down}M{high} {up}V{down}"
        parts.append(tag("path", d=path, stroke="var(--ink)", stroke_width=1.3, fill="none"))
    end = x(max(begin, row.high if row.high is not None and row.high > begin else begin)) + 8
    parts.append(tag("text", escaped(row.text), x=end, y=middle + 4.3))
    return "".join(parts)


def _legend_places(legend: Sequence[tuple[str, int]]) -> list[tuple[float, float]]:
    places, at, line = [], 4.0, 0
    for name, _ in legend:
        wide = min(width(name), WIDE * 0.5) + 36
        if at + wide > WIDE and at > 4:
            at, line = 4.0, line + 1
        places.append((at, 14 + 20.0 * line))
        at += wide
    return places


def legend_height(legend: Sequence[tuple[str, int]]) -> float:
    """Pixels that a legend takes."""
    return _legend_places(legend)[-1][1] + 14 if legend else 0.0


def _legend(legend: Sequence[tuple[str, int]]) -> str:
    parts = []
    for (name, style), (left, base) in zip(legend, _legend_places(legend), strict=True):
        parts.append(tag("rect", x=left, y=base - 10, width=12, height=12, class_=f"bar {series_class(style)}"))
        parts.append(tag("text", label(fitted(name, WIDE * 0.5)), x=left + 18, y=base))
    return "".join(parts)
