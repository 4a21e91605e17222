"""Reliability: how often answers were right against how sure they were, with how many answers stand behind each point."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from phronesis.bench.reports.svg import Frame, Scale, chart, mark, number, percents, series_class, tag

_WIDE, _HIGH = 320.0, 350.0
_LEFT, _TOP, _BOTTOM, _STRIP = 44.0, 30.0, 48.0, 40.0


@dataclass(frozen=True, kw_only=True)
class Bin:
    """Answers of about the same confidence."""

    confidence: float
    """Mean."""
    accuracy: float
    count: int


def reliability_diagram(bins: Sequence[Bin], *, style: int, name: str, title: str, description: str) -> str:
    """The chart as SVG: points on the diagonal are calibrated; the strip below shows how the confidences are spread."""
    x = Scale(low=0.0, high=1.0, start=_LEFT, end=_WIDE - 14)
    y = Scale(low=0.0, high=1.0, start=_HIGH - _BOTTOM - _STRIP, end=_TOP)
    floor = Scale(low=0.0, high=1.0, start=_HIGH - _BOTTOM, end=_HIGH - _BOTTOM - _STRIP + 8)
    shares = [0.0, 0.25, 0.5, 0.75, 1.0]
    frame = Frame(
        x=x, y=y, x_label="", y_label="right, %", x_ticks=(), y_ticks=shares, x_text=percents, y_text=percents
    )
    below = Frame(x=x, y=floor, x_label="confidence, %", y_label="", x_ticks=shares, y_ticks=(), x_text=percents)
    parts = [frame.draw(), below.draw()]
    parts.append(tag("line", x1=x(0), y1=y(0), x2=x(1), y2=y(1), class_="front"))
    used = [item for item in bins if item.count]
    most = max((item.count for item in used), default=1)
    for item in used:
        height = max(1.0, floor.start - floor(item.count / most))
        left, top = x(item.confidence) - 4, floor.start - height
        parts.append(tag("rect", x=left, y=top, width=8.0, height=height, class_=f"bar {series_class(style)}"))
    path = "L".join(f"{number(x(item.confidence))} {number(y(item.accuracy))}" for item in used)
    if len(used) > 1:
        parts.append(tag("path", d=f"M{path}", class_=f"curve {series_class(style)}", stroke_opacity=0.5))
    for item in used:
        hint = f"{item.count} answers: confidence {percents(item.confidence)}, right {percents(item.accuracy)}"
        size = 3.0 + 3.5 * (item.count / most) ** 0.5
        parts.append(mark(style, x(item.confidence), y(item.accuracy), size=size, title=hint))
    return chart("".join(parts), name=name, title=title, description=description, wide=_WIDE, high=_HIGH)
