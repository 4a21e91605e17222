"""Exact match as BIG-Bench Hard has it: the text after "the answer is", without its full stop, whatever its case."""

from __future__ import annotations

import re
from typing import Literal

from pydantic import BaseModel

from phronesis.bench.dataset import Example
from phronesis.bench.graders.aliases import golds
from phronesis.bench.graders.by_answer import NoOptions
from phronesis.bench.graders.grader import WRONG, Attempted, Grade, GraderContext, graded
from phronesis.bench.graders.table import GraderEntry
from phronesis.core.errors import ConfigurationError
from phronesis.tools.answers import TextAnswers

_AFTER = re.compile(r".*\bthe answer is\b[\s:]*", re.IGNORECASE | re.DOTALL)
_OPTION = re.compile(r"\(([a-z])\)(?:\s.*)?", re.DOTALL)


class ByExactText:
    """Right when the texts are equal after ``exact_text``; the fact ``aliases`` holds further right answers."""

    reads: Literal["answer", "text"] = "answer"

    def check(self, example: Example) -> None:
        if not all(exact_text(gold) for gold in golds(example)):
            raise ConfigurationError(
                f"nothing is left of the gold answer {example.gold[:80]!r} of {example.task.id!r}",
                mend="correct the line, or name another grader",
            )

    async def grade(self, example: Example, attempt: Attempted) -> Grade:
        found = exact_text(attempt.answer or "")
        return graded(found in {exact_text(gold) for gold in golds(example)}, found) if found else WRONG

    async def close(self) -> None:
        pass


def exact_text(text: str) -> str:
    """What is compared: after the last "the answer is", the case folded, without quotes, a leading article and closing
    punctuation; an option ``(A) some text`` is its letter. The text of a text is itself."""
    text = TextAnswers().canonical(_AFTER.sub("", text)) or ""
    option = _OPTION.fullmatch(text)
    return option[1] if option else text


def _build(context: GraderContext, options: BaseModel) -> ByExactText:
    return ByExactText()


ENTRY = GraderEntry(
    name="exact",
    summary='the same text after "the answer is"; case, closing punctuation and the option\'s brackets aside (BBH)',
    options=NoOptions,
    build=_build,
)
