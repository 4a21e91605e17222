"""Asking a person inside a run: the question is journalled first, the answer is an effect, and the clock stands still.

Where nobody answers, the task stops with the question open; whoever goes on with the run answers it.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Sequence
from dataclasses import dataclass, field

from phronesis.core.asking import EDIT, Answer, Asker, Question, answer_command, asked, checked, question_data
from phronesis.core.bank import unrecorded
from phronesis.core.budget import Account
from phronesis.core.chat import request_hash
from phronesis.core.effects import Effects
from phronesis.core.errors import AwaitingAnswer, ToolError
from phronesis.core.events import Event
from phronesis.core.site import Site
from phronesis.core.tool import ToolCall
from phronesis.graphs.nodes.calling import Approve, Permission

APPROVAL = "approval"


@dataclass(frozen=True)
class Person:
    """Whom the tasks of a run ask."""

    run: str
    asker: Asker | None = None
    """None = nobody is there."""
    _one: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def answer(self, question: Question) -> Answer | None:
        """What was said, one question of a run at a time; None = nobody answers now. Raises ConfigurationError for what is
        no answer, and whatever the asker raises."""
        if self.asker is None:
            return None
        async with self._one:
            said = await asyncio.to_thread(self.asker, question)
            found = await said if inspect.isawaitable(said) else said
        return None if found is None else checked(found, question)


async def ask(effects: Effects, question: Question, person: Person, *, account: Account) -> Answer:
    """The answer: the journalled one, else the person's. No model call; the time they take is not the task's.

    Raises AwaitingAnswer where nobody answers: the question is in the journal and stays open. ToolError in a replay whose
    recording has no answer: a replay asks nobody."""
    effects.note("question", question.key, question_data(question))

    async def work() -> Answer:
        if effects.replays:
            raise unrecorded(ToolError, f"answer to {question.key!r}, and a replay asks nobody")
        account.pause()
        try:
            found = await person.answer(question)
        finally:
            account.go_on()
        if found is None:
            raise AwaitingAnswer(
                f"{question.name!r} waits for a person: {question.text}",
                mend=answer_command(person.run, question),
                task=question.task,
                key=question.key,
                request=question.request,
            )
        return found

    return await effects.effect(
        question.key,
        asked(question),
        work,
        encode=lambda answer: answer.model_dump(mode="json"),
        decode=Answer.model_validate,
        note={"asked": question.kind},
    )


def answer_events(answers: Sequence[tuple[Question, Answer]]) -> list[Event]:
    """Answers as ``ask`` would have journalled them."""
    return [
        Event(
            "effect",
            question.task,
            question.key,
            {
                "asked": question.kind,
                "hash": request_hash(asked(question)),
                "request": asked(question),
                "value": answer.model_dump(mode="json"),
            },
        )
        for question, answer in answers
    ]


def approval(effects: Effects, person: Person, *, task: str) -> Approve:
    """Asks whether a tool may be called: approve, reject, or other arguments in the place of the model's."""

    async def approve(call: ToolCall, site: Site) -> Permission:
        question = Question(
            key=f"{site.key}?",
            task=task,
            kind=APPROVAL,
            text=f"may the tool {call.name!r} be called with these arguments?",
            choices=("approve", "reject", EDIT),
            request={"tool": call.name, "arguments": call.arguments},
        )
        answer = await ask(effects, question, person, account=site.branch.account)
        if answer.edited is not None:
            call = call.model_copy(update={"arguments": answer.edited})
        return Permission(answer.choice != "reject", call, answer.reason)

    return approve
