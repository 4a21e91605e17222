"""A small SVG writer: elements, scales with sensible ticks, and the frame that every chart stands in."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from phronesis.bench.reports.palette import CHART_STYLE, COLOURS, DASHES, MARKS, variables

_NAMESPACE = "http://www.w3.org/2000/svg"
_INVISIBLE = re.compile("[\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff]")
_CONTROL = {code: chr(0x2400 + code) for code in range(32) if code not in (9, 10)} | {127: "\u2421"}
_CONTROL |= dict.fromkeys((*range(128, 160), *range(0xD800, 0xE000), 0xFFFE, 0xFFFF), "\ufffd")


def visible(text: str) -> str:
    """The text with control characters shown as their pictures; tabs and line breaks stay."""
    return text.translate(_CONTROL)


def escaped(text: str) -> str:
    """Text for element content and quoted attributes of HTML and SVG, whatever it holds."""
    safe = visible(text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return safe.replace('"', "&quot;").replace("'", "&#39;")


def label(text: str) -> str:
    """Text for one line of a chart: white space as single blanks, no marks that turn the writing direction, escaped."""
    return escaped(" ".join(_INVISIBLE.sub("", text).split()))


def number(value: float) -> str:
    """A coordinate with at most one decimal."""
    text = f"{value:.1f}"
    return text[:-2] if text.endswith(".0") else text


def tag(name: str, content: str = "", **attributes: str | float | None) -> str:
    """An element. ``class_`` is class, other underscores become hyphens; None leaves an attribute out. Values are trusted."""
    written = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{number(value) if isinstance(value, float | int) else value}"'
        for key, value in attributes.items()
        if value is not None
    )
    return f"<{name}{written}>{content}</{name}>" if content else f"<{name}{written}/>"


@dataclass(frozen=True, kw_only=True)
class Scale:
    """Values to pixels along one axis."""

    low: float
    high: float
    start: float
    """Pixel of ``low``."""
    end: float
    log: bool = False

    def __call__(self, value: float) -> float:
        low, high = (math.log(self.low), math.log(self.high)) if self.log else (self.low, self.high)
        at = math.log(max(value, self.low)) if self.log else value
        share = (at - low) / (high - low) if high > low else 0.5
        return self.start + min(max(share, 0.0), 1.0) * (self.end - self.start)


def ticks(low: float, high: float, *, count: int = 5) -> list[float]:
    """Round values (1, 2, 2.5 or 5 times a power of ten) within [low, high]: about ``count``, at least one."""
    if not high > low:
        return [low]
    rough = (high - low) / max(1, count)
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * factor for factor in (1, 2, 2.5, 5, 10) if power * factor >= rough * 0.999)
    first = math.ceil(low / step - 1e-9)
    last = math.floor(high / step + 1e-9)
    return [round(index * step, 12) for index in range(first, last + 1)] or [low]


def log_ticks(low: float, high: float) -> list[float]:
    """1, 2 and 5 times powers of ten within [low, high]; only the powers when there are many."""
    powers = range(math.floor(math.log10(low)) - 1, math.ceil(math.log10(high)) + 2)
    fine = [factor * 10.0**power for power in powers for factor in (1, 2, 5)]
    inside = [value for value in fine if low * 0.999 <= value <= high * 1.001]
    if len(inside) > 7:
        inside = [value for value in inside if abs(math.log10(value) - round(math.log10(value))) < 1e-9]
    return inside if len(inside) > 1 else ticks(low, high, count=4)


def short(value: float) -> str:
    """A tick's text: 0.25, 40, 1,500, 20k, 3M."""
    size = abs(value)
    for limit, unit in ((1e9, "G"), (1e6, "M"), (1e4, "k")):
        if size >= limit:
            divisor = 1e3 if unit == "k" else limit
            return f"{value / divisor:.3g}{unit}"
    return f"{value:,.0f}" if size >= 1000 or value == int(value) else f"{value:.3g}"


def percents(value: float) -> str:
    """A share as per cent, without the sign."""
    return f"{100 * value:.3g}"


@dataclass(frozen=True, kw_only=True)
class Frame:
    """A plot area with its axes."""

    x: Scale
    y: Scale
    x_label: str
    y_label: str
    x_ticks: Sequence[float]
    y_ticks: Sequence[float]
    x_text: Callable[[float], str] = short
    y_text: Callable[[float], str] = short

    def draw(self) -> str:
        """Grid, axes, tick texts; the vertical axis is named above it, so that nobody turns the head."""
        parts = []
        for value in self.y_ticks:
            at = self.y(value)
            parts.append(tag("line", x1=self.x.start, x2=self.x.end, y1=at, y2=at, class_="grid"))
            text = escaped(self.y_text(value))
            parts.append(tag("text", text, x=self.x.start - 8, y=at + 4.3, text_anchor="end", class_="tick"))
        bottom = self.y.start
        parts.append(tag("line", x1=self.x.start, x2=self.x.end, y1=bottom, y2=bottom, class_="base"))
        for value in self.x_ticks:
            at = self.x(value)
            parts.append(tag("line", x1=at, x2=at, y1=bottom, y2=bottom + 4, class_="base"))
            text = escaped(self.x_text(value))
            parts.append(tag("text", text, x=at, y=bottom + 18, text_anchor="middle", class_="tick"))
        middle = (self.x.start + self.x.end) / 2
        parts.append(tag("text", label(self.x_label), x=middle, y=bottom + 37, text_anchor="middle", class_="axis"))
        parts.append(tag("text", label(self.y_label), x=0, y=14, class_="axis"))
        return "".join(parts)


def series_class(index: int) -> str:
    """The class that colours a series."""
    return f"s{index % COLOURS}"


def dash(index: int) -> str | None:
    """The dashes of a series' line; None = drawn through."""
    return DASHES[index % len(DASHES)] or None


def mark(index: int, x: float, y: float, *, size: float = 4.5, hollow: bool = False, title: str = "") -> str:
    """The mark of a series at a place; ``title`` is shown when it is pointed at."""
    kind = MARKS[index % len(MARKS)]
    style = {"class_": f"{series_class(index)} {'hollow' if hollow else 'mark'}"}
    inner = tag("title", label(title)) if title else ""
    if kind == "circle":
        return tag("circle", inner, cx=x, cy=y, r=size, **style)
    if kind == "square":
        side = size * 0.9
        return tag("rect", inner, x=x - side, y=y - side, width=2 * side, height=2 * side, **style)
    high, wide = size * 1.25, size * 1.15
    corners = {
        "triangle": [(0.0, -high), (wide, high * 0.75), (-wide, high * 0.75)],
        "diamond": [(0.0, -high), (high, 0.0), (0.0, high), (-high, 0.0)],
        "cross": _cross(size * 1.15, size * 0.42),
    }[kind]
    path = "M" + "L".join(f"{number(x + right)} {number(y + down)}" for right, down in corners) + "Z"
    return tag("path", inner, d=path, **style)


def _cross(reach: float, half: float) -> list[tuple[float, float]]:
    quarter = [(half, -reach), (half, -half), (reach, -half), (reach, half)]
    lower = [(half, half), (half, reach), (-half, reach), (-half, half)]
    return [*quarter, *lower, (-reach, half), (-reach, -half), (-half, -half), (-half, -reach)]


def chart(content: str, *, name: str, title: str, description: str, wide: float, high: float) -> str:
    """The whole SVG with its accessible title and description. ``name`` makes its ids unique in a page."""
    heads = tag("title", label(title), id=f"{name}-t") + tag("desc", label(description), id=f"{name}-d")
    box = f"0 0 {number(wide)} {number(high)}"
    return tag(
        "svg",
        heads + content,
        viewBox=box,
        width=wide,
        height=high,
        class_="chart",
        role="img",
        aria_labelledby=f"{name}-t {name}-d",
    )


def standalone(svg: str) -> str:
    """The chart as a file of its own: it brings its colours and follows the viewer's theme."""
    style = tag("style", variables() + CHART_STYLE + "svg.chart{background:var(--paper)}")
    head, end, rest = svg.partition(">")
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{head} xmlns="{_NAMESPACE}"{end}{style}{rest}\n'
