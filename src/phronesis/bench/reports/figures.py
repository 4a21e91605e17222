"""Figures as texts. A dash stands for what is not known."""

from __future__ import annotations

import math

from phronesis.bench.ranking import Interval

NONE = "–"
LONGEST = 300
"""Characters of a text that a table shows."""


def cut(text: str) -> str:
    """The text, or its beginning and an ellipsis."""
    return text if len(text) <= LONGEST else text[: LONGEST - 1].rstrip() + "…"


def share(value: float | None) -> str:
    """``62.5`` of 0.625."""
    return NONE if value is None or math.isnan(value) else f"{100 * value:.1f}"


def points(interval: Interval) -> str:
    """``+4.2 [−1.0, +9.4]``: a difference in percentage points."""
    if math.isnan(interval.value):
        return NONE
    value, low, high = (_signed(100 * figure) for figure in (interval.value, interval.low, interval.high))
    return f"{value} [{low}, {high}]"


def _signed(value: float) -> str:
    text = f"{value:+.1f}"
    return "0.0" if text in ("+0.0", "-0.0") else text.replace("-", "−")


def shares(interval: Interval) -> str:
    """``62.5 [50.0, 73.4]``."""
    if math.isnan(interval.value):
        return NONE
    if math.isnan(interval.low) or math.isnan(interval.high):
        return share(interval.value)
    return f"{share(interval.value)} [{share(interval.low)}, {share(interval.high)}]"


def amount(value: float | None) -> str:
    """``1,966`` or ``21.4``; ``∞`` where nothing suffices."""
    if value is None or math.isnan(value):
        return NONE
    if math.isinf(value):
        return "∞"
    if abs(value) >= 100 or value == int(value):
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def money(value: float | None) -> str:
    """Three significant digits, never in powers of ten: ``0.00123``."""
    if value is None or math.isnan(value):
        return NONE
    if math.isinf(value):
        return "∞"
    if value == 0:
        return "0"
    digits = max(0, 2 - math.floor(math.log10(abs(value))))
    return f"{value:,.{digits}f}"


def seconds(value: float | None) -> str:
    """``0.42``, ``21.4``, ``1,430``."""
    return amount(value)


def probability(value: float) -> str:
    """``0.031``, ``< 0.001``."""
    if math.isnan(value):
        return NONE
    return "< 0.001" if value < 0.001 else f"{value:.3f}"
