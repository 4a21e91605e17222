"""Backward check: a number of the problem is hidden, the attempt's answer is put in, and the model finds the hidden number.

Source: FOBAR, Forward-Backward Reasoning (Jiang et al. 2023, arXiv 2308.07758), for number problems: an answer is worth the
share of backward chains that give the hidden number back. Attempts with equal answers share their checks. Which numbers are
hidden is fixed: the last ones of the problem first, because the question's own sentence often holds the one that matters.
Differs from the paper: at most ``hidden`` numbers and few chains each, where the paper masks every number and draws 8 to 16.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from pydantic import Field

from phronesis.agents.prompt import load_prompt
from phronesis.agents.scorers.generative import raise_if_all_failed
from phronesis.agents.scorers.table import ScorerCalls, ScorerEntry, ScorerOptions
from phronesis.core.chat import ChatRequest, Completion, Reply, Sampling
from phronesis.core.ports import AnswerSpace, ChatClient
from phronesis.core.result import Candidate
from phronesis.core.side_by_side import side_by_side
from phronesis.core.site import Site
from phronesis.core.task import Task

_NUMBER = re.compile(r"(?<![\w.,/])\d+(?:,\d{3})*(?:\.\d+)?(?![\w/]|[.,]\d)")
_UNKNOWN = re.compile(r"\bx\b", re.IGNORECASE)


class BackwardOptions(ScorerOptions):
    """What can be set."""

    hidden: int = Field(default=2, ge=1)
    """Numbers of the problem that are hidden, one at a time."""
    votes: int = Field(default=1, ge=1)
    """Backward chains per hidden number."""
    answers: int = Field(default=4, ge=1)
    """Different answers checked, in the order they were first given; the others get no score."""
    max_tokens: int = Field(default=300, ge=16)
    """Longest backward chain."""
    temperature: float = Field(default=0.7, ge=0)
    """The paper's."""


def masked(question: str, hidden: int) -> tuple[tuple[str, str], ...]:
    """(question with x in a number's place, the number), at most ``hidden`` pairs, from the last number on.

    Parts of fractions stay; a question that has an x of its own gives none."""
    if _UNKNOWN.search(question):
        return ()
    found = list(_NUMBER.finditer(question))[::-1][:hidden]
    return tuple((f"{question[: match.start()]}x{question[match.end() :]}", match[0]) for match in found)


@dataclass(frozen=True, kw_only=True)
class Backward:
    """The share of backward chains that find the hidden number, in [0, 1]; None where the problem has no number to hide, and
    for answers that are no numbers."""

    client: ChatClient
    sampling: Sampling
    space: AnswerSpace
    options: BackwardOptions
    name: str = "backward"

    def calls_for(self, candidates: Sequence[Candidate]) -> int:
        answers = {item.answer for item in candidates if item.answer is not None}
        return self.options.hidden * self.options.votes * min(self.options.answers, len(answers))

    def request(self, task: Task, question: str, answer: str) -> ChatRequest:
        """Asks for x, with the answer given."""
        values = {"question": question, "answer": answer}
        messages, prefill = load_prompt("backward").fill(values, history=task.history)
        return ChatRequest(messages=messages, prefill=prefill, sampling=self.sampling)

    async def score(self, task: Task, candidates: Sequence[Candidate], *, site: Site) -> tuple[float | None, ...]:
        site = site.as_role("verifier")
        answers = list(dict.fromkeys(item.answer for item in candidates if item.answer is not None))
        pairs = masked(task.question, self.options.hidden) if self.space.canonical("7") == "7" else ()
        wanted = [(answer, at) for answer in answers[: self.options.answers] for at in range(len(pairs))]
        names = {f"{site.occurrence}.a{answers.index(answer)}.h{at}": self.options.votes for answer, at in wanted}
        accounts = site.branch.account.split(names)

        async def check(name: str, answer: str, at: int) -> tuple[Reply, ...]:
            question = pairs[at][0]
            place = site.at(name.removeprefix(f"{site.occurrence}.")).paid_by(accounts[name])
            return await self.client.sample(self.request(task, question, answer), self.options.votes, site=place)

        try:
            found = await side_by_side(
                [check(name, answer, at) for name, (answer, at) in zip(names, wanted, strict=True)]
            )
        finally:
            site.branch.account.join(tuple(accounts))
        raise_if_all_failed(tuple(reply for part in found for reply in part))
        votes: dict[str, list[bool]] = {}
        for (answer, at), part in zip(wanted, found, strict=True):
            said = [reply for reply in part if isinstance(reply, Completion)]
            votes.setdefault(answer, []).extend(self._finds(reply, pairs[at][1]) for reply in said)
        shares = {answer: sum(part) / len(part) for answer, part in votes.items() if part}
        return tuple(None if item.answer is None else shares.get(item.answer) for item in candidates)

    def _finds(self, reply: Completion, number: str) -> bool:
        value = self.space.extract(reply.text, cut_off=reply.finish == "length")
        wanted = self.space.canonical(number)
        return value is not None and wanted is not None and self.space.equal(value, wanted)


ENTRY = ScorerEntry(
    name="backward",
    kind="group",
    summary="a number of the problem is hidden and must follow from the answer; calls per different answer",
    build=lambda around, options: Backward(
        client=around.client("verifier"),
        sampling=around.sampling(
            "verifier", Sampling(temperature=options.temperature, top_p=0.95, max_tokens=options.max_tokens)
        ),
        space=around.answers,
        options=options,
    ),
    options=BackwardOptions,
    calls=lambda options: ScorerCalls(task=options.hidden * options.votes * options.answers, task_depth=1),
    roles=lambda options: {"verifier": ("prefill",)},
)
