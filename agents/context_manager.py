"""Context manager: keeps what a question needs of what was found, in place of everything that was found.

SPARC-RAG's fifth role (arXiv 2602.00083): ``update`` folds new passages into a branch's evidence, ``merge`` folds the
branches' evidence into one; ``synopsis`` replaces a long record by a short one (Budget-aware agents, arXiv 2511.17006).
Every fact names the passage it stands in; one that names none that was shown is dropped.
Differs from the paper: ``merge`` picks facts by number instead of writing them anew, so that names and sources survive a
small model.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict, Field

from phronesis.agents.decode import ask
from phronesis.agents.passages import numbered
from phronesis.agents.prompt import load_prompt
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
    """What a merge replies."""

    model_config = ConfigDict(frozen=True)

    keep: list[int]


def listed(evidence: Sequence[Evidence], *, numbers: bool = False) -> str:
    """One fact a line with its passage's title, numbered from 1 where asked."""
    lines = []
    for number, item in enumerate(evidence, start=1):
        mark = f"[{number}]" if numbers else "-"
        lines.append(f"{mark} {item.fact} ({item.title})" if item.title else f"{mark} {item.fact}")
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

    async def update(
        self, task: Task, query: str, evidence: Sequence[Evidence], passages: Sequence[Passage], *, site: Site
    ) -> tuple[Evidence, ...]:
        """The evidence with the new facts behind it; what is known already is not added. Raises ModelError,
        BudgetExhausted."""
        values = {
            "question": task.question,
            "query": query,
            "known": listed(evidence),
            "passages": numbered(passages, characters=self.characters),
        }
        messages, _ = load_prompt("context_update").fill(values, history=task.history)
        reply = await ask(self.client, ChatRequest(messages=messages, sampling=self.sampling), Facts, site=site)
        by_number = dict(enumerate(passages, start=1))
        new = [
            Evidence(
                fact=" ".join(item.fact.split()),
                source=by_number[item.source].id,
                title=by_number[item.source].title,
                found=site.branch.path,
            )
            for item in reply.facts
            if item.source in by_number and item.fact.strip()
        ]
        return united((*evidence, *new))

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


def united(evidence: Sequence[Evidence]) -> tuple[Evidence, ...]:
    """Without facts that are said twice, whatever their case and spacing; the earlier stays."""
    first: dict[str, Evidence] = {}
    for item in evidence:
        first.setdefault(" ".join(item.fact.casefold().split()).rstrip("."), item)
    return tuple(first.values())
