"""Pairwise judge: which of two solutions with different answers is right, asked in both orders.

Source: the pairwise stand-in of the specification of sampling methods (S5; V1, section 5), as a round robin between the first
attempts of each answer. A judge that prefers a place gives opposite verdicts in the two orders: such a pair is inconsistent,
is noted, and by default counts for neither.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any, Literal

from pydantic import Field

from phronesis.agents.prompt import load_prompt
from phronesis.agents.scorers.table import ScorerCalls, ScorerEntry, ScorerOptions
from phronesis.core.chat import ChatRequest
from phronesis.core.ports import ChatClient
from phronesis.core.result import Candidate
from phronesis.core.side_by_side import side_by_side
from phronesis.core.site import Site
from phronesis.core.task import Task

FIRST, SECOND = "A", "B"


class PairwiseOptions(ScorerOptions):
    """What can be set."""

    answers: int = Field(default=4, ge=2)
    """Different answers compared, in the order they were first given; the others get no score."""
    flipped: Literal["unknown", "half"] = "unknown"
    """What a pair is worth whose verdict flips with the order: nothing to either, or the mean of both orders."""


@dataclass(frozen=True, kw_only=True)
class Pairwise:
    """Mean probability of an answer's solution to be preferred, in [0, 1]. g(g-1) calls for g answers, side by side.

    With one answer there is nothing to compare: None; so has an answer none of whose pairs is consistent."""

    client: ChatClient
    answers: int = 4
    flipped: Literal["unknown", "half"] = "unknown"
    note: Callable[[str, Mapping[str, Any]], None] = lambda key, data: None
    name: str = "pairwise"

    def calls_for(self, candidates: Sequence[Candidate]) -> int:
        found = min(self.answers, len({item.answer for item in candidates if item.answer is not None}))
        return found * (found - 1)

    def request(self, task: Task, first: str, second: str) -> ChatRequest:
        """Asks which of the two is right."""
        values = {"question": task.question, "first": first, "second": second}
        messages, prefill = load_prompt("pairwise").fill(values, history=task.history)
        return ChatRequest(messages=messages, prefill=prefill)

    async def score(self, task: Task, candidates: Sequence[Candidate], *, site: Site) -> tuple[float | None, ...]:
        site = site.as_role("judge")
        leaders: dict[str, Candidate] = {}
        for item in candidates:
            if item.answer is not None:
                leaders.setdefault(item.answer, item)
        compared = list(leaders)[: self.answers]
        pairs = [pair for left, right in combinations(compared, 2) for pair in ((left, right), (right, left))]
        names = {f"{site.occurrence}.{compared.index(a)}v{compared.index(b)}": 1 for a, b in pairs}
        names_of = list(names)
        accounts = site.branch.account.split(names)

        async def ask(name: str, pair: tuple[str, str]) -> float:
            place = site.at(name.removeprefix(f"{site.occurrence}.")).paid_by(accounts[name])
            request = self.request(task, leaders[pair[0]].text, leaders[pair[1]].text)
            found = await self.client.label_probabilities(request, (FIRST, SECOND), site=place)
            return found.probabilities[FIRST]

        try:
            won = await side_by_side([ask(name, pair) for name, pair in zip(names, pairs, strict=True)])
        finally:
            site.branch.account.join(tuple(accounts))
        points: dict[str, list[float]] = {}
        for place in range(0, len(pairs), 2):
            (first, second), share, swapped = pairs[place], won[place], 1.0 - won[place + 1]
            consistent = (share - 0.5) * (0.5 - won[place + 1]) >= 0
            if not consistent:
                of = [leaders[first].id, leaders[second].id]
                shown = {"rule": "pairwise", "of": of, "consistent": False, "first": share, "swapped": swapped}
                self.note(f"{site.key}.{names_of[place]}", shown)
            if consistent or self.flipped == "half":
                points.setdefault(first, []).extend((share, swapped))
                points.setdefault(second, []).extend((1.0 - share, 1.0 - swapped))
        means = {answer: sum(part) / len(part) for answer, part in points.items()}
        return tuple(None if item.answer is None else means.get(item.answer) for item in candidates)


def _calls(options: PairwiseOptions) -> ScorerCalls:
    return ScorerCalls(task=options.answers * (options.answers - 1), task_depth=1)


ENTRY = ScorerEntry(
    name="pairwise",
    kind="group",
    summary="solutions of different answers against each other, in both orders; g(g-1) calls for g answers",
    build=lambda around, options: Pairwise(
        client=around.client("judge"), answers=options.answers, flipped=options.flipped, note=around.note
    ),
    options=PairwiseOptions,
    calls=_calls,
    roles=lambda options: {"judge": ("logprobs", "prefill")},
)
