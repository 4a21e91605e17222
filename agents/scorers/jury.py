"""Jury: several judges of different temper score the attempts; the majority of their votes decides.

Source: The Fellowship of the LLMs (arXiv 2408.08688). Each juror is a role of its own (``juror1`` ...), so that a recipe can
name another model for each: a panel of one model shares its blind spots. A tie goes to the higher mean score, then to the
first. Ours: a juror that likes several attempts best shares its vote, and the best of attempts that the jury holds for wrong
is not accepted.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pydantic import Field

from phronesis.agents.prompt import load_prompt
from phronesis.agents.scorers.table import ScorerCalls, ScorerContext, ScorerEntry, ScorerOptions
from phronesis.agents.verification.panel import (
    MOST,
    Mode,
    Sheet,
    asked_sheet,
    figures,
    form_of,
    leaders,
    scale_of,
    sheet_code,
    shown_attempts,
)
from phronesis.core.chat import ChatRequest, Sampling
from phronesis.core.result import Candidate
from phronesis.core.seeds import generator
from phronesis.core.side_by_side import side_by_side
from phronesis.core.site import Site
from phronesis.core.task import Task

PERSONAS = (
    "You are a strict teacher: an error anywhere counts, however well it is written.",
    "You read the question most carefully: you look whether each of its conditions and numbers is used as it says.",
    "You check calculations and facts one by one, and trust none that you have not worked out yourself.",
    "You look at the end first: is what is given at last the very thing that was asked for?",
    "You are an experienced practitioner: you ask whether the result can be so at all.",
)


class JuryOptions(ScorerOptions):
    """What can be set."""

    jurors: int = Field(default=3, ge=1, le=len(PERSONAS))
    """J, judges; an odd number leaves fewer ties."""
    mode: Mode = "combined"
    """``combined``: all attempts with different answers in one prompt, 0 to 10 each (the paper's best); ``independent``: each
    alone; ``choice``: one is chosen by its letter."""
    accept_at: int = Field(default=6, ge=0, le=10)
    """Score from which a juror votes for an attempt that stands alone; the mean that the best of several needs."""
    answers: int = Field(default=4, ge=1, le=MOST)
    """Different answers judged, in the order they were first given; the others get no figure."""
    max_tokens: int = Field(default=400, ge=16)
    """Longest reply."""
    temperature: float = Field(default=0.0, ge=0)
    """Of the jurors."""


@dataclass(frozen=True, kw_only=True)
class Jury:
    """(votes + mean score) / (J + 1) for the attempts of each answer, in [0, 1]; see ``panel.figures``. J calls side by side,
    J for each answer where they are judged alone; each may be asked for again. A juror that cannot be read abstains; without
    any there is no figure."""

    around: ScorerContext
    options: JuryOptions
    name: str = "jury"

    def calls_for(self, candidates: Sequence[Candidate]) -> int:
        judged = leaders(candidates, self.options.answers)
        return 2 * self.options.jurors * (self._prompts(len(judged)) if judged else 0)

    async def score(self, task: Task, candidates: Sequence[Candidate], *, site: Site) -> tuple[float | None, ...]:
        judged = leaders(candidates, self.options.answers)
        if not judged:
            return (None,) * len(candidates)
        asked = [(number, order) for number in self._jurors for order in self._orders(task, len(judged), number, site)]
        names = [f"{site.key}.juror{number}.{order[0]}" for number, order in asked]
        left = site.branch.account.remaining
        each = 2 if left is None or left >= 2 * len(names) else 1
        accounts = site.branch.account.split(dict.fromkeys(names, each))

        async def one(name: str, number: int, order: Sequence[int]) -> Sheet | None:
            place = site.as_role(f"juror{number}").paid_by(accounts[name])
            place = place.at(f"a{order[0]}") if self.options.mode == "independent" else place
            return await self._asked(task, [judged[index] for index in order], number, place)

        try:
            replies = await side_by_side([one(name, *what) for name, what in zip(names, asked, strict=True)])
        finally:
            site.branch.account.join(names)
        parts = [(*what, reply) for what, reply in zip(asked, replies, strict=True)]
        said = [_whole([part[1:] for part in parts if part[0] == number], len(judged)) for number in self._jurors]
        found = figures([sheet for sheet in said if sheet is not None], accept_at=self._accept_at(len(judged)))
        self._note(judged, said, found, site)
        by_answer = dict(zip([item.answer for item in judged], found, strict=False))
        return tuple(None if item.answer is None else by_answer.get(item.answer) for item in candidates)

    @property
    def _jurors(self) -> range:
        return range(1, self.options.jurors + 1)

    def _accept_at(self, count: int) -> int:
        """A direct choice says nothing about how good the chosen one is."""
        return 0 if self.options.mode == "choice" and count > 1 else self.options.accept_at

    def _prompts(self, count: int) -> int:
        return count if self.options.mode == "independent" else 1

    def _orders(self, task: Task, count: int, number: int, site: Site) -> list[tuple[int, ...]]:
        """The attempts of each prompt that a juror gets, in the order it is shown them."""
        if self.options.mode == "independent":
            return [(index,) for index in range(count)]
        order = list(range(count))
        generator(0, task.id, site.as_role(f"juror{number}").key).shuffle(order)
        return [tuple(order)]

    async def _asked(self, task: Task, attempts: Sequence[Candidate], number: int, site: Site) -> Sheet | None:
        mode, shown = self.options.mode, shown_attempts(attempts)
        code = sheet_code(task.question, shown)
        values = {
            "persona": PERSONAS[number - 1],
            "question": task.question,
            "attempts": shown,
            "order": "The order of the solutions means nothing." if len(attempts) > 1 else "",
            "scale": scale_of(mode, len(attempts)),
            "form": form_of(mode, len(attempts), code),
        }
        messages, _ = load_prompt("jury").fill(values, history=task.history)
        role = f"juror{number}"
        default = Sampling(temperature=self.options.temperature, top_p=1.0, max_tokens=self.options.max_tokens)
        request = ChatRequest(messages=messages, sampling=self.around.sampling(role, default))
        return await asked_sheet(self.around.client(role), request, mode, len(attempts), code, site=site)

    def _note(
        self, judged: Sequence[Candidate], said: Sequence[Sheet | None], found: Sequence[float], site: Site
    ) -> None:
        sheets = [sheet for sheet in said if sheet is not None]
        votes = {sheet.favourites(self._accept_at(len(judged))) for sheet in sheets}
        self.around.note(
            f"{site.key}.jury",
            {
                "rule": "jury",
                "of": [item.id for item in judged],
                "scores": [None if sheet is None else list(sheet.scores) for sheet in said],
                "critiques": [None if sheet is None else sheet.critique for sheet in said],
                "abstained": len(said) - len(sheets),
                "unanimous": len(votes) == 1,
                "figures": list(found),
            },
        )


def _whole(parts: Sequence[tuple[Sequence[int], Sheet | None]], count: int) -> Sheet | None:
    """One juror's sheet in the attempts' order, whatever order it saw them in. None where a part of it cannot be read."""
    scores: dict[int, float] = {}
    for order, sheet in parts:
        if sheet is None:
            return None
        scores |= zip(order, sheet.scores, strict=True)
    critiques = "\n".join(sheet.critique for _, sheet in parts if sheet is not None)
    return Sheet(critiques, tuple(scores[index] for index in range(count)))


def _calls(options: JuryOptions) -> ScorerCalls:
    alone = options.answers if options.mode == "independent" else 1
    return ScorerCalls(task=2 * options.jurors * alone, task_depth=2)


ENTRY = ScorerEntry(
    name="jury",
    kind="group",
    summary="several judges of different temper score 0 to 10; the majority decides; 1 call a juror",
    build=lambda around, options: Jury(around=around, options=options),
    options=JuryOptions,
    calls=_calls,
    roles=lambda options: {f"juror{number}": () for number in range(1, options.jurors + 1)},
)
