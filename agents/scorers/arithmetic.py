"""The exact checker of arithmetic: every ``a op b = c`` that a step writes out is worked out again. Free and never unsure.

A false alarm costs a right step its score, a missed equation costs nothing: whatever cannot be read with certainty (unknowns,
powers, percentages, remainders) is passed over in silence.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from fractions import Fraction

from phronesis.agents.expressions import evaluate
from phronesis.core.result import Candidate
from phronesis.core.site import Site
from phronesis.core.task import Task

_PLAIN = (
    (re.compile(r"\\%"), "%"),
    (re.compile(r"(?<=\d)(?:\{,\}|\\,|,)(?=\d{3}\b)"), ""),
    (re.compile(r"\\[dt]?frac\{([^{}]+)\}\{([^{}]+)\}"), r"((\1)/(\2))"),
    (re.compile(r"\\(?:times|cdot)"), "*"),
    (re.compile(r"\\div|÷"), "/"),
    (re.compile(r"\\(?:text|mathrm)\{[^{}]*\}"), " "),
    (re.compile(r"\\[()\[\]$,;! ]|[$€£]|\*\*"), " "),
    (re.compile(r"[×·]|(?<=[\d)])\s*x\s*(?=[\d(])"), "*"),
    (re.compile(r"[−–]"), "-"),
)
"""LaTeX and typography to plain arithmetic, in this order."""
_UNITS = re.compile(r"(?<=\d)\s*[A-Za-z]+(?:\s*/\s*[A-Za-z]+|\s+[A-Za-z]+){0,3}(?=\s*(?:[-+*/=≈)]|$))")
"""Units behind numbers. Without them an equation can only be confirmed: what was cut away might have mattered."""
_TAIL = re.compile(r"[\d.+\-*/() ]+$")
_HEAD = re.compile(r"[\d.+\-*/() ]+")
_NUMBER = re.compile(r"\s*-?\d+(?:\.\d+)?")
_OPERATION = re.compile(r"[\d)]\s*[-+*/]\s*[\d(-]")
_GLUED = re.compile(r"[\w^!%}|.]$|\d[:,]$")
"""Before an expression: it is cut out of something larger."""
_GOES_ON = re.compile(
    r"\s*(?:[%^*/+({!²³½¼¾…\\]|\.[.\\]|-\s*[\w(]|[:,]?\d)|e\d|\s*[^\W\d_](?![^\W\d_])"
    r"|\s*(?:remainder|rem|r\d|mod|million|billion|thousand|hundred|dozen)\b",
    re.IGNORECASE,
)
"""After a right side: the number is not all of it."""


@dataclass(frozen=True, slots=True)
class Equation:
    """An equation as written and whether it holds."""

    text: str
    holds: bool


def equations(text: str) -> tuple[Equation, ...]:
    """The equations of a text whose left side is arithmetic over plain numbers, in order.

    A right side holds when it is the exact value, or, written with decimals (or after ≈), the value rounded to as many
    places. It may be a number or again an expression. Two lines that begin alike (``total = 9 * 12``, ``total = 108``) are
    one equation, which can only be confirmed."""
    found = []
    before: tuple[str, str] | None = None
    for line in text.splitlines():
        for pattern, replacement in _PLAIN:
            line = pattern.sub(replacement, line)
        written, bare = (re.split(r"(=|≈)", version) for version in (line, _UNITS.sub("", line)))
        for index in range(0, len(written) - 2, 2):
            rounded = written[index + 1] == "≈"
            equation = _equation(written[index].rstrip(), written[index + 2], rounded=rounded)
            if equation is None:
                equation = _equation(bare[index].rstrip(), bare[index + 2], rounded=rounded)
                equation = equation if equation is not None and equation.holds else None
            if equation is not None:
                found.append(equation)
        label, value = written[0].strip(), written[-1]
        if before is not None and before[0] == label and (equation := _equation(before[1], value, rounded=False)):
            found += [equation] if equation.holds else []
        before = (label, value.rstrip()) if len(written) == 3 and label else None
    return tuple(found)


def _left_side(left: str) -> str | None:
    """The expression that ends a text, or None when it is part of something that cannot be read."""
    tail = _TAIL.search(left[-400:])
    expression = tail[0].strip() if tail else ""
    if tail is None or not _OPERATION.search(expression):
        return None
    before = left[: len(left) - len(tail[0])]
    signed = re.match(r"-[\d(]", expression) is not None
    if expression[0] in "+-*/" and (before.strip() or not signed):
        return None
    if before and not tail[0][0].isspace() and _GLUED.search(before):
        return None
    last = before.rstrip()[-1:]
    return None if last and unicodedata.category(last) in ("Sm", "Sk", "No") else expression


def _equation(left: str, right: str, *, rounded: bool) -> Equation | None:
    expression = _left_side(left)
    value = None if expression is None else evaluate(expression)
    first = _NUMBER.match(right)
    if value is None or first is None or len(first[0]) > 100 or right[first.end() :].lstrip().startswith("%"):
        return None
    number = first[0].strip()
    places = len(number.partition(".")[2])
    near = (places > 0 or rounded) and abs(value - Fraction(number)) <= Fraction(1, 2 * 10**places)
    if value == Fraction(number) or near:
        return Equation(f"{expression} = {number}", True)
    end, whole = _longest_value(right, first.end())
    if whole == value:
        return Equation(f"{expression} = {right[:end].strip()}", True)
    return None if _GOES_ON.match(right[end:]) else Equation(f"{expression} = {number}", False)


def _longest_value(right: str, least: int) -> tuple[int, Fraction | None]:
    """(end, value) of the longest beginning that is an expression, at least the first number."""
    head = _HEAD.match(right)
    for end in range(min(len(head[0]), 200) if head else least, least - 1, -1):
        value = evaluate(right[:end].strip())
        if value is not None:
            return end, value
    return least, None


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

    def calls_for(self, candidate: Candidate) -> int:
        return 0

    def step(self, text: str) -> float:
        """The score of one step."""
        checked = equations(text)
        if not checked:
            return self.silent
        return self.right if all(equation.holds for equation in checked) else self.wrong

    async def score(self, task: Task, candidate: Candidate, *, site: Site) -> tuple[float, ...]:
        return tuple(self.step(step) for step in candidate.steps)
