"""Lines with interval bands, each named at its right end."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from phronesis.bench.reports.labels import FONT, fitted, spread, width
from phronesis.bench.reports.svg import (
    Frame,
    Scale,
    chart,
    dash,
    label,
    log_ticks,
    mark,
    number,
    percents,
    series_class,
    short,
    tag,
    ticks,
)

WIDE, HIGH = 500.0, 320.0
_LEFT, _TOP, _BOTTOM, _GAP = 44.0, 30.0, 48.0, 15.5


@dataclass(frozen=True)
class Point:
    """A value with its interval, where there is one."""

    x: float
    y: float
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True, kw_only=True)
class Series:
    name: str
    points: Sequence[Point]
    """By rising x."""
    style: int
    """Colour, mark and dashes: one number per thing in all charts of a page."""
    step: bool = False
    """Whether a value holds until the next one; then points have no marks."""


def line_chart(
    series: Sequence[Series],
    *,
    name: str,
    title: str,
    description: str,
    x_label: str,
    y_label: str,
    log: bool = False,
    x_ticks: Sequence[float] | None = None,
    y_range: tuple[float, float] | None = None,
    x_text: Callable[[float], str] = short,
    y_text: Callable[[float], str] = percents,
) -> str:
    """The chart as SVG. ``y_range`` None = just what the values need. With more than four series the bands are left out:
    they would hide each other."""
    xs = [point.x for item in series for point in item.points]
    low, high = y_range or value_range([(point.y, point.low, point.high) for item in series for point in item.points])
    room = min(max(width(item.name) for item in series), WIDE * 0.3)
    tall = max(HIGH, _TOP + _BOTTOM + _GAP * len(series))
    x = Scale(low=min(xs), high=max(xs), start=_LEFT + 6, end=WIDE - room - 20, log=log)
    y = Scale(low=low, high=high, start=tall - _BOTTOM, end=_TOP)
    marks = list(x_ticks) if x_ticks is not None else (log_ticks if log else ticks)(x.low, x.high)
    frame = Frame(
        x=x,
        y=y,
        x_label=x_label,
        y_label=y_label,
        x_ticks=_thinned(marks, x, x_text),
        y_ticks=ticks(low, high),
        x_text=x_text,
        y_text=y_text,
    )
    parts = [frame.draw()]
    if len(series) <= 4:
        parts += [_band(item, x, y) for item in series]
    parts += [_line(item, x, y, y_text) for item in series]
    ends = [y(item.points[-1].y) for item in series]
    places = spread(ends, gap=_GAP, low=_TOP + 4, high=y.start - 4)
    for item, end, at in zip(series, ends, places, strict=True):
        right = x(item.points[-1].x)
        if abs(end - at) > 3 or right < x.end - 1:
            path = f"M{number(right + 6)} {number(end)}L{number(x.end + 10)} {number(at)}"
            parts.append(tag("path", d=path, class_="leader"))
        text = label(fitted(item.name, room + 2))
        style = f"name {series_class(item.style)}"
        parts.append(tag("text", text, x=x.end + 12, y=at + FONT * 0.34, class_=style))
    return chart("".join(parts), name=name, title=title, description=description, wide=WIDE, high=tall)


def value_range(values: Sequence[tuple[float, float | None, float | None]]) -> tuple[float, float]:
    """Bounds of shares with a little air, at least a tenth apart and within [0, 1]."""
    lows = [value if low is None else min(value, low) for value, low, _ in values]
    highs = [value if high is None else max(value, high) for value, _, high in values]
    low, high = min(lows, default=0.0), max(highs, default=1.0)
    air = max(0.02, (high - low) * 0.06, (0.1 - (high - low)) / 2)
    return max(0.0, low - air), min(1.0, high + air)


def _thinned(marks: Sequence[float], scale: Scale, text: Callable[[float], str]) -> list[float]:
    """The ticks whose texts do not touch the one before; the last one always stands."""
    kept: list[float] = []
    for value in reversed(marks):
        half = width(text(value)) / 2
        if not kept or scale(value) + half + 6 < scale(kept[-1]) - width(text(kept[-1])) / 2:
            kept.append(value)
    return kept[::-1]


def _band(item: Series, x: Scale, y: Scale) -> str:
    known = [(point.x, point.low, point.high) for point in item.points if point.low is not None]
    if len(known) < 2:
        return ""
    upper = [f"{number(x(at))} {number(y(high))}" for at, _, high in known if high is not None]
    lower = [f"{number(x(at))} {number(y(low))}" for at, low, _ in reversed(known) if low is not None]
    return tag("path", d="M" + "L".join(upper + lower) + "Z", class_=f"band {series_class(item.style)}")


def _line(item: Series, x: Scale, y: Scale, y_text: Callable[[float], str]) -> str:
    path, before = "", 0.0
    for index, point in enumerate(item.points):
        at, height = x(point.x), y(point.y)
        if item.step and index:
            path += f"L{number(at)} {number(before)}"
        path += f"{'L' if index else 'M'}{number(at)} {number(height)}"
        before = height
    drawn = tag("path", d=path, class_=f"curve {series_class(item.style)}", stroke_dasharray=dash(item.style))
    if not item.step:
        texts = (f"{item.name}: {y_text(point.y)} at {short(point.x)}" for point in item.points)
        drawn += "".join(
            mark(item.style, x(point.x), y(point.y), size=3.6, title=text)
            for point, text in zip(item.points, texts, strict=True)
        )
    return drawn
