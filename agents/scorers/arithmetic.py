"""The exact checker of arithmetic: every ``a op b = c`` that a step writes out is worked out again. Free and never unsure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise

from phronesis.core.result import Candidate
from phronesis.core.site import Site
from phronesis.core.task import Task

_LATEX = (
    (re.compile(r"\\[dt]?frac\{([^{}]+)\}\{([^{}]+)\}"), r"((\1)/(\2))"),
    (re.compile(r"\\(?:times|cdot)"), "*"),
    (re.compile(r"\\div"), "/"),
    (re.compile(r"\\(?:text|mathrm)\{[^{}]*\}"), " "),
    (re.compile(r"\\[()\[\]$%,;! ]|[$€£]|\*\*"), " "),
    (re.compile(r"(?<=\d),(?=\d{3}\b)"), ""),
    (re.compile(r"[×·]|(?<=[\d)])\s*x\s*(?=[\d(])"), "*"),
    (re.compile(r"÷"), "/"),
    (re.compile(r"[−–]"), "-"),
)  # fmt: skip
_TAIL = re.compile(r"[\d.+\-*/() ]+$")
_HEAD = re.compile(r"^[\d.+\-*/() ]+")
_FIRST = re.compile(r"^\s*-?\d+(?:\.\d+)?")
_TOKEN = re.compile(r"\d+(?:\.\d+)?|[-+*/()]")


@dataclass(frozen=True, slots=True)
class Equation:
    """An equation as written and whether it holds."""

    text: str
    holds: bool


def evaluate(expression: str) -> Fraction | None:
    """The exact value of ``+ - * / ( )`` over decimals, or None when it is no such expression or divides by zero."""
    tokens = _TOKEN.findall(expression)
    if "".join(tokens) != re.sub(r"\s+", "", expression) or not tokens:
        return None
    if re.search(r"\d\s+\d", expression):
        return None
    try:
        value, rest = _sum(tokens)
    except (ValueError, ZeroDivisionError, IndexError):
        return None
    return value if not rest else None


def _sum(tokens: list[str]) -> tuple[Fraction, list[str]]:
    value, tokens = _product(tokens)
    while tokens and tokens[0] in "+-":
        sign = tokens[0]
        term, tokens = _product(tokens[1:])
        value = value + term if sign == "+" else value - term
    return value, tokens


def _product(tokens: list[str]) -> tuple[Fraction, list[str]]:
    value, tokens = _factor(tokens)
    while tokens and tokens[0] in "*/":
        sign = tokens[0]
        factor, tokens = _factor(tokens[1:])
        value = value * factor if sign == "*" else value / factor
    return value, tokens


def _factor(tokens: list[str]) -> tuple[Fraction, list[str]]:
    if tokens[0] == "-":
        value, rest = _factor(tokens[1:])
        return -value, rest
    if tokens[0] == "(":
        value, rest = _sum(tokens[1:])
        if rest[0] != ")":
            raise ValueError("unclosed bracket")
        return value, rest[1:]
    return Fraction(tokens[0]), tokens[1:]


def equations(text: str) -> tuple[Equation, ...]:
    """The equations of a text whose left side is arithmetic over plain numbers, in order.

    A right side holds when it is the exact value, or, written with decimals, the value rounded to as many places. It may
    be a number or again an expression. Percentages, units inside an expression and unknowns make it no equation."""
    found = []
    for line in text.splitlines():
        for pattern, replacement in _LATEX:
            line = pattern.sub(replacement, line)
        sides = re.split(r"=|≈", line)
        for left, right in pairwise(sides):
            equation = _equation(left, right)
            if equation is not None:
                found.append(equation)
    return tuple(found)


def _equation(left: str, right: str) -> Equation | None:
    tail = _TAIL.search(left.rstrip())
    expression = tail[0].strip() if tail else ""
    if not re.search(r"[\d)]\s*[-+*/]\s*[\d(-]", expression):
        return None
    value = evaluate(expression)
    first = _FIRST.match(right)
    if value is None or first is None or right[first.end() :].lstrip().startswith("%"):
        return None
    number = first[0].strip()
    head = _HEAD.match(right)
    whole = evaluate(head[0].strip()) if head else None
    places = len(number.partition(".")[2])
    near = places > 0 and abs(value - Fraction(number)) <= Fraction(1, 2 * 10**places)
    holds = value == Fraction(number) or near or (whole is not None and whole == value)
    return Equation(f"{expression} = {number}", holds)


@dataclass(frozen=True)
class Arithmetic:
    """Scores a step by the equations in it. The three figures are ours, chosen apart and not calibrated."""

    right: float = 0.97
    """Every equation of the step holds."""
    silent: float = 0.9
    """The step has no equation that can be checked."""
    wrong: float = 0.1
    """At least one does not hold."""
    name: str = "arithmetic"
    calls: int = 0

    def step(self, text: str) -> float:
        """The score of one step."""
        checked = equations(text)
        if not checked:
            return self.silent
        return self.right if all(equation.holds for equation in checked) else self.wrong

    async def score(self, task: Task, candidate: Candidate, *, site: Site) -> tuple[float, ...]:
        return tuple(self.step(step) for step in candidate.steps)
