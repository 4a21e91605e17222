"""Labelled attempts: questions with attempts that somebody else made and marked as right or wrong. They test scorers without
a draw, and stay out of every run: a run sees their texts and answers only."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import orjson
from pydantic import ValidationError

from phronesis.bench.scorer_report import GradedQuestion
from phronesis.bench.sets.row import Row, nearest
from phronesis.core.errors import ConfigurationError
from phronesis.core.result import Result
from phronesis.core.task import AnswerFormat, Task
from phronesis.graphs.sampling.given import own_answer
from phronesis.tools.answers import answer_space


@dataclass(frozen=True, slots=True)
class GivenAttempt:
    """One attempt and its label."""

    text: str
    right: bool
    answer: str | None = None
    """Canonical; None = what can be read from the text."""
    whole: bool = False
    """The text is its own answer, whatever could be read from it."""


@dataclass(frozen=True, slots=True)
class GivenQuestion:
    """A question and the attempts at it, in their order. The task names its answer format."""

    task: Task
    attempts: tuple[GivenAttempt, ...]


Shape = Callable[[Row, AnswerFormat], GivenQuestion]
"""A question of one row, whose attempts may be a part of the question's; the format is that of rows that name none. Raises
ConfigurationError that names the row."""


def own_shape(row: Row, format: AnswerFormat) -> GivenQuestion:
    """Rows of one's own: ``question`` and ``attempts``, a list of ``text``, ``right`` and perhaps ``answer``; or a row per
    attempt: ``question``, ``solution``, ``right``, perhaps ``answer``. Both perhaps with ``id`` and ``answer_format``."""
    fields = row.fields
    task = task_of(row, fields.get("question"), name=fields.get("id"), format=fields.get("answer_format") or format)
    attempts = fields.get("attempts")
    if attempts is None:
        return GivenQuestion(task, (_attempt(fields, "solution", task, row.where),))
    if not isinstance(attempts, list) or not attempts:
        raise ConfigurationError(
            f"{row.where}: attempts = {str(attempts)[:60]!r} is no list of attempts", mend='[{"text", "right"}, ...]'
        )
    made = (_attempt(item, "text", task, f"{row.where}, attempt {n}") for n, item in enumerate(attempts, start=1))
    return GivenQuestion(task, tuple(made))


def task_of(row: Row, question: Any, *, name: Any, format: Any) -> Task:
    """The task of a row. Raises ConfigurationError that names the row."""
    if not isinstance(question, str) or not question.strip():
        hint = nearest("question", [key for key in row.fields if isinstance(row.fields[key], str)])
        raise ConfigurationError(f"{row.where} has no question ({question!r})", mend=f'give it "question"; {hint}')
    if not (name is None or (isinstance(name, (str, int)) and not isinstance(name, bool))):
        raise ConfigurationError(f"{row.where}: id = {name!r} is neither text nor a number", mend="correct the row")
    try:
        return Task.model_validate(
            {"id": "" if name is None else str(name), "messages": question, "answer_format": format}
        )
    except ValidationError as error:
        first = error.errors()[0]
        said = f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
        raise ConfigurationError(f"{row.where}: {said}", mend="correct the row") from None


def _attempt(item: Any, column: str, task: Task, where: str) -> GivenAttempt:
    if not isinstance(item, dict):
        raise ConfigurationError(f"{where} is {str(item)[:60]!r}, no attempt", mend='{"text": ..., "right": true}')
    text = item.get(column)
    if not isinstance(text, str) or not text.strip():
        raise ConfigurationError(f"{where} has no {column} ({text!r})", mend=f'give the attempt\'s text as "{column}"')
    return GivenAttempt(text.strip(), label(item.get("right"), where), _answer(item.get("answer"), task, where))


def label(value: Any, where: str) -> bool:
    """True and false, also as 1 and 0 or as tables write them. Raises ConfigurationError for anything else."""
    known = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}
    found = known.get(str(value).strip().lower()) if isinstance(value, (bool, int, str)) else None
    if found is None:
        said = "is missing" if value is None else f"= {str(value)[:40]!r} is neither true nor false"
        raise ConfigurationError(f"{where}: the label right {said}", mend='say "right": true or false')
    return found


def _answer(value: Any, task: Task, where: str) -> str | None:
    if value is None or value == "":
        return None
    space = answer_space(task.answer_format or "text")
    text = str(value) if isinstance(value, (str, int, float)) and not isinstance(value, bool) else ""
    found = space.canonical(text) or space.extract(text)
    if found is None:
        raise ConfigurationError(
            f"{where}: the answer {str(value)[:60]!r} is no {space.format}",
            mend="correct it, or give the row the answer_format it has",
        )
    return found


def grouped(rows: Iterable[tuple[GivenQuestion, str]]) -> list[GivenQuestion]:
    """Rows with the same question and format as one question, in the order they appear; its id is that of the first.
    ``rows``: each with where it stands.

    Raises ConfigurationError for one id over two questions, and for one text at a question labelled both ways."""
    found: dict[tuple[str, str | None], GivenQuestion] = {}
    places: dict[str, tuple[str, str]] = {}
    for row, where in rows:
        key = (row.task.question, row.task.answer_format)
        known = found.get(key)
        question = row if known is None else GivenQuestion(known.task, (*known.attempts, *row.attempts))
        place, asked = places.setdefault(question.task.id, (where, row.task.question))
        if asked != row.task.question:
            raise ConfigurationError(
                f"{where}: the id {question.task.id!r} stands at {place} too, with another question",
                mend="give each question its own id",
            )
        labels: dict[str, bool] = {}
        for item in question.attempts:
            if labels.setdefault(item.text, item.right) != item.right:
                raise ConfigurationError(
                    f"{where}: the attempt {item.text[:60]!r} at {question.task.id!r} is labelled right and wrong",
                    mend="keep one of the two",
                )
        found[key] = question
    return list(found.values())


def unlabelled(questions: Sequence[GivenQuestion]) -> bytes:
    """The file that the strategy ``given`` reads: ids, texts and answers, no label."""
    lines = []
    for question in questions:
        attempts: list[dict[str, str]] = []
        for number, item in enumerate(question.attempts, start=1):
            answer = own_answer(number) if item.whole else item.answer
            attempts.append({"text": item.text, **({} if answer is None else {"answer": answer})})
        lines.append(orjson.dumps({"id": question.task.id, "attempts": attempts}) + b"\n")
    return b"".join(lines)


def digest(questions: Sequence[GivenQuestion]) -> str:
    """A short hash of what a run sees of them."""
    return hashlib.blake2b(unlabelled(questions), digest_size=6).hexdigest()


def grade_given(results: Sequence[Result], questions: Sequence[GivenQuestion]) -> list[GradedQuestion]:
    """The attempts of each result with their labels, found by their texts; questions that are not given are left out.

    Raises ConfigurationError for an attempt that has no label."""
    labels = {question.task.id: {item.text: item.right for item in question.attempts} for question in questions}
    found = []
    for result in results:
        if result.task_id not in labels:
            continue
        known = labels[result.task_id]
        kept = tuple(item for item in result.candidates if item.status != "failed")
        missing = next((item for item in kept if item.text.strip() not in known), None)
        if missing is not None:
            raise ConfigurationError(
                f"the attempt {missing.id} at {result.task_id!r} is not among the labelled ones",
                mend="give the file the bank was made of, with the same --where",
            )
        found.append(GradedQuestion(result.task_id, kept, tuple(known[item.text.strip()] for item in kept)))
    return found
