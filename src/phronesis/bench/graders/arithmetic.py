"""Arithmetic as models write it: numbers, + - * / and brackets, to an exact value. Nothing is evaluated as code."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction

_LONGEST = 600
"""Characters of an expression."""
_READ = 50_000
"""Characters of a text that are searched for expressions, from its end."""
_DEEPEST = 60
"""Brackets and signs inside each other."""
_SIGNS = str.maketrans({
    "×": "*", "·": "*", "⋅": "*", "∗": "*", "÷": "/", "∕": "/", "⁄": "/", "−": "-", "–": "-", "—": "-", "‐": "-",
    "（": "(", "）": ")", "［": "[", "］": "]", "＋": "+", "＝": "=", "\u00a0": " ", "≈": "=", "\u0001": " ",
})  # fmt: skip
_LATEX = (
    (re.compile(r"\\[dtc]?frac(?=\s*\{)"), "\u0001"),
    (re.compile(r"\\(?:times|cdot|ast)(?![a-zA-Z])"), "*"),
    (re.compile(r"\\div(?![a-zA-Z])"), "/"),
    (re.compile(r"\\(?:left|right|big|Big)(?![a-zA-Z])"), ""),
    (re.compile(r"\\[()\[\],;:! ]"), " "),
    (re.compile(r"(?<=[\d)\]}])(\s*)[xX](?=\s*[\d(\[{\u0001])"), r"\1*"),
)
"""What a formula's LaTeX means here; a fraction becomes a mark of its own before its two groups."""
_BULLET = re.compile(r"\s*(?:[-*+•>]|\d+[.)])\s+")
_RUN = re.compile(r"[\d(\[{+\-\u0001][\d\s.+\-*/()\[\]{}=\u0001]*")
_TOKEN = re.compile(r"\s*(\d+(?:\.\d+)?|[-+*/()\[\]{}\u0001])")
_CLOSING = {"(": ")", "[": "]", "{": "}"}


@dataclass(frozen=True, slots=True)
class Leaf:
    """One number of an expression."""

    value: Fraction
    """As written, without its sign."""
    signed: bool = False
    """Whether a minus sign that subtracts nothing stands right before it."""


@dataclass(frozen=True, slots=True)
class Expression:
    """An expression that could be read."""

    text: str
    value: Fraction | None
    """None: it divides by zero."""
    leaves: tuple[Leaf, ...]
    """Its numbers from left to right."""
    brackets: bool
    """Whether anything is grouped."""


class _Unreadable(Exception):
    pass


def parse_expression(text: str) -> Expression | None:
    """The expression that the text is, or None. ``×``, ``÷``, ``−`` and LaTeX's signs and fractions are read; powers,
    names, products without a sign, and more than 600 characters are not."""
    plain = _plain(text).strip()
    if not plain or len(plain) > _LONGEST:
        return None
    try:
        return _Reader(plain).whole()
    except _Unreadable:
        return None


def expressions(text: str) -> Iterator[Expression]:
    """Every expression with at least one operator in the text, the last one first. Of an equation each side is one,
    left before right."""
    for line in reversed(_plain(text[-_READ:]).splitlines()):
        line = _BULLET.sub("", line, count=1) if _BULLET.match(line) else line
        for run in reversed(_RUN.findall(line)):
            for side in run.split("="):
                found = parse_expression(side.strip(" \t*.")) if len(side) <= 2 * _LONGEST else None
                if found is not None and len(found.leaves) > 1:
                    yield found


def _plain(text: str) -> str:
    """The text with one sign for each operation. Applied twice it changes nothing more."""
    if "\u0001" not in text:
        text = text.translate(_SIGNS)
    for pattern, sign in _LATEX:
        text = pattern.sub(sign, text)
    return text


class _Reader:
    """Recursive descent: sum of products of signed numbers, groups and fractions."""

    def __init__(self, text: str) -> None:
        self._text = text.replace("\u0001", "\\frac")
        self._tokens: list[str] = []
        at = 0
        while at < len(text):
            found = _TOKEN.match(text, at)
            if found is None:
                raise _Unreadable
            self._tokens.append(found[1])
            at = found.end()
        self._at = 0
        self._depth = 0
        self._leaves: list[Leaf] = []
        self._brackets = False

    def whole(self) -> Expression:
        value = self._sum()
        if self._next():
            raise _Unreadable
        return Expression(self._text, value, tuple(self._leaves), self._brackets)

    def _next(self) -> str:
        return self._tokens[self._at] if self._at < len(self._tokens) else ""

    def _take(self) -> str:
        token = self._next()
        self._at += 1
        return token

    def _sum(self) -> Fraction | None:
        value = self._product()
        while self._next() in ("+", "-"):
            sign = self._take()
            other = self._product()
            if value is None or other is None:
                value = None
            else:
                value = value + other if sign == "+" else value - other
        return value

    def _product(self) -> Fraction | None:
        value = self._factor()
        while self._next() in ("*", "/"):
            sign = self._take()
            value = _times(value, self._factor(), sign)
        return value

    def _factor(self) -> Fraction | None:
        self._depth += 1
        if self._depth > _DEEPEST:
            raise _Unreadable
        try:
            return self._inner()
        finally:
            self._depth -= 1

    def _inner(self) -> Fraction | None:
        token = self._take()
        if token == "-":
            first = self._at
            value = self._factor()
            if self._at == first + 1:
                self._leaves[-1] = Leaf(self._leaves[-1].value, signed=True)
            return None if value is None else -value
        if token == "\u0001":
            top = self._group(self._take(), "{")
            return _times(top, self._group(self._take(), "{"), "/")
        if token in _CLOSING:
            self._brackets = True
            return self._group(token, token)
        if not token[:1].isdigit():
            raise _Unreadable
        self._leaves.append(Leaf(Fraction(token)))
        return self._leaves[-1].value

    def _group(self, opening: str, wanted: str) -> Fraction | None:
        if opening != wanted:
            raise _Unreadable
        value = self._sum()
        if self._take() != _CLOSING[opening]:
            raise _Unreadable
        return value


def _times(value: Fraction | None, other: Fraction | None, sign: str) -> Fraction | None:
    if value is None or other is None or (sign == "/" and other == 0):
        return None
    return value * other if sign == "*" else value / other
