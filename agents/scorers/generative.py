"""Generative verification: the verifier reasons first and gives its verdict last; several such votes are averaged.

Source: GenRM with chain of thought (When To Solve, When To Verify, arXiv 2504.01005): the score is the mean of the verdicts
that can be read, 0 when none can. ``teacher`` asks as the paper does: a teacher grades step by step. The two other framings
are ours: a small model says yes to most things, so half of the votes may ask for the error instead of the proof, and a yes
to either is not worth the same. A solution that speaks of a verdict itself is asked about with a code in the verdict's
line, so that a verdict which stands in the solution is none.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Literal, NamedTuple

from pydantic import Field

from phronesis.agents.check_code import code_of
from phronesis.agents.client.profile import Capability
from phronesis.agents.logprobs import word_probability
from phronesis.agents.passages import shortened
from phronesis.agents.prompt import load_prompt
from phronesis.agents.scorers.table import ScorerCalls, ScorerEntry, ScorerOptions
from phronesis.core.chat import ChatRequest, Completion, Reply, Sampling
from phronesis.core.errors import PhronesisError
from phronesis.core.ports import ChatClient
from phronesis.core.result import Candidate
from phronesis.core.side_by_side import side_by_side
from phronesis.core.site import Site
from phronesis.core.task import Task
from phronesis.core.verdict import Verdict, labelled

Question = Literal["correct", "error", "teacher"]
Framing = Literal["both", "correct", "error", "teacher"]
Reading = Literal["verdict", "probability", "hybrid"]
ALTERNATIVES = 5
"""Alternatives per token that a probability is read from."""
_WRAPPER = re.compile(r"\\(?:boxed|text|textbf|mathbf|mathrm)\s*\{")
_NO_ERROR = re.compile(r"\bno\s+(?:errors?|mistakes?)\b", re.IGNORECASE)
_LINE = re.compile(
    r"^(?:\d+[.)])?[^\w\n]*(?:(?:the|my|final|so|therefore)[^\S\n]+)*verdict\b[^\w\n]*(?:is\b[^\w\n]*)?(.*)$",
    re.IGNORECASE | re.MULTILINE,
)
_WORD = re.compile(r"(?:(\bnot|n't|n’t)\s+(?:\w+\s+)?)?\b(yes|no|correct|incorrect|right|wrong)\b", re.IGNORECASE)
_EITHER = re.compile(r"\byes\b[^\w/]*(?:or|/)\W*no\b|\bno\b[^\w/]*(?:or|/)\W*yes\b", re.IGNORECASE)
_NEXT = re.compile(r"\S.*")
_ANSWERS = {"yes": True, "no": False}
_JUDGES = {"correct": True, "right": True, "incorrect": False, "wrong": False}


class GenerativeOptions(ScorerOptions):
    """What can be set."""

    votes: int = Field(default=2, ge=1)
    """Verifications per framing."""
    framing: Framing = "both"
    """``correct``: is the solution right; ``error``: does it hold an error; ``both``: as many votes of each; ``teacher``: the
    paper's, a teacher grades each step."""
    reading: Reading = "verdict"
    """What a vote counts: ``verdict``, 1 or 0; ``probability``, that of a favourable word where it judges, or 1 minus that of
    the contrary; ``hybrid``, the probability where it is known, else the verdict. The last two need logprobs."""
    max_tokens: int = Field(default=300, ge=16)
    """Longest verification."""
    temperature: float = Field(default=0.7, ge=0)
    """The paper's."""

    @property
    def framings(self) -> tuple[Question, ...]:
        return ("correct", "error") if self.framing == "both" else (self.framing,)


class _Judgement(NamedTuple):
    good: bool
    place: int | None = None
    """Where the word of judgement begins; None = it has no place of its own (``no error``)."""
    negated: bool = False


def read_verdict(text: str, framing: Question = "correct", *, code: str = "") -> bool | None:
    """Whether a verification finds the solution right: the first word of judgement in its last line that begins with
    ``Verdict``, or in the line after it when it ends there.

    Yes and no answer the framing's question; correct and wrong speak of the solution, whatever was asked. None when there is
    no such line, or one that leaves it open (``yes or no``, two verdicts) or lacks the ``code``."""
    found = _judgement(text, framing, code)
    return None if found is None else found.good


def read_probability(completion: Completion, framing: Question = "correct", *, code: str = "") -> float | None:
    """How likely a judgement in the solution's favour was where the verification judges, in [0, 1]; None where there is no
    judgement or its log-probabilities do not show it. Source: GenRM's code (arXiv 2504.01005): p(yes), else 1 - p(no)."""
    found = _judgement(completion.text, framing, code)
    if found is None or found.place is None or completion.logprobs is None:
        return None
    good = {word for word, right in _meanings(framing).items() if right != found.negated}
    return word_probability(completion.logprobs, completion.text, found.place, good, _meanings(framing).keys() - good)


def _meanings(framing: Question) -> dict[str, bool]:
    """Whether each word of judgement speaks for the solution."""
    return {**_JUDGES, **{name: value == (framing != "error") for name, value in _ANSWERS.items()}}


def _judgement(text: str, framing: Question, code: str) -> _Judgement | None:
    plain = _WRAPPER.sub(lambda found: " " * len(found[0]), text)
    lines = list(_LINE.finditer(plain))
    if not lines:
        return None
    start, end = lines[-1].span(1)
    if not plain[start:end].strip() or plain[start:end].strip(" *:") == code:
        following = _NEXT.search(plain, lines[-1].end())
        end = following.end() if following is not None else end
    said = plain[start:end]
    word = _WORD.search(said)
    if code not in said:
        return None
    if _NO_ERROR.search(said):
        return _Judgement(True)
    if word is None or _EITHER.search(said) or "verdict" in said.lower():
        return None
    negated = word[1] is not None
    return _Judgement(_meanings(framing)[word[2].lower()] != negated, start + word.start(2), negated)


@dataclass(frozen=True, kw_only=True)
class Generative:
    """The mean of what the votes for a solution count, in [0, 1]. ``votes`` calls per framing, side by side."""

    client: ChatClient
    sampling: Sampling
    options: GenerativeOptions
    name: str = "generative"

    def calls_for(self, candidate: Candidate) -> int:
        return self.options.votes * len(self.options.framings)

    def request(self, task: Task, solution: str, framing: Question) -> ChatRequest:
        """Asks for one verification."""
        verdict = f"Verdict {_code(solution)}".strip()
        values = {"question": task.question, "solution": solution, "verdict": verdict}
        messages, prefill = load_prompt(f"verify_{framing}").fill(values, history=task.history)
        logprobs = 0 if self.options.reading == "verdict" else ALTERNATIVES
        return ChatRequest(messages=messages, prefill=prefill, sampling=self.sampling, logprobs=logprobs)

    def read(self, completion: Completion, framing: Question, *, code: str = "") -> float | None:
        """What a verification is worth, in [0, 1]; None = it does not say."""
        if self.options.reading != "verdict":
            found = read_probability(completion, framing, code=code)
            if found is not None or self.options.reading == "probability":
                return found
        return read_verdict(completion.text, framing, code=code)

    async def score(self, task: Task, candidate: Candidate, *, site: Site) -> float:
        votes = [vote for part in (await self._votes(task, candidate, site)).values() for vote, _ in part]
        return math.fsum(votes) / len(votes) if votes else 0.0

    async def verify(self, task: Task, candidate: Candidate, *, site: Site) -> Verdict:
        """Accepted by a mean of half or more; unknown when no vote can be read; inconsistent when the framings contradict
        each other. The feedback is what the first vote against the solution says."""
        found = await self._votes(task, candidate, site)
        votes = [pair for part in found.values() for pair in part]
        if not votes:
            return Verdict(label="unknown", reason="no verdict could be read")
        score = math.fsum(vote for vote, _ in votes) / len(votes)
        sides = {sum(vote for vote, _ in part) >= len(part) / 2 for part in found.values() if part}
        label = labelled(score, 0.5)
        against = next((text for vote, text in votes if vote < 0.5), "")
        agreeing = next((text for vote, text in votes if (vote >= 0.5) == (label == "accept")), "")
        return Verdict(
            label=label,
            score=score,
            reason=shortened(agreeing, 600),
            feedback=shortened(against, 1200) if label == "reject" else "",
            consistent=len(sides) < 2,
            details={"votes": {name: [vote for vote, _ in part] for name, part in found.items()}},
        )

    async def _votes(self, task: Task, candidate: Candidate, site: Site) -> dict[str, list[tuple[float, str]]]:
        """(what it counts, the verification) for each that can be read, by framing."""
        site, code = site.as_role("verifier"), _code(candidate.text)

        async def ask(framing: Question) -> list[tuple[float, str]]:
            request = self.request(task, candidate.text, framing)
            place = branches[framing]
            replies = await self.client.sample(request, self.options.votes, site=place)
            raise_if_all_failed(replies)
            said = [reply for reply in replies if not isinstance(reply, PhronesisError)]
            read = [(self.read(reply, framing, code=code), reply.text) for reply in said]
            return [(vote, f"{request.prefill} {text.strip()}".strip()) for vote, text in read if vote is not None]

        framings = self.options.framings
        accounts = site.branch.account.split({f"{site.occurrence}.{name}": self.options.votes for name in framings})
        branches = {name: site.at(name).paid_by(accounts[f"{site.occurrence}.{name}"]) for name in framings}
        try:
            found = await side_by_side([ask(name) for name in framings])
        finally:
            site.branch.account.join(tuple(accounts))
        return dict(zip(framings, found, strict=True))


def _code(solution: str) -> str:
    """What the verdict's line has to repeat; empty for a solution that does not speak of a verdict."""
    return code_of(solution) if "verdict" in solution.casefold() else ""


def raise_if_all_failed(replies: tuple[Reply, ...]) -> None:
    """Raises the first failure when no reply came out: a score of nothing would be made up."""
    if replies and all(isinstance(reply, PhronesisError) for reply in replies):
        raise replies[0]  # type: ignore[misc]  # every element was just checked


def _roles(options: GenerativeOptions) -> dict[str, tuple[Capability, ...]]:
    prefill: tuple[Capability, ...] = () if options.framing == "teacher" else ("prefill",)
    return {"verifier": prefill if options.reading == "verdict" else ("logprobs", *prefill)}


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
    roles=_roles,
)
