"""LaTeX answers: found in a reply, in one spelling, equal when math-verify says so."""

from __future__ import annotations

import re
from dataclasses import dataclass

from phronesis.core.task import AnswerFormat
from phronesis.tools.extraction import Extraction, last_number, marked_answer
from phronesis.tools.latex_equality import COMPARER, Comparer
from phronesis.tools.latex_forms import canonical_latex

_FORMULA = re.compile(r"(?<!\\)\$\$(.+?)(?<!\\)\$\$|(?<!\\)\$(.+?)(?<!\\)\$|\\\((.+?)\\\)|\\\[(.+?)\\\]", re.DOTALL)
"""Between dollar signs that are not written out, or brackets for formulas."""


@dataclass(frozen=True, slots=True)
class LatexAnswers:
    """Formulas: forms of latex_forms.py, equal by their spelling, by value, or by algebra."""

    extraction: Extraction = "lenient"
    """``lenient``: a reply without a marked answer is read by its last formula or number; ``strict``: it is not."""
    format: AnswerFormat = "latex"
    comparer: Comparer = COMPARER

    def extract(self, text: str, *, cut_off: bool = False) -> str | None:
        marked = marked_answer(text)
        if marked is not None:
            return _last_formula(marked) or self.canonical(marked)
        return _last_formula_or_number(text) if self.extraction == "lenient" and not cut_off else None

    def canonical(self, raw: str) -> str | None:
        return canonical_latex(raw)

    def equal(self, left: str, right: str) -> bool:
        return self.comparer.equal(left, right)


def _last_formula(text: str) -> str | None:
    found = [next(part for part in groups if part) for groups in _FORMULA.findall(text)]
    return canonical_latex(found[-1]) if found else None


def _last_formula_or_number(text: str) -> str | None:
    """Whichever stands later."""
    places = list(_FORMULA.finditer(text))
    number = last_number(text[places[-1].end() :] if places else text)
    return canonical_latex(number) if number is not None else _last_formula(text)
