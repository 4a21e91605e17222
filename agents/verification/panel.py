"""What the judges of a panel are shown and what they reply: several attempts side by side, a critique, then a score for each.

Source: The Fellowship of the LLMs (arXiv 2408.08688): scoring all answers in one prompt won over scoring them alone and over
choosing directly. Replies repeat a code of what was shown, so that scores which stand in an attempt are none.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from string import ascii_uppercase
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, create_model

from phronesis.agents.check_code import code_of, coded
from phronesis.agents.decode import ask
from phronesis.core.chat import ChatRequest
from phronesis.core.errors import MalformedReply
from phronesis.core.ports import ChatClient
from phronesis.core.result import Candidate
from phronesis.core.site import Site

MOST = 8
"""Attempts that are shown side by side."""
TOP = 10
Mode = Literal["combined", "independent", "choice"]
_LONGEST = 4000


class _Sheet(BaseModel):
    model_config = ConfigDict(frozen=True)

    check: str
    critique: str


@dataclass(frozen=True, slots=True)
class Sheet:
    """What one judge said of the attempts, in their order."""

    critique: str
    scores: tuple[float, ...]
    """From 0 to 10; of a direct choice 10 for the chosen one and 0 for the others."""

    def favourite(self, accept_at: float) -> int | None:
        """Index of the attempt it votes for: the highest score, the first of equals; a single one only from ``accept_at``
        on."""
        best = max(range(len(self.scores)), key=lambda index: (self.scores[index], -index))
        return best if len(self.scores) > 1 or self.scores[best] >= accept_at else None


def shown_attempts(attempts: Sequence[Candidate]) -> str:
    """The attempts by letter."""
    parts = [
        f"Solution {letter}:\n{item.text.strip()[:_LONGEST]}"
        for letter, item in zip(ascii_uppercase, attempts, strict=False)
    ]
    return "\n\n".join(parts)


def scale_of(mode: Mode, count: int) -> str:
    """What the judge is told to give."""
    if mode == "choice" and count > 1:
        return "choose the one that is right, or most nearly so, by its letter."
    each = "a score" if count == 1 else "each a score, in the order of the letters"
    return f"give {each} from 0 (certainly wrong) to {TOP} (certainly right), in whole numbers."


def form_of(mode: Mode, count: int, code: str) -> str:
    """The reply's form."""
    said = '"choice": "..."' if mode == "choice" and count > 1 else '"scores": [...]'
    return f'{{"check": "{code}", "critique": "...", {said}}}'


def wanted_of(mode: Mode, count: int, code: str) -> type[BaseModel]:
    """The reply's type: exactly one score for each attempt, or the letter of one."""
    field: Any
    if mode == "choice" and count > 1:
        field = {"choice": (Literal[tuple(ascii_uppercase[:count])], ...)}
    else:
        score = Annotated[int, Field(ge=0, le=TOP)]
        field = {"scores": (list[score], Field(min_length=count, max_length=count))}
    return coded(create_model("Sheet", __base__=_Sheet, **field), code)


async def asked_sheet(
    client: ChatClient, request: ChatRequest, mode: Mode, count: int, code: str, *, site: Site
) -> Sheet | None:
    """A judge's sheet; None where its reply cannot be read twice: it abstains. Raises ModelError, BudgetExhausted."""
    try:
        said: Any = await ask(client, request, wanted_of(mode, count, code), site=site)
    except MalformedReply:
        return None
    if mode == "choice" and count > 1:
        chosen = ascii_uppercase.index(said.choice)
        return Sheet(said.critique, tuple(float(TOP) if index == chosen else 0.0 for index in range(count)))
    return Sheet(said.critique, tuple(float(score) for score in said.scores))


def sheet_code(question: str, attempts: str) -> str:
    """The code a reply repeats."""
    return code_of(f"{question}\n{attempts}")


def figures(sheets: Sequence[Sheet], *, accept_at: float) -> tuple[float, ...]:
    """(votes + mean) / (judges + 1) for each attempt, in [0, 1]: ranking by it is the majority of the judges' votes, ties to
    the higher mean score. The mean counts for less than one vote. No judges: nothing."""
    if not sheets:
        return ()
    votes = [0] * len(sheets[0].scores)
    for sheet in sheets:
        favourite = sheet.favourite(accept_at)
        if favourite is not None:
            votes[favourite] += 1
    means = [sum(sheet.scores[index] for sheet in sheets) / (len(sheets) * TOP) for index in range(len(votes))]
    return tuple((count + min(mean, 0.999)) / (len(sheets) + 1) for count, mean in zip(votes, means, strict=True))


def leaders(candidates: Sequence[Candidate], most: int) -> list[Candidate]:
    """The first attempt of each answer, in the order they were given; ``most`` at the most."""
    found: dict[str, Candidate] = {}
    for item in candidates:
        if item.answer is not None:
            found.setdefault(item.answer, item)
    return list(found.values())[:most]
