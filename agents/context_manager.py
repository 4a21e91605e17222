"""Context manager: keeps what a question needs of what was found, in place of everything that was found.

SPARC-RAG's fifth role (arXiv 2602.00083): ``update`` folds new passages into a branch's evidence, ``merge`` folds the
branches' evidence into one; ``synopsis`` replaces a long record by a short one (Budget-aware agents, arXiv 2511.17006).
Every fact names the passage it stands in; one that names none that was shown is dropped.
Differs from the paper: ``merge`` picks facts by number instead of writing them anew, and so does ``update`` in the form
``pick``: names, figures and sources then survive a small model, which writes facts that no passage says.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, create_model
from pydantic.config import JsonDict

from phronesis.agents.decode import ask
from phronesis.agents.passages import numbered, shortened
from phronesis.agents.prompt import load_prompt
from phronesis.agents.sentences import sentences
from phronesis.core.chat import ChatRequest, Sampling, completion_of
from phronesis.core.errors import MalformedReply
from phronesis.core.ports import ChatClient
from phronesis.core.retrieval import Evidence, Passage
from phronesis.core.site import Site
from phronesis.core.task import Task

NOTHING = "(nothing yet)"


class _Fact(BaseModel):
    model_config = ConfigDict(frozen=True)

    source: int
    fact: str = Field(min_length=1)


class Facts(BaseModel):
    """What an update replies. The schema asks for one fact at least: small models that may keep nothing keep nothing. A reply
    without any is read all the same."""

    model_config = ConfigDict(frozen=True)

    facts: list[_Fact] = Field(json_schema_extra={"minItems": 1, "maxItems": 5})


class Kept(BaseModel):
    """What a merge replies, and an update that picks."""

    model_config = ConfigDict(frozen=True)

    keep: list[int]


Notes = Literal["pick", "write"]
"""``pick``: sentences of the passages, by number; ``write``: facts in the model's own words."""
_FEWEST, _MOST = 3, 6
"""Sentences that the schema asks for: small models that may keep few keep the first one."""


def listed(evidence: Sequence[Evidence], *, numbers: bool = False) -> str:
    """One fact a line with its passage's title, numbered from 1 where asked."""
    lines = []
    for number, item in enumerate(evidence, start=1):
        mark = f"[{number}]" if numbers else "-"
        title = " ".join(item.title.split())
        lines.append(f"{mark} {item.fact} ({title})" if title else f"{mark} {item.fact}")
    return "\n".join(lines) or NOTHING


def as_passages(evidence: Sequence[Evidence]) -> tuple[Passage, ...]:
    """The evidence by passage, in the order of their first facts, for a reader to answer from and to cite."""
    facts: dict[str, list[str]] = {}
    titles = {item.source: item.title for item in evidence}
    for item in evidence:
        facts.setdefault(item.source, []).append(item.fact)
    return tuple(Passage(id=source, text=" ".join(said), title=titles[source]) for source, said in facts.items())


@dataclass(frozen=True, kw_only=True)
class ContextManager:
    """Each turn is one call, or two where the first reply cannot be read."""

    client: ChatClient
    sampling: Sampling
    characters: int = 1500
    """Of a passage at the most."""
    notes: Notes = "pick"

    async def update(
        self, task: Task, query: str, evidence: Sequence[Evidence], passages: Sequence[Passage], *, site: Site
    ) -> tuple[Evidence, ...]:
        """The evidence with the new facts behind it; what is known already is not added. Raises ModelError,
        BudgetExhausted."""
        made = self._picked if self.notes == "pick" else self._written
        return united((*evidence, *await made(task, query, evidence, passages, site)))

    async def _picked(
        self, task: Task, query: str, evidence: Sequence[Evidence], passages: Sequence[Passage], site: Site
    ) -> list[Evidence]:
        shown: list[Evidence] = []
        lines: list[str] = []
        for passage in passages:
            lines.append(f"## {' '.join(passage.title.split())}".strip())
            for sentence in sentences(shortened(passage.text, self.characters)):
                shown.append(Evidence(fact=sentence, source=passage.id, title=passage.title, found=site.branch.path))
                lines.append(f"[{len(shown)}] {sentence}")
        values = {
            "question": task.question,
            "query": query,
            "known": listed(evidence),
            "sentences": "\n".join(lines),
        }
        messages, _ = load_prompt("context_pick").fill(values, history=task.history)
        wanted = _numbers(len(shown))
        reply = await ask(self.client, ChatRequest(messages=messages, sampling=self.sampling), wanted, site=site)
        return [shown[number - 1] for number in dict.fromkeys(reply.keep) if 0 < number <= len(shown)]

    async def _written(
        self, task: Task, query: str, evidence: Sequence[Evidence], passages: Sequence[Passage], site: Site
    ) -> list[Evidence]:
        values = {
            "question": task.question,
            "query": query,
            "known": listed(evidence),
            "passages": numbered(passages, characters=self.characters),
        }
        messages, _ = load_prompt("context_update").fill(values, history=task.history)
        reply = await ask(self.client, ChatRequest(messages=messages, sampling=self.sampling), Facts, site=site)
        by_number = dict(enumerate(passages, start=1))
        return [
            Evidence(
                fact=" ".join(item.fact.split()),
                source=by_number[item.source].id,
                title=by_number[item.source].title,
                found=site.branch.path,
            )
            for item in reply.facts
            if item.source in by_number and item.fact.strip()
        ]

    async def merge(
        self, task: Task, best: Sequence[Evidence], others: Sequence[Evidence], *, site: Site
    ) -> tuple[Evidence, ...]:
        """What is to be kept of the best branch's evidence and of the others', in that order; all of the best branch's
        where nothing was named. Raises ModelError, BudgetExhausted."""
        every = united((*best, *others))
        values = {"question": task.question, "notes": listed(every, numbers=True)}
        messages, _ = load_prompt("context_merge").fill(values, history=task.history)
        reply = await ask(self.client, ChatRequest(messages=messages, sampling=self.sampling), Kept, site=site)
        wanted = set(reply.keep)
        return tuple(item for number, item in enumerate(every, start=1) if number in wanted) or united(best)

    async def synopsis(self, task: Task, trajectory: str, *, site: Site) -> str:
        """A record in at most some 150 words. 1 call. Raises ModelError, also for an empty reply; BudgetExhausted."""
        values = {"question": task.question, "trajectory": trajectory}
        messages, _ = load_prompt("synopsis").fill(values, history=task.history)
        (reply,) = await self.client.sample(ChatRequest(messages=messages, sampling=self.sampling), 1, site=site)
        text = completion_of(reply).text.strip()
        if not text:
            raise MalformedReply("the synopsis is empty", reason="empty")
        return text


def _numbers(count: int) -> type[Kept]:
    """The reply's type with the numbers that can be picked in its schema; other numbers are read, and pick nothing."""
    sized: JsonDict = {
        "items": {"type": "integer", "minimum": 1, "maximum": max(1, count)},
        "minItems": min(_FEWEST, count),
        "maxItems": min(_MOST, count),
    }
    return create_model("Kept", __base__=Kept, keep=(list[int], Field(json_schema_extra=sized)))


def united(evidence: Sequence[Evidence]) -> tuple[Evidence, ...]:
    """Without facts that are said twice, whatever their case and spacing; the earlier stays."""
    first: dict[str, Evidence] = {}
    for item in evidence:
        first.setdefault(" ".join(item.fact.casefold().split()).rstrip("."), item)
    return tuple(first.values())
