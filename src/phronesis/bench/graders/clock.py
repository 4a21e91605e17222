"""Times of day as plans write them."""

from __future__ import annotations

import re

TIME = r"\d{1,2}:\d\d(?!\d)(?:\s?[apAP]\.?[mM]\b\.?)?|\d{1,2}\s?[apAP]\.?[mM]\b\.?"
"""A time in running text: ``9:00AM``, ``14:30``, ``9 am``."""
_PARTS = re.compile(r"\s*(\d{1,2})(?::(\d\d))?\s*(?:([apAP])\.?[mM]\.?)?\s*")


def minutes_of(text: str) -> int | None:
    """Minutes since midnight of a time with 24 or (with AM, PM) 12 hours, 24:00 included; None when it is none."""
    found = _PARTS.fullmatch(text)
    if found is None or not (found[2] or found[3]):
        return None
    hour, minute = int(found[1]), int(found[2] or 0)
    if found[3]:
        if not 1 <= hour <= 12:
            return None
        hour = hour % 12 + (12 if found[3] in "pP" else 0)
    total = 60 * hour + minute
    return total if minute < 60 and total <= 24 * 60 else None


def clock_of(minutes: int) -> str:
    """``H:MM`` with 24 hours."""
    return f"{minutes // 60}:{minutes % 60:02d}"
