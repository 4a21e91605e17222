"""Exact values of written arithmetic: ``+ - * / ( )`` over decimals, and nothing else."""

from __future__ import annotations

import re
from fractions import Fraction

_TOKEN = re.compile(r"\d+(?:\.\d+)?|[-+*/()]")
_LONGEST = 400
"""Characters; what is longer is no step of a solution, and is refused before it costs anything."""
_DEEPEST = 40
"""Brackets and signs inside one another."""


def evaluate(expression: str) -> Fraction | None:
    """The exact value, or None when it is no such expression, divides by zero, or is absurdly long or deep."""
    if len(expression) > _LONGEST or re.search(r"\d\s+\d", expression):
        return None
    tokens = _TOKEN.findall(expression)
    if not tokens or "".join(tokens) != re.sub(r"\s+", "", expression):
        return None
    try:
        value, rest = _sum(tokens, 0)
    except (ValueError, ZeroDivisionError, IndexError):
        return None
    return value if not rest else None


def _sum(tokens: list[str], depth: int) -> tuple[Fraction, list[str]]:
    value, tokens = _product(tokens, depth)
    while tokens and tokens[0] in "+-":
        sign = tokens[0]
        term, tokens = _product(tokens[1:], depth)
        value = value + term if sign == "+" else value - term
    return value, tokens


def _product(tokens: list[str], depth: int) -> tuple[Fraction, list[str]]:
    value, tokens = _factor(tokens, depth)
    while tokens and tokens[0] in "*/":
        sign = tokens[0]
        factor, tokens = _factor(tokens[1:], depth)
        value = value * factor if sign == "*" else value / factor
    return value, tokens


def _factor(tokens: list[str], depth: int) -> tuple[Fraction, list[str]]:
    if depth > _DEEPEST:
        raise ValueError("too deep")
    if tokens[0] == "-":
        value, rest = _factor(tokens[1:], depth + 1)
        return -value, rest
    if tokens[0] == "(":
        value, rest = _sum(tokens[1:], depth + 1)
        if rest[0] != ")":
            raise ValueError("unclosed bracket")
        return value, rest[1:]
    return Fraction(tokens[0]), tokens[1:]
