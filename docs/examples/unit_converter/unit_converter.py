"""Unit converter: a tool that turns lengths into one another, exactly."""

from __future__ import annotations

from fractions import Fraction
from typing import Literal

import phronesis
from phronesis.core.errors import ToolError

Unit = Literal["mm", "cm", "m", "km", "in", "ft", "mi"]
METRES = {"mm": "0.001", "cm": "0.01", "m": "1", "km": "1000", "in": "0.0254", "ft": "0.3048", "mi": "1609.344"}


@phronesis.tool(pure=True, timeout=5)
def convert(value: float, unit: Unit, to: Unit) -> str:
    """Converts a length into another unit."""
    if value < 0:
        raise ToolError(f"value = {value} is no length", mend="give a length of 0 or more")
    found = Fraction(str(value)) * Fraction(METRES[unit]) / Fraction(METRES[to])
    return f"{float(found):.12g} {to}"
