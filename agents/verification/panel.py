"""What the judges of a panel are shown and what they reply: several attempts side by side, a critique, then a score for each.

Source: The Fellowship of the LLMs (arXiv 2408.08688): scoring all answers in one prompt won over scoring them alone and over
choosing directly. Replies repeat a code of what was shown, so that scores which stand in an attempt are none.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from string import ascii_uppercase
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, create_model

from phronesis.agents.bounded import Brief
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
_FORGED = re.compile(r"^(?=[^\S\n]*(?:-{3,}[^\S\n]*$|Solution[^\S\n]+[A-Z]:))", re.MULTILINE)
"""Lines of an attempt that look like the prompt's own."""
_BELOW = Fraction(499, 1000)


class _Sheet(BaseModel):
    model_config = ConfigDict(frozen=True)

    check: str
    critique: Brief


@dataclass(frozen=True, slots=True)
class Sheet:
    """What one judge said of the attempts, in their order."""

    critique: str
    scores: tuple[float, ...]
    """From 0 to 10; of a direct choice 10 for the chosen one and 0 for the others."""

    def favourites(self, accept_at: float) -> tuple[int, ...]:
        """Indices of the attempts that share its vote: those with the highest score; a single attempt only from
        ``accept_at`` on."""
        best = max(self.scores)
        if len(self.scores) == 1 and best < accept_at:
            return ()
        return tuple(index for index, score in enumerate(self.scores) if score == best)


def shown_attempts(attempts: Sequence[Candidate]) -> str:
    """The attempts by letter. A long one loses its middle, and no line of theirs is taken for one of the prompt's."""
    parts = [
        f"Solution {letter}:\n{_FORGED.sub('> ', _cut(item.text.strip()))}"
        for letter, item in zip(ascii_uppercase, attempts, strict=False)
    ]
    return "\n\n".join(parts)


def _cut(text: str) -> str:
    if len(text) <= _LONGEST:
        return text
    return f"{text[: _LONGEST // 2]}\n[... left out ...]\n{text[-(_LONGEST // 2) :]}"


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
    """(votes + mean) / (J + 1) for each attempt and J sheets, in [0, 1]; no sheets: nothing.

    Ranking by it is the majority of the votes, ties to the higher mean score: the mean, in [0, 1), counts for less than the
    smallest difference between votes. A judge with several favourites shares its vote among them. From 0.5 on stands what has
    more than half of the votes (a single attempt: also just half, with a mean of ``accept_at``) and, among several, a
    mean of ``accept_at``: the best of wrong attempts is wrong. Where the first in rank falls short of that, all are scaled
    to stay below 0.5."""
    if not sheets:
        return ()
    judges, count = len(sheets), len(sheets[0].scores)
    shared = [sheet.favourites(accept_at) for sheet in sheets]
    votes = [sum((Fraction(1, len(part)) for part in shared if index in part), Fraction()) for index in range(count)]
    means = [sum((Fraction(sheet.scores[index]) for sheet in sheets), Fraction()) / judges for index in range(count)]
    smallest = math.lcm(*(len(part) for part in shared if part))
    below_one = [min(mean / TOP, Fraction(999, 1000)) / smallest for mean in means]
    found = [(vote + mean) / (judges + 1) for vote, mean in zip(votes, below_one, strict=True)]
    best = max(range(count), key=lambda index: (found[index], -index))
    majority, enough = 2 * votes[best] > judges, means[best] >= accept_at
    stands = (majority and enough) if count > 1 else majority or (2 * votes[best] == judges and enough)
    scale = Fraction(1) if stands or 2 * found[best] < 1 else _BELOW / found[best]
    return tuple(float(figure * scale) for figure in found)


def leaders(candidates: Sequence[Candidate], most: int) -> list[Candidate]:
    """The first attempt of each answer, in the order they were given; ``most`` at the most."""
    found: dict[str, Candidate] = {}
    for item in candidates:
        if item.answer is not None:
            found.setdefault(item.answer, item)
    return list(found.values())[:most]
