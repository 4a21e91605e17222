"""Decomposition agent: from a trajectory to at most three questions that settle whether its answer is right.

Source: DeepVerifier (arXiv 2601.15808), appendix B: summarise, flag, ask. A step-indexed summary that describes only;
behaviours paired with one item of a failure taxonomy each; the fewest yes/no questions, each tied to a source. Replies in
JSON repeat a code that depends on what the prompt shows, so a reply that was written into the trajectory is none.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, create_model

from phronesis.agents.bounded import Brief, few
from phronesis.agents.check_code import code_of, coded
from phronesis.agents.decode import ask
from phronesis.agents.passages import shortened
from phronesis.agents.prompt import load_prompt
from phronesis.agents.sentences import sentences
from phronesis.agents.verification.checking import WHOLE, Check
from phronesis.agents.verification.claimed_numbers import the_number, with_gap
from phronesis.agents.verification.taxonomy import Taxonomy
from phronesis.core.chat import ChatRequest, Sampling, completion_of
from phronesis.core.errors import MalformedReply
from phronesis.core.ports import ChatClient
from phronesis.core.site import Site
from phronesis.core.task import Task

Questions = Literal["write", "pick"]
"""``write``: the questions are written, as in the paper; ``pick`` (ours): sentences of the summary are picked by number, and
each is asked about as it stands, for models that write questions badly. Sentences with a number that the task does not have
are preferred: the others mostly repeat the task. An answer that is a number is the last thing asked about, and sentences that
come to it are not."""
NOTHING_FOUND = "(none)"
_MOST_FINDINGS = 5
_MOST_CLAIMS = 30
_LONGEST_RECORD = 8000
_UNNAMED = "the record"
_ASKED = "Is this right: "
_WORD = re.compile(r"[^\W\d_]{2,}")
_STEP = re.compile(r"\s*\W*Step \d+\W*", re.IGNORECASE)
_SOURCE = re.compile(r"\s*\W*Source(?: \d+)?\s*:\W*(.*)", re.IGNORECASE)
_INFO = re.compile(r"^\s*\W*Info(?: \d+)?\s*:", re.IGNORECASE)


class _Value(BaseModel):
    model_config = ConfigDict(frozen=True)


@dataclass(frozen=True)
class Used:
    """What was taken from one source."""

    source: str
    info: str


@dataclass(frozen=True)
class Synopsis:
    """The trajectory in short: what was taken from where, step by step."""

    steps: tuple[tuple[Used, ...], ...]

    @property
    def text(self) -> str:
        """As later prompts show it."""
        lines = []
        for number, step in enumerate(self.steps, 1):
            lines.append(f"Step {number}")
            lines += [f"- {item.source}: {item.info}" for item in step]
        return "\n".join(lines)

    @property
    def claims(self) -> tuple[str, ...]:
        """Its sentences, each once, in order."""
        said = [text for step in self.steps for item in step for text in sentences(item.info)]
        return tuple(dict.fromkeys(text for text in said if len(text.split()) > 2))


def read_synopsis(text: str) -> Synopsis:
    """A summary as the prompt asks for it; a line without a heading is information of the step it stands in. Raises
    MalformedReply where no step says anything."""
    steps: list[list[Used]] = []
    source = _UNNAMED
    for line in text.splitlines():
        begun = _STEP.match(line)
        if begun is not None or not steps:
            steps.append([])
            source = _UNNAMED
            line = line if begun is None else line[begun.end() :]
        named = _SOURCE.match(line)
        if named is not None:
            source = named[1].strip() or _UNNAMED
            continue
        info = _INFO.sub("", line).strip()
        if info:
            steps[-1].append(Used(source, info))
    kept = tuple(tuple(step) for step in steps if step)
    if not kept:
        raise MalformedReply("the summary is empty", text=text[:2000], reason="empty")
    return Synopsis(kept)


class Finding(_Value):
    """A suspicious behaviour."""

    behavior: Brief
    taxonomy_id: str


class _Findings(_Value):
    check: str
    findings: tuple[Finding, ...] = Field(max_length=_MOST_FINDINGS)


class _Checks(_Value):
    check: str
    checks: tuple[Check, ...]


class _Picks(_Value):
    check: str
    picks: tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class Decomposer:
    """Three prompts, one call each, or two where a reply in JSON cannot be read."""

    client: ChatClient
    sampling: Sampling
    taxonomy: Taxonomy
    questions: Questions = "write"

    async def summarise(self, task: Task, trajectory: str, *, site: Site) -> Synopsis:
        """What was done, step by step. 1 call. Raises ModelError, also for an empty reply; BudgetExhausted."""
        values = {"question": task.question, "trajectory": trajectory.strip()[:_LONGEST_RECORD]}
        (reply,) = await self.client.sample(self._request("deep_synopsis", values, task), 1, site=site)
        return read_synopsis(completion_of(reply).text)

    async def flag(self, task: Task, synopsis: Synopsis, *, site: Site) -> tuple[Finding, ...]:
        """Behaviours that look like a known failure, each under an id of the taxonomy; empty = nothing found. An unknown
        id is asked for again; a finding that describes nothing (dots, an id alone) is none. Raises ModelError,
        BudgetExhausted."""
        items = "\n".join(f"{item.id} {item.name}: {item.definition}" for item in self.taxonomy.items)
        values = {
            "question": task.question,
            "synopsis": synopsis.text,
            "taxonomy": items,
            "most": str(_MOST_FINDINGS),
            "code": code_of(synopsis.text),
        }
        ids = Literal[tuple(item.id for item in self.taxonomy.items)]  # type: ignore[valid-type]  # the ids are data
        finding = create_model("Finding", __base__=Finding, taxonomy_id=(ids, ...))  # type: ignore[arg-type]  # as above
        wanted = create_model("Findings", __base__=_Findings, findings=(tuple[finding, ...], Field(max_length=5)))  # type: ignore[valid-type]  # as above
        found = await ask(
            self.client, self._request("deep_flag", values, task), coded(wanted, code_of(synopsis.text)), site=site
        )
        return tuple(item for item in found.findings if len(_WORD.findall(item.behavior)) > 1)

    def asks(self, task: Task, answer: str, synopsis: Synopsis, *, most: int) -> bool:
        """Whether ``question`` needs a call, so that suspicions have somebody who reads them."""
        if self.questions == "pick" and most:
            claims, room, _ = _claims(task, answer, synopsis, most)
            return len(claims) > room
        return most > 0

    async def question(
        self, task: Task, answer: str, synopsis: Synopsis, findings: Sequence[Finding], *, most: int, site: Site
    ) -> tuple[Check, ...]:
        """At most ``most`` checks, the first ones of a longer list; equal questions once. 1 call, or 2; none where claims
        are picked and there are no more than have room. Raises ModelError, BudgetExhausted."""
        flagged = "\n".join(f"- {item.behavior} ({item.taxonomy_id})" for item in findings) or NOTHING_FOUND
        said = {"question": task.question, "answer": shortened(answer, 1500), "findings": flagged, "most": str(most)}
        code = code_of(f"{synopsis.text}\n{flagged}\n{answer}")
        if self.questions == "pick":
            return await self._picked(task, {**said, "code": code}, synopsis, answer, most, site)
        request = self._request("deep_ask", {**said, "synopsis": synopsis.text, "code": code}, task)
        wanted = create_model("Checks", __base__=_Checks, checks=(tuple[Check, ...], few(most)))
        found = await ask(self.client, request, coded(wanted, code), site=site)
        different = {" ".join(item.question.split()).casefold(): item for item in reversed(found.checks)}
        return tuple(reversed(different.values()))[:most]

    async def _picked(
        self, task: Task, values: dict[str, str], synopsis: Synopsis, answer: str, most: int, site: Site
    ) -> tuple[Check, ...]:
        claims, room, last = _claims(task, answer, synopsis, most)
        picked: Sequence[int] = range(1, len(claims) + 1)
        if len(claims) > room:
            numbers = Literal[tuple(picked)]  # type: ignore[valid-type]  # as many as there are claims
            wanted = create_model("Picks", __base__=_Picks, picks=(tuple[numbers, ...], few(room, least=1)))  # type: ignore[valid-type]  # as above
            listed = "\n".join(f"{number}. {claim}" for number, claim in enumerate(claims, 1))
            request = self._request("deep_pick", {**values, "most": str(room), "claims": listed}, task)
            said = await ask(self.client, request, coded(wanted, values["code"]), site=site)
            picked = list(dict.fromkeys(said.picks))[:room]
        source = "the task and a calculation or a source of your own"
        return (*(Check(source=source, question=f"{_ASKED}{claims[index - 1]}") for index in picked), *last)

    def _request(self, prompt: str, values: dict[str, str], task: Task) -> ChatRequest:
        messages, _ = load_prompt(prompt).fill(values, history=task.history)
        return ChatRequest(messages=messages, sampling=self.sampling)


def _claims(task: Task, answer: str, synopsis: Synopsis, most: int) -> tuple[Sequence[str], int, tuple[Check, ...]]:
    """Claims to choose from, how many of them have room, and the check of an answer that is a number."""
    number = the_number(answer)
    last = () if number is None else (Check(source=WHOLE, question=f"{_ASKED}the answer is {answer.strip()}"),)
    room = most - len(last)
    return (_worth_asking(synopsis.claims, task.question, number) if room else ()), room, last


def _worth_asking(claims: Sequence[str], task: str, number: float | None) -> Sequence[str]:
    """Claims that come to a number of their own, that of the answer apart; where there is no number to ask about, all."""
    found = [(text, with_gap(text, task)) for text in claims]
    own = [text for text, gap in found if gap is not None and gap[1] != number]
    return (own if own or number is not None else list(claims))[-_MOST_CLAIMS:]
