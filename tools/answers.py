"""Answers: find one in a reply, bring it to a canonical form, tell which ones are equal.

An answer that cannot be read is None, a state of its own: it is counted and never votes.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from phronesis.core.errors import ConfigurationError
from phronesis.core.ports import AnswerSpace
from phronesis.core.task import AnswerFormat
from phronesis.tools.code_answers import CodeAnswers
from phronesis.tools.extraction import Extraction, last_line, last_number, marked_answer
from phronesis.tools.latex import LatexAnswers
from phronesis.tools.latex_equality import need_math_verify
from phronesis.tools.numbers import NUMBER_IN_TEXT, close_numbers, parse_number, show_number


def _read(
    text: str, canonical: Callable[[str], str | None], fallback: Callable[[str], str | None], *, lenient: bool
) -> str | None:
    """The marked answer in canonical form; without one, and where that is allowed, what the fallback finds."""
    raw = marked_answer(text)
    if raw is None and lenient:
        raw = fallback(text)
    return None if raw is None else canonical(raw)


def _last_choice(text: str) -> str | None:
    """The last letter in brackets, else a last line that holds nothing more than a letter."""
    found = re.findall(r"\(([A-J])\)", text)
    line = last_line(text)
    return str(found[-1]) if found else line if line is not None and len(line) <= 3 else None


@dataclass(frozen=True, slots=True)
class NumberAnswers:
    """Numbers: exact fractions behind a canonical text, equal within one part in a million."""

    extraction: Extraction = "lenient"
    """``lenient``: a reply without a marked answer is read by its last number (GSM8K's rule); ``strict``: it is not."""
    format: AnswerFormat = "number"

    def extract(self, text: str, *, cut_off: bool = False) -> str | None:
        return _read(text, self.canonical, last_number, lenient=self.extraction == "lenient" and not cut_off)

    def canonical(self, raw: str) -> str | None:
        text = raw.rsplit("=", 1)[-1].strip()
        value = parse_number(text)
        if value is None:
            found = NUMBER_IN_TEXT.findall(text)
            value = parse_number(found[0]) if len(found) == 1 else None
        return None if value is None else show_number(value)

    def equal(self, left: str, right: str) -> bool:
        first, second = parse_number(left), parse_number(right)
        if first is None or second is None:
            return False
        return close_numbers(first, second)


_TEXT = re.compile(r"\\text\{((?:(?!\\text\{)[^}])*)\}")
_CHOICE = re.compile(r"\(?([A-J])\)?(?=$|[\s.,:;)\]*])")


@dataclass(frozen=True, slots=True)
class ChoiceAnswers:
    """One letter from A to J."""

    extraction: Extraction = "lenient"
    """``lenient``: without a marked answer the last lone letter in brackets counts; ``strict``: it does not."""
    format: AnswerFormat = "choice"

    def extract(self, text: str, *, cut_off: bool = False) -> str | None:
        return _read(text, self.canonical, _last_choice, lenient=self.extraction == "lenient" and not cut_off)

    def canonical(self, raw: str) -> str | None:
        text = _TEXT.sub(r"\1", raw).strip().strip("*_`\"'$ ")
        if re.fullmatch(r"\(?[a-j]\)?\.?", text):
            text = text.upper()
        found = _CHOICE.match(text)
        return found[1] if found else None

    def equal(self, left: str, right: str) -> bool:
        return left == right


_ARTICLES = re.compile(r"^(?:the|an?)\s+")


@dataclass(frozen=True, slots=True)
class TextAnswers:
    """Short texts: equal when they are after folding case, spaces, leading articles and closing punctuation."""

    extraction: Extraction = "lenient"
    """``lenient``: without a marked answer the last line counts; ``strict``: it does not."""
    format: AnswerFormat = "text"

    def extract(self, text: str, *, cut_off: bool = False) -> str | None:
        return _read(text, self.canonical, last_line, lenient=self.extraction == "lenient" and not cut_off)

    def canonical(self, raw: str) -> str | None:
        text = _TEXT.sub(r"\1", raw)
        text = " ".join(text.split()).strip(" \"'`*_.,;:!?").casefold()
        return _ARTICLES.sub("", text) or None

    def equal(self, left: str, right: str) -> bool:
        return left == right


def answer_space(format: AnswerFormat, extraction: Extraction = "lenient") -> AnswerSpace:
    """The space of a format. Raises ConfigurationError for an unknown one, SetupError for latex without math-verify."""
    table: dict[str, AnswerSpace] = {
        "number": NumberAnswers(extraction),
        "code": CodeAnswers(extraction),
        "choice": ChoiceAnswers(extraction),
        "text": TextAnswers(extraction),
        "latex": LatexAnswers(extraction),
    }
    if format not in table:
        raise ConfigurationError(f"unknown answer format {format!r}", mend=f"choose one of {', '.join(table)}")
    if format == "latex":
        need_math_verify()
    return table[format]


def representatives(answers: Sequence[str | None], space: AnswerSpace) -> tuple[str | None, ...]:
    """For each answer the representative of its class: the first member in index order; None stays None.

    Equal texts are one class; classes are then compared by their representatives in index order, and one joins the
    first it equals. At most c(c-1)/2 comparisons for c distinct texts."""
    classes: dict[str, str] = {}
    leaders: list[str] = []
    for answer in answers:
        if answer is None or answer in classes:
            continue
        leader = next((known for known in leaders if space.equal(known, answer)), None)
        if leader is None:
            leaders.append(answer)
        classes[answer] = leader or answer
    return tuple(None if answer is None else classes[answer] for answer in answers)
