"""Generative verification: the verifier reasons first and gives its verdict last; several such votes are averaged.

Source: GenRM with chain of thought (When To Solve, When To Verify, arXiv 2504.01005): the score is the mean of the verdicts
that can be read, 0 when none can. The two framings are ours: a small model says yes to most things, so half of the votes may
ask for the error instead of the proof, and a yes to either is not worth the same.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Literal

from pydantic import Field

from phronesis.agents.prompt import load_prompt
from phronesis.agents.scorers.table import ScorerCalls, ScorerEntry, ScorerOptions
from phronesis.core.chat import ChatRequest, Reply, Sampling
from phronesis.core.errors import PhronesisError
from phronesis.core.ports import ChatClient
from phronesis.core.result import Candidate
from phronesis.core.side_by_side import side_by_side
from phronesis.core.site import Site
from phronesis.core.task import Task

Framing = Literal["both", "correct", "error"]
_WRAPPER = re.compile(r"\\(?:boxed|text|textbf|mathbf|mathrm)\s*\{")
_NO_ERROR = re.compile(r"\bno\s+(?:errors?|mistakes?)\b", re.IGNORECASE)
_LINE = re.compile(
    r"^(?:\d+[.)])?[^\w\n]*(?:(?:the|my|final|so|therefore)[^\S\n]+)*verdict\b[^\w\n]*(?:is\b[^\w\n]*)?(.*)$",
    re.IGNORECASE | re.MULTILINE,
)
_WORD = re.compile(r"(?:(\bnot|n't|n’t)\s+(?:\w+\s+)?)?\b(yes|no|correct|incorrect|right|wrong)\b", re.IGNORECASE)
_EITHER = re.compile(r"\byes\b[^\w/]*(?:or|/)\W*no\b|\bno\b[^\w/]*(?:or|/)\W*yes\b", re.IGNORECASE)
_ANSWERS = {"yes": True, "no": False}
_JUDGES = {"correct": True, "right": True, "incorrect": False, "wrong": False}


class GenerativeOptions(ScorerOptions):
    """What can be set."""

    votes: int = Field(default=2, ge=1)
    """Verifications per framing."""
    framing: Framing = "both"
    """``correct``: is the solution right; ``error``: does it hold an error; ``both``: as many votes of each."""
    max_tokens: int = Field(default=300, ge=16)
    """Longest verification."""
    temperature: float = Field(default=0.7, ge=0)
    """The paper's."""

    @property
    def framings(self) -> tuple[Literal["correct", "error"], ...]:
        return ("correct", "error") if self.framing == "both" else (self.framing,)


def read_verdict(text: str, framing: Literal["correct", "error"] = "correct") -> bool | None:
    """Whether a verification finds the solution right: the first word of judgement in its last line that begins with
    ``Verdict``, or in the line after it when it ends there.

    Yes and no answer the framing's question; correct and wrong speak of the solution, whatever was asked. None when there is
    no such line, or one that leaves it open (``yes or no``, two verdicts)."""
    plain = _WRAPPER.sub(" ", text)
    lines = list(_LINE.finditer(plain))
    if not lines:
        return None
    said = lines[-1][1].strip() or next((line for line in plain[lines[-1].end() :].splitlines() if line.strip()), "")
    word = _WORD.search(said)
    if _NO_ERROR.search(said):
        return True
    if word is None or _EITHER.search(said) or "verdict" in said.lower():
        return None
    name, negated = word[2].lower(), word[1] is not None
    good = _JUDGES[name] if name in _JUDGES else _ANSWERS[name] == (framing == "correct")
    return good != negated


@dataclass(frozen=True, kw_only=True)
class Generative:
    """The share of votes for a solution, in [0, 1]. ``votes`` calls per framing, side by side."""

    client: ChatClient
    sampling: Sampling
    options: GenerativeOptions
    name: str = "generative"

    def calls_for(self, candidate: Candidate) -> int:
        return self.options.votes * len(self.options.framings)

    def request(self, task: Task, solution: str, framing: Literal["correct", "error"]) -> ChatRequest:
        """Asks for one verification."""
        values = {"question": task.question, "solution": solution}
        messages, prefill = load_prompt(f"verify_{framing}").fill(values, history=task.history)
        return ChatRequest(messages=messages, prefill=prefill, sampling=self.sampling)

    async def score(self, task: Task, candidate: Candidate, *, site: Site) -> float:
        site = site.as_role("verifier")

        async def ask(framing: Literal["correct", "error"]) -> list[bool]:
            request = self.request(task, candidate.text, framing)
            place = branches[framing]
            replies = await self.client.sample(request, self.options.votes, site=place)
            raise_if_all_failed(replies)
            said = [reply.text for reply in replies if not isinstance(reply, PhronesisError)]
            return [verdict for text in said if (verdict := read_verdict(text, framing)) is not None]

        framings = self.options.framings
        accounts = site.branch.account.split({f"{site.occurrence}.{name}": self.options.votes for name in framings})
        branches = {name: site.at(name).paid_by(accounts[f"{site.occurrence}.{name}"]) for name in framings}
        try:
            found = await side_by_side([ask(name) for name in framings])
        finally:
            site.branch.account.join(tuple(accounts))
        votes = [vote for part in found for vote in part]
        return math.fsum(votes) / len(votes) if votes else 0.0


def raise_if_all_failed(replies: tuple[Reply, ...]) -> None:
    """Raises the first failure when no reply came out: a score of nothing would be made up."""
    if replies and all(isinstance(reply, PhronesisError) for reply in replies):
        raise replies[0]  # type: ignore[misc]  # every element was just checked


ENTRY = ScorerEntry(
    name="generative",
    kind="outcome",
    summary="reason first, verdict last, several votes, both framings; 2 x votes calls an attempt",
    build=lambda around, options: Generative(
        client=around.client("verifier"),
        sampling=around.sampling(
            "verifier", Sampling(temperature=options.temperature, top_p=0.95, max_tokens=options.max_tokens)
        ),
        options=options,
    ),
    options=GenerativeOptions,
    calls=lambda options: ScorerCalls(attempt=options.votes * len(options.framings)),
    roles=lambda options: {"verifier": ("prefill",)},
)
