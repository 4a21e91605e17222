"""Multiple choice: the letter, or the option's text written out in its place."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from pydantic import BaseModel

from phronesis.bench.dataset import Example
from phronesis.bench.graders.by_answer import NoOptions
from phronesis.bench.graders.facts import text_of, unfit
from phronesis.bench.graders.grader import WRONG, Attempted, Grade, GraderContext, graded
from phronesis.bench.graders.table import GraderEntry
from phronesis.bench.sets.adapters_maths import options_of
from phronesis.core.errors import ConfigurationError
from phronesis.tools.answers import ChoiceAnswers, TextAnswers
from phronesis.tools.extraction import marked_answer
from phronesis.tools.latex_equality import settled
from phronesis.tools.latex_forms import canonical_latex

_LETTERS = ChoiceAnswers()
_TEXTS = TextAnswers()


class ByChoice:
    """Right when the answer is the gold letter. A marked answer that is one option's text stands for its letter.

    Options: the fact ``options`` (letter -> text, or a list from A on), else those found in the question; without any,
    only letters are read."""

    reads: Literal["answer", "text"] = "text"

    def check(self, example: Example) -> None:
        gold, options = _LETTERS.canonical(example.gold), options_for(example)
        if gold is None:
            raise ConfigurationError(
                f"the gold answer {example.gold[:80]!r} of {example.task.id!r} is no letter from A to J",
                mend="correct the line, or name another grader",
            )
        if example.facts.get("options") and gold not in options:
            raise unfit(example, "options", f"none of them is the gold answer {gold}")

    async def grade(self, example: Example, attempt: Attempted) -> Grade:
        found = _letter(attempt, options_for(example))
        return WRONG if found is None else graded(found == _LETTERS.canonical(example.gold), found)

    async def close(self) -> None:
        pass


def options_for(example: Example) -> Mapping[str, str]:
    """Letter -> text. Raises ConfigurationError when the fact ``options`` is neither a table nor a list of texts."""
    found = example.facts.get("options")
    if not found:
        return options_of(example.task.question)
    if isinstance(found, (list, tuple)):
        found = {chr(ord("A") + index): text for index, text in enumerate(found)}
    if not isinstance(found, Mapping) or not all(isinstance(text, str) for text in found.values()):
        raise unfit(example, "options", "it is neither a table letter -> text nor a list of texts")
    return {_LETTERS.canonical(str(letter)) or str(letter): text for letter, text in found.items()}


def letter_of(text: str, options: Mapping[str, str]) -> str | None:
    """The letter of the one option whose text this is, by its words or its value; None for none, or several."""
    words, form = _TEXTS.canonical(text), canonical_latex(text)
    found = []
    for letter, option in options.items():
        other = canonical_latex(option)
        same = settled(other, form) if other is not None and form is not None else None
        if (words is not None and _TEXTS.canonical(option) == words) or (same is not None and same.equal):
            found.append(letter)
    return found[0] if len(found) == 1 else None


def _letter(attempt: Attempted, options: Mapping[str, str]) -> str | None:
    """The letter that was read, where there is such an option; else what stands marked in the text."""
    letter = _LETTERS.canonical(attempt.answer) if attempt.answer is not None else None
    if letter is not None and (letter in options or not options):
        return letter
    for written in (marked_answer(text_of(attempt)), attempt.answer):
        found = letter_of(written, options) if written is not None else None
        if found is not None:
            return found
    return letter


def _build(context: GraderContext, options: BaseModel) -> ByChoice:
    return ByChoice()


ENTRY = GraderEntry(
    name="choice",
    summary="the gold letter, or the text of its option",
    options=NoOptions,
    build=_build,
)
