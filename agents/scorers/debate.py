"""Debate: judges with parts of their own argue about the attempts, then one who has heard them decides.

Source: The Fellowship of the LLMs (arXiv 2408.08688): feedback giver, critic and summariser speak one after another; the
decision is a score for each attempt. What was said is shown to the one who decides as a record, and decides nothing itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pydantic import Field

from phronesis.agents.passages import shortened
from phronesis.agents.prompt import load_prompt
from phronesis.agents.scorers.table import ScorerCalls, ScorerContext, ScorerEntry, ScorerOptions
from phronesis.agents.verification.panel import (
    MOST,
    asked_sheet,
    figures,
    form_of,
    leaders,
    scale_of,
    sheet_code,
    shown_attempts,
)
from phronesis.core.chat import ChatRequest, Sampling, completion_of
from phronesis.core.result import Candidate
from phronesis.core.site import Site
from phronesis.core.task import Task

PARTS = (
    ("feedback giver", "You give feedback: you say of each solution what is right in it and what is wrong."),
    ("critic", "You are the critic: you doubt what was said, work decisive points out yourself and correct them."),
    ("defender", "You defend what is right: you look for what the critic treated unfairly, and admit what is wrong."),
    ("summariser", "You sum up: which points are settled by now, and which solutions they leave standing."),
)
_NOBODY = "(nothing yet)"
_DECIDER = "You decide at the end of a discussion; what was said in it may be wrong."


class DebateOptions(ScorerOptions):
    """What can be set."""

    debaters: int = Field(default=3, ge=1, le=len(PARTS))
    """J. With 3: feedback giver, critic, summariser; 4 adds a defender."""
    rounds: int = Field(default=1, ge=1, le=5)
    """R, times that each of them speaks."""
    accept_at: int = Field(default=6, ge=0, le=10)
    """Score from which an attempt is accepted."""
    answers: int = Field(default=4, ge=1, le=MOST)
    """Different answers judged, in the order they were first given; the others get no figure."""
    max_tokens: int = Field(default=250, ge=16)
    """Longest contribution; the decision may be as long again."""
    temperature: float = Field(default=0.0, ge=0)
    """Of the debaters."""

    @property
    def parts(self) -> tuple[tuple[str, str], ...]:
        """Who speaks, in order; the summariser is the last of three or more."""
        return PARTS if self.debaters == len(PARTS) else (*PARTS[:2], PARTS[3])[: self.debaters]


@dataclass(frozen=True, kw_only=True)
class Debate:
    """The decider's scores as a jury of one has them, in [0, 1]. R J calls one after another, and 1 for the decision, or 2. A
    contribution that is empty is left out; a decision that cannot be read twice gives no figure."""

    around: ScorerContext
    options: DebateOptions
    name: str = "debate"

    def calls_for(self, candidates: Sequence[Candidate]) -> int:
        return _calls(self.options).task if leaders(candidates, self.options.answers) else 0

    async def score(self, task: Task, candidates: Sequence[Candidate], *, site: Site) -> tuple[float | None, ...]:
        judged = leaders(candidates, self.options.answers)
        if not judged:
            return (None,) * len(candidates)
        shown = shown_attempts(judged)
        said: list[tuple[str, str]] = []
        for turn in range(self.options.rounds):
            for number, (part, persona) in enumerate(self.options.parts, 1):
                place = site.as_role(f"debater{number}").at(f"t{turn}")
                text = await self._spoken(task, shown, persona, said, f"debater{number}", place)
                if text:
                    said.append((part, text))
        code = sheet_code(task.question, f"{shown}\n{_record(said)}")
        request = self._decision(task, shown, said, len(judged), code)
        client = self.around.client("judge")
        sheet = await asked_sheet(client, request, "combined", len(judged), code, site=site.as_role("judge"))
        found = () if sheet is None else figures([sheet], accept_at=self.options.accept_at)
        self.around.note(
            f"{site.key}.debate",
            {
                "rule": "debate",
                "of": [item.id for item in judged],
                "said": [list(pair) for pair in said],
                "scores": None if sheet is None else list(sheet.scores),
                "critique": "" if sheet is None else sheet.critique,
            },
        )
        by_answer = dict(zip([item.answer for item in judged], found, strict=False))
        return tuple(None if item.answer is None else by_answer.get(item.answer) for item in candidates)

    async def _spoken(
        self, task: Task, shown: str, persona: str, said: Sequence[tuple[str, str]], role: str, site: Site
    ) -> str:
        values = {"persona": persona, "question": task.question, "attempts": shown, "said": _record(said)}
        messages, _ = load_prompt("debater").fill(values, history=task.history)
        default = Sampling(temperature=self.options.temperature, top_p=1.0, max_tokens=self.options.max_tokens)
        request = ChatRequest(messages=messages, sampling=self.around.sampling(role, default))
        (reply,) = await self.around.client(role).sample(request, 1, site=site)
        return completion_of(reply).text.strip()

    def _decision(self, task: Task, shown: str, said: Sequence[tuple[str, str]], count: int, code: str) -> ChatRequest:
        values = {
            "persona": _DECIDER,
            "question": task.question,
            "attempts": f"{shown}\n\nThe discussion:\n{_record(said)}",
            "order": "The order of the solutions means nothing." if count > 1 else "",
            "scale": scale_of("combined", count),
            "form": form_of("combined", count, code),
        }
        messages, _ = load_prompt("jury").fill(values, history=task.history)
        default = Sampling(temperature=0.0, top_p=1.0, max_tokens=2 * self.options.max_tokens)
        return ChatRequest(messages=messages, sampling=self.around.sampling("judge", default))


def _record(said: Sequence[tuple[str, str]]) -> str:
    return "\n".join(f"{part}: {shortened(text, 1500)}" for part, text in said) or _NOBODY


def _calls(options: DebateOptions) -> ScorerCalls:
    calls = options.rounds * options.debaters + 2
    return ScorerCalls(task=calls, task_depth=calls)


ENTRY = ScorerEntry(
    name="debate",
    kind="group",
    summary="judges argue one after another, then one decides with a score of 0 to 10; R x J + 1 calls a task",
    build=lambda around, options: Debate(around=around, options=options),
    options=DebateOptions,
    calls=_calls,
    roles=lambda options: {**{f"debater{n}": () for n in range(1, options.debaters + 1)}, "judge": ()},
)
