"""Points of accuracy against a cost, the Pareto front among them, each named without collisions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from phronesis.bench.reports.labels import Box, fitted, place, width
from phronesis.bench.reports.line_chart import HIGH, WIDE, value_range
from phronesis.bench.reports.svg import (
    Frame,
    Scale,
    chart,
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

_LEFT, _TOP, _BOTTOM, _RIGHT = 44.0, 30.0, 48.0, 14.0


@dataclass(frozen=True, kw_only=True)
class Spot:
    """One arm: what it costs, how accurate it is, and the interval of that."""

    name: str
    x: float
    y: float
    low: float
    high: float
    style: int
    front: bool
    """Whether no other costs less and is at least as accurate."""


def scatter(
    spots: Sequence[Spot],
    *,
    name: str,
    title: str,
    description: str,
    x_label: str,
    y_label: str,
    x_text: Callable[[float], str] = short,
) -> str:
    """The chart as SVG. The cost axis is logarithmic where costs differ more than fourfold. Spots behind the front are
    hollow."""
    costs = [spot.x for spot in spots]
    log = min(costs) > 0 and max(costs) > 4 * min(costs)
    low, high = value_range([(spot.y, spot.low, spot.high) for spot in spots])
    first, last = _bounds(costs, log=log)
    x = Scale(low=first, high=last, start=_LEFT + 6, end=WIDE - _RIGHT, log=log)
    y = Scale(low=low, high=high, start=HIGH - _BOTTOM, end=_TOP)
    frame = Frame(
        x=x,
        y=y,
        x_label=x_label + (" (logarithmic)" if log else ""),
        y_label=y_label,
        x_ticks=(log_ticks if log else ticks)(first, last),
        y_ticks=ticks(low, high),
        x_text=x_text,
        y_text=percents,
    )
    spots = sorted(spots, key=lambda spot: (not spot.front, -spot.x, -spot.y, spot.name))
    shifts = _dodged([x(spot.x) for spot in spots])
    points = [(x(spot.x) + shift, y(spot.y)) for spot, shift in zip(spots, shifts, strict=True)]
    parts = [frame.draw(), _front(spots, x, y)]
    lines = _front_boxes(spots, x, y)
    for spot, (at, _) in zip(spots, points, strict=True):
        style = f"whisker {series_class(spot.style)}"
        parts.append(tag("line", x1=at, x2=at, y1=y(spot.low), y2=y(spot.high), class_=style))
        lines.append(Box(at - 1.5, y(spot.high), at + 1.5, y(spot.low)))
    room = Box(_LEFT + 8, _TOP - 4, WIDE - 2, HIGH - _BOTTOM)
    names = [fitted(spot.name, WIDE * 0.34) for spot in spots]
    labels = place(points, names, room, lines=lines)
    for spot, text, (left, top), at_label in zip(spots, names, points, labels, strict=True):
        if at_label.far:
            near = min(max(left, at_label.x), at_label.x + width(text))
            below = at_label.y > top
            end = f"{number(near)} {number(at_label.y - (12 if below and near == left else 4))}"
            parts.append(tag("path", d=f"M{number(left)} {number(top)}L{end}", class_="leader"))
        style = f"name {series_class(spot.style)}"
        parts.append(tag("text", label(text), x=at_label.x, y=at_label.y, class_=style))
        hint = f"{spot.name}: {percents(spot.y)} at {x_text(spot.x)}"
        parts.append(mark(spot.style, left, top, size=5.2, hollow=not spot.front, title=hint))
    return chart("".join(parts), name=name, title=title, description=description, wide=WIDE, high=HIGH)


def _dodged(places: Sequence[float]) -> list[float]:
    """Shifts in pixels that set points of (nearly) the same cost side by side, so that their intervals can be told apart."""
    found = [0.0] * len(places)
    order = sorted(range(len(places)), key=lambda index: (places[index], index))
    group: list[int] = []
    for index in [*order, -1]:
        if index >= 0 and (not group or places[index] - places[group[0]] < 4):
            group.append(index)
            continue
        for rank, member in enumerate(group):
            found[member] = (rank - (len(group) - 1) / 2) * min(6.0, 30 / max(1, len(group) - 1))
        group = [index]
    return found


def _bounds(costs: Sequence[float], *, log: bool) -> tuple[float, float]:
    if log:
        air = (max(costs) / min(costs)) ** 0.12
        return min(costs) / air, max(costs) * air
    spread = max(costs) - min(costs) or max(abs(max(costs)), 1.0)
    return max(0.0, min(costs) - 0.15 * spread), max(costs) + 0.15 * spread


def _front(spots: Sequence[Spot], x: Scale, y: Scale) -> str:
    """The front as steps: what can be had for each cost."""
    best = sorted((spot for spot in spots if spot.front), key=lambda spot: (spot.x, spot.y))
    if not best:
        return ""
    path = f"M{number(x(best[0].x))} {number(y(best[0].y))}"
    for spot in best[1:]:
        path += f"H{number(x(spot.x))}V{number(y(spot.y))}"
    return tag("path", d=path, class_="front")


def _front_boxes(spots: Sequence[Spot], x: Scale, y: Scale) -> list[Box]:
    """Where the front's steps run."""
    best = sorted((spot for spot in spots if spot.front), key=lambda spot: (spot.x, spot.y))
    found = []
    for spot, after in pairwise(best):
        found.append(Box(x(spot.x), y(spot.y) - 2, x(after.x), y(spot.y) + 2))
        found.append(Box(x(after.x) - 2, y(after.y), x(after.x) + 2, y(spot.y)))
    return found
