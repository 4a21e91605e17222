"""What a run asks a person: the question, the answer, how an answer is written down, and which questions are open."""

from __future__ import annotations

import shlex
from collections.abc import Awaitable, Callable, Mapping, Sequence
from difflib import get_close_matches
from typing import Any

import orjson
from pydantic import BaseModel, ConfigDict

from phronesis.core.chat import request_hash
from phronesis.core.errors import ConfigurationError
from phronesis.core.events import Event, EventIndex

EDIT = "edit"
"""The choice that puts other arguments in the place of the asked ones."""


class _Value(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Question(_Value):
    """What a person is asked."""

    key: str
    """Names the place in the task, the same in every session of the run."""
    task: str
    kind: str
    """What it is about: ``approval`` of a tool call, a ``verdict``."""
    text: str = ""
    """The question in words."""
    choices: tuple[str, ...] = ()
    """What may be answered, with ``: reason`` behind it or, for ``edit``, ``: {arguments}``."""
    reasoned: tuple[str, ...] = ()
    """Choices that are no answer without a reason."""
    request: dict[str, Any] = {}
    """What the answer is about, as JSON. An answer holds for this very request."""

    @property
    def name(self) -> str:
        """``TASK:KEY``: how it is named in a run."""
        return f"{self.task}:{self.key}"


class Answer(_Value):
    """What a person said."""

    choice: str
    reason: str = ""
    edited: dict[str, Any] | None = None
    """Arguments in the place of the asked ones; given with the choice ``edit`` and only with it."""


Asker = Callable[[Question], Answer | Awaitable[Answer | None] | None]
"""Asks a person; None = nobody answers now. A plain function runs in a thread of its own, so it may wait for input."""


def checked(answer: Answer, question: Question) -> Answer:
    """The answer, when it is one to the question. Raises ConfigurationError."""
    if answer.choice not in question.choices:
        near = get_close_matches(answer.choice, question.choices, n=1, cutoff=0.5)
        hint = f"did you mean {near[0]!r}?" if near else f"choose from {', '.join(question.choices)}"
        raise ConfigurationError(f"{answer.choice!r} is no answer to {question.name!r}", mend=hint)
    if (answer.edited is not None) != (answer.choice == EDIT):
        said = "lacks the arguments" if answer.choice == EDIT else "has arguments and is no edit"
        raise ConfigurationError(
            f"the answer {answer.choice!r} to {question.name!r} {said}", mend='write edit: {"argument": value}'
        )
    if answer.choice in question.reasoned and not answer.reason.strip():
        raise ConfigurationError(
            f"the answer {answer.choice!r} to {question.name!r} lacks a reason", mend=f"write '{answer.choice}: reason'"
        )
    return answer


def read_answer(text: str, question: Question) -> Answer:
    """An answer as people write it: ``approve``, ``reject``, ``reject: reason``, ``edit: {"argument": value}``.

    Raises ConfigurationError for a choice that is none, one that lacks its reason, and arguments that are no JSON object."""
    choice, colon, rest = (part.strip() for part in text.partition(":"))
    if choice != EDIT:
        return checked(Answer(choice=choice, reason=rest), question)
    try:
        edited = orjson.loads(rest)
    except orjson.JSONDecodeError as error:
        said = f"{rest!r} is no JSON: {error}" if colon else "it has no arguments"
        raise ConfigurationError(
            f"the edit of {question.name!r} cannot be read: {said}", mend='write edit: {"argument": value}'
        ) from None
    if not isinstance(edited, dict):
        raise ConfigurationError(
            f"the edit of {question.name!r} is no JSON object: {rest!r}", mend='write edit: {"argument": value}'
        )
    return checked(Answer(choice=choice, edited=edited), question)


def read_answers(texts: Sequence[str], questions: Sequence[Question]) -> list[tuple[Question, Answer]]:
    """Answers written ``TASK:KEY=answer`` with the open questions they answer.

    Raises ConfigurationError for a name that no open question has, naming those there are, and for a second answer."""
    found: dict[str, tuple[Question, Answer]] = {}
    for text in texts:
        named = [question for question in questions if text.startswith(f"{question.name}=")]
        if not named:
            raise ConfigurationError(f"{text!r} answers no open question", mend=_open(questions))
        question = max(named, key=lambda item: len(item.name))
        if question.name in found:
            raise ConfigurationError(f"{question.name!r} is answered twice", mend="leave one of the answers out")
        found[question.name] = (question, read_answer(text[len(question.name) + 1 :], question))
    return list(found.values())


def _open(questions: Sequence[Question]) -> str:
    if not questions:
        return "no question is open: leave --answer out"
    return f"open: {', '.join(question.name for question in questions)}; write --answer '{questions[0].name}=approve'"


def answer_command(run: str, question: Question, choice: str = "") -> str:
    """The command that answers a question of a run, for a shell: with the choice, by default the first one."""
    said = choice or question.choices[0]
    said += ": reason" if said in question.reasoned else ""
    return f"phronesis runs resume {run} --answer {shlex.quote(f'{question.name}={said}')}"


class OpenQuestions:
    """Hears a run's events in their order and keeps the questions that nobody has answered."""

    def __init__(self) -> None:
        self._open: dict[tuple[str, str], Event] = {}
        self._answered: dict[tuple[str, str], object] = {}

    def hear(self, event: Event) -> None:
        """Takes in an event. A task that is finished or begins again has no open question."""
        place = (event.task, event.key)
        if event.type == "question":
            if self._answered.get(place) != event.data.get("hash"):
                self._open[place] = event
        elif event.type == "effect" and "asked" in event.data:
            self._answered[place] = event.data.get("hash")
            if place in self._open and self._open[place].data.get("hash") == event.data.get("hash"):
                del self._open[place]
        elif event.type in ("task_finished", "retry"):
            self._open = {at: item for at, item in self._open.items() if at[0] != event.task}

    @property
    def questions(self) -> tuple[Question, ...]:
        """The open ones, in the order they were asked."""
        return tuple(question_of(event) for event in self._open.values())

    def __len__(self) -> int:
        return len(self._open)


def open_questions(index: EventIndex) -> tuple[Question, ...]:
    """The questions of a journal that nobody has answered, task by task."""
    found = OpenQuestions()
    for task in index.tasks_with.get("question", ()):
        for event in index.of(task, "question", "effect", "task_finished"):
            found.hear(event)
    return found.questions


def question_of(event: Event) -> Question:
    """The question of an event; one that was journalled without texts says what it is about and no more."""
    data = event.data
    return Question(
        key=event.key,
        task=event.task,
        kind=str(data.get("kind", "")),
        text=str(data.get("text", "")),
        choices=tuple(data.get("choices", ())),
        reasoned=tuple(data.get("reasoned", ())),
        request=dict(data.get("request", {})),
    )


def question_data(question: Question) -> Mapping[str, Any]:
    """What a journal keeps of a question."""
    data = question.model_dump(mode="json", exclude={"key", "task"})
    return {**data, "hash": request_hash(asked(question))}


def asked(question: Question) -> dict[str, Any]:
    """The request that an answer is journalled under; no tool and no model is asked the same."""
    return {"asked": question.kind, "about": question.request}
