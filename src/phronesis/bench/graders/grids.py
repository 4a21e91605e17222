"""Grids of small numbers, read from a reply: JSON lists, or rows of digits."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

Grid = list[list[int]]

_MOST = 64
"""Rows or columns of a grid."""
_DEEPEST = 4
_ROW = re.compile(r"[ \t|]*\d(?:[ \t|,]*\d)*[ \t|,]*")
_GAP = re.compile(r"(?<=[\d\]])[ \t\n\r]+(?=[\d\[])")


def as_grid(value: Any) -> Grid | None:
    """The value when it is a grid: rows of equal length, whole numbers from 0 to 9, at most 64 by 64."""
    if not isinstance(value, list) or not 0 < len(value) <= _MOST:
        return None
    width = len(value[0]) if isinstance(value[0], list) else 0
    if not 0 < width <= _MOST:
        return None
    for row in value:
        if not isinstance(row, list) or len(row) != width:
            return None
        if not all(isinstance(cell, int) and not isinstance(cell, bool) and 0 <= cell <= 9 for cell in row):
            return None
    return value


def grids_of(text: str) -> list[Grid]:
    """Every grid in the text, in order: those written as JSON lists (commas may be missing), or where there is none the
    runs of lines that are rows of digits, ``003``, ``0 0 3`` or ``|0|0|3|``."""
    return [grid for value in _lists(text) for grid in _flat(value)] or list(_rows(text))


def _flat(value: Any) -> Iterator[Grid]:
    grid = as_grid(value)
    if grid is not None:
        yield grid
    elif isinstance(value, list):
        for inner in value:
            if isinstance(inner, list):
                yield from _flat(inner)


def _lists(text: str) -> Iterator[Any]:
    """The outermost lists of nothing but numbers and lists; one pass."""
    depth = start = 0
    for at, sign in enumerate(text):
        if sign == "[":
            if not depth:
                start = at
            depth += 1
            if depth > _DEEPEST:
                depth = 0
        elif sign == "]" and depth:
            depth -= 1
            if not depth:
                try:
                    yield json.loads(_GAP.sub(", ", text[start : at + 1]))
                except ValueError:
                    pass
        elif depth and not (sign.isdigit() or sign in ", \t\r\n"):
            depth = 0


def _rows(text: str) -> Iterator[Grid]:
    run: Grid = []
    for line in [*text.splitlines(), ""]:
        cells = _cells(line)
        if run and (cells is None or len(cells) != len(run[0])):
            if as_grid(run):
                yield run
            run = []
        if cells is not None:
            run.append(cells)


def _cells(line: str) -> list[int] | None:
    """The digits of a row; None for a line that is none, one with a number of several digits between others
    included."""
    line = line.strip().strip("`")
    if not line or len(line) > 4 * _MOST or _ROW.fullmatch(line) is None:
        return None
    parts = [part for part in re.split(r"[ \t|,]+", line) if part]
    digits = list(parts[0]) if len(parts) == 1 else parts
    return [int(digit) for digit in digits] if all(len(digit) == 1 and digit.isascii() for digit in digits) else None
