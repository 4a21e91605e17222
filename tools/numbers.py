"""Numbers as people and models write them, to exact fractions and back."""

from __future__ import annotations

import re
from fractions import Fraction

_UNITS = re.compile(r"\\text\{[^}]*\}|\\mathrm\{[^}]*\}")
_FRACTION = re.compile(r"\\[dt]?frac\{(-?[\d.,]+)\}\{(-?[\d.,]+)\}")
_LONGEST = 400
"""Characters; what is longer is no number that anybody wrote."""
_NUMBER = re.compile(r"[-+]?(?:\d{1,3}(?:,\d{3})+|\d+)?(?:\.\d+)?(?:[eE][-+]?\d+)?")
TOLERANCE = Fraction(1, 10**6)
"""Numbers this close, relative to the larger one, are equal."""
NUMBER_IN_TEXT = re.compile(r"(?<![\w.])[-−]?\$?\s?(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?(?:\s?/\s?\d+(?![\d.]))?")
"""Where a number stands in running text; commas as thousands, one slash as a fraction."""


def parse_number(text: str) -> Fraction | None:
    """The exact value of a written number, or None.

    Reads signs, thousands commas, decimals, powers of ten as ``1e3``, ``a/b``, ``n a/b`` and ``\\frac{a}{b}``; a leading
    currency sign, a trailing unit, percent sign or full stop are dropped (50% reads as 50)."""
    if len(text) > _LONGEST:
        return None
    cleaned = _UNITS.sub("", text).replace("−", "-").replace("\\$", "").replace("\\%", "").replace("\\,", "")
    cleaned = cleaned.replace("\\!", "").replace("{,}", ",").strip().strip("$€£").strip()
    cleaned = _FRACTION.sub(lambda match: f" {match[1]}/{match[2]}", cleaned).strip()
    cleaned = re.sub(r"^-\s+", "-", cleaned)
    cleaned = re.sub(r"(?<=\d)(?:\s*[%°])?(?:\s*[A-Za-z][A-Za-z .]*)?[.\s]*$", "", cleaned)
    cleaned = re.sub(r"^-\s*\$\s*", "-", cleaned).lstrip("$").strip()
    mixed = re.fullmatch(r"(-?\d+)\s+(\d+)/(\d+)", cleaned)
    if mixed and int(mixed[3]):
        whole, part = int(mixed[1]), Fraction(int(mixed[2]), int(mixed[3]))
        return whole + part if whole >= 0 else whole - part
    parts = re.split(r"\s*/\s*", cleaned)
    if len(parts) > 2:
        return None
    values = [_plain(part) for part in parts]
    if None in values:
        return None
    if len(values) == 1:
        return values[0]
    top, bottom = values
    assert top is not None
    return top / bottom if bottom else None


def close_numbers(left: Fraction, right: Fraction) -> bool:
    """Whether two values are equal for a grader: within one part in a million of the larger one."""
    return abs(left - right) <= TOLERANCE * max(abs(left), abs(right))


def _plain(text: str) -> Fraction | None:
    text = text.strip()
    if not re.match(r"[-+]?\.?[0-9]", text) or not _NUMBER.fullmatch(text):
        return None
    exponent = re.search(r"[eE]([-+]?\d+)$", text)
    if exponent and abs(int(exponent[1])) > 400:
        return None
    return Fraction(text.replace(",", ""))


def show_number(value: Fraction) -> str:
    """Canonical text: an integer, else a decimal when it ends within 12 places, else ``a/b``."""
    if value.denominator == 1:
        return str(value.numerator)
    rest = value.denominator
    for prime in (2, 5):
        while rest % prime == 0:
            rest //= prime
    if rest == 1:
        digits = 0
        while (value * 10**digits).denominator != 1 and digits <= 12:
            digits += 1
        if digits <= 12:
            scaled = abs(int(value * 10**digits))
            sign = "-" if value < 0 else ""
            return f"{sign}{scaled // 10**digits}.{scaled % 10**digits:0{digits}d}"
    return f"{value.numerator}/{value.denominator}"
