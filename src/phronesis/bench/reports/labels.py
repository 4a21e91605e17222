"""Where the words of a chart go so that they do not collide. Widths are estimated: there is no font to measure with."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from typing import NamedTuple

FONT = 12.5
"""Size of chart text in pixels."""
_NARROW, _WIDE = frozenset("fijlrtI.,:;'|!()[]-/ "), frozenset("mwMW@%&—+=<>~")


def width(text: str, *, size: float = FONT) -> float:
    """Estimated pixels of a line of sans-serif text; errs on the wide side."""
    return size * sum(_share(character) for character in text)


def _share(character: str) -> float:
    if character in _NARROW:
        return 0.36
    if character in _WIDE:
        return 0.9
    if unicodedata.east_asian_width(character) in "WF":
        return 1.02
    return 0.66 if character.isupper() else 0.58


def fitted(text: str, room: float, *, size: float = FONT) -> str:
    """The text, or its beginning and end around an ellipsis where it does not fit the room in pixels: names of one family
    differ at their ends."""
    if width(text, size=size) <= room:
        return text
    for kept in range(min(len(text), int(room / (0.36 * size)) + 1), 1, -1):
        head, tail = text[: (kept + 1) // 2].rstrip(), text[len(text) - kept // 2 :].lstrip()
        if width(f"{head}…{tail}", size=size) <= room:
            return f"{head}…{tail}"
    return "…"


def spread(wanted: Sequence[float], *, gap: float, low: float, high: float) -> list[float]:
    """Positions near the wanted ones, at least ``gap`` apart and within [low, high] where that is possible.

    Order is kept (ties by index); when all cannot fit, they stand at equal distances."""
    order = sorted(range(len(wanted)), key=lambda index: (wanted[index], index))
    if len(order) > 1 and gap * (len(order) - 1) > high - low:
        gap = (high - low) / (len(order) - 1)
    blocks: list[tuple[float, list[int]]] = []
    for index in order:
        centre, members = min(max(wanted[index], low), high), [index]
        while blocks and centre - gap * (len(members) - 1) / 2 < blocks[-1][0] + gap * (len(blocks[-1][1]) + 1) / 2:
            before = blocks.pop()[1]
            members = before + members
            centre = sum(wanted[member] for member in members) / len(members)
            half = gap * (len(members) - 1) / 2
            centre = min(max(centre, low + half), high - half)
        blocks.append((centre, members))
    found = [0.0] * len(wanted)
    for centre, members in blocks:
        for rank, member in enumerate(members):
            found[member] = centre + gap * (rank - (len(members) - 1) / 2)
    return found


class Box(NamedTuple):
    """A rectangle in pixels."""

    left: float
    top: float
    right: float
    bottom: float

    def overlap(self, other: Box) -> float:
        """The area that both cover."""
        across = min(self.right, other.right) - max(self.left, other.left)
        down = min(self.bottom, other.bottom) - max(self.top, other.top)
        return across * down if across > 0 and down > 0 else 0.0


class Placed(NamedTuple):
    """Where a label stands."""

    x: float
    """Left edge."""
    y: float
    """Base line."""
    far: bool
    """Whether it stands so far from its point that a line must lead there."""


_HEIGHT, _NEAR = 15.0, 9.0


def place(
    points: Sequence[tuple[float, float]], texts: Sequence[str], room: Box, *, lines: Sequence[Box] = ()
) -> list[Placed]:
    """A place for each point's label inside the room: beside, above or below it, else farther off, where least is covered.

    ``lines`` are what should not be written over either. Greedy in the order given: labels of early points stand nearest."""
    taken = [Box(x - 6, y - 6, x + 6, y + 6) for x, y in points] + list(lines)
    found = []
    for (x, y), text in zip(points, texts, strict=True):
        best: tuple[float, Placed, Box] | None = None
        for penalty, left, middle in _offers(x, y, width(text)):
            left = min(max(left, room.left), room.right - width(text))
            middle = min(max(middle, room.top + _HEIGHT / 2), room.bottom - _HEIGHT / 2)
            box = Box(left - 2, middle - _HEIGHT / 2, left + width(text) + 2, middle + _HEIGHT / 2)
            cost = penalty + sum(box.overlap(other) for other in taken)
            if best is None or cost < best[0]:
                best = cost, Placed(left, middle + FONT * 0.36, penalty >= 8), box
        assert best is not None
        found.append(best[1])
        taken.append(best[2])
    return found


def _offers(x: float, y: float, wide: float) -> list[tuple[float, float, float]]:
    """(penalty, left edge, middle) of the places that are tried."""
    near = [(0.0, x + _NEAR, y), (1.0, x - _NEAR - wide, y), (2.0, x - wide / 2, y - 15), (2.5, x - wide / 2, y + 15)]
    near += [(3.0, x + 6, y - 13), (3.0, x + 6, y + 13), (3.5, x - 6 - wide, y - 13), (3.5, x - 6 - wide, y + 13)]
    far = []
    for step in range(2, 9):
        down = 13.0 * step
        for sign in (-1, 1):
            far += [(8.0 + 2 * step, x + 16, y + sign * down), (9.0 + 2 * step, x - 16 - wide, y + sign * down)]
    return near + far
