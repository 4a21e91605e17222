"""Selector: describes a task for the search in the memory, and picks what is shown of what was found (ArcMemo, arXiv
2509.04439, section 3.4: selection from descriptions, and the reasoning-based one over the whole compressed memory).

What it reads of the memory is data to it; all it can do is name ids, and of those only the ones it was shown count.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, create_model

from phronesis.agents.decode import ask
from phronesis.agents.prompt import load_prompt
from phronesis.core.chat import ChatRequest, Sampling
from phronesis.core.ports import ChatClient
from phronesis.core.site import Site
from phronesis.core.task import Message, Task


class Description(BaseModel):
    """A task in two parts, the guesses apart from what is there."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    observations: str = Field(min_length=1, max_length=1200)
    """What the problem says."""
    speculation: str = Field(default="", max_length=1200)
    """Which ideas may solve it."""


class Chosen(BaseModel):
    """The reply that is asked for; its schema allows only the ids that were shown."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    ids: tuple[str, ...]
    why: tuple[str, ...] = ()


class _Thinking(BaseModel):
    reasoning: str = ""


class Reasoned(Chosen, _Thinking):
    """The same with room to think first: fields come in the order of the last base first."""


@dataclass(frozen=True, slots=True)
class Selection:
    """What was picked."""

    ids: tuple[str, ...]
    """Among those shown, each once, in the order picked, at most k."""
    why: tuple[str, ...]
    """A reason for each; empty where none was given."""
    unknown: int
    """Ids in the reply that were never shown; they are ignored."""


@dataclass(frozen=True, kw_only=True)
class Selector:
    """One model call per question, two after a re-ask."""

    client: ChatClient
    sampling: Sampling

    async def describe(self, task: Task, *, site: Site) -> Description:
        """1 call, 2 after a re-ask. Raises MalformedReply, ModelError, BudgetExhausted."""
        messages, prefill = load_prompt("describer").fill({"question": task.question}, history=_turns(task))
        request = ChatRequest(messages=messages, prefill=prefill, sampling=self.sampling)
        return await ask(self.client, request, Description, site=site)

    def request(self, task: Task, concepts: str, k: int, *, reasoned: bool = False, attempt: str = "") -> ChatRequest:
        """``concepts``: the text with the ids. ``attempt``: what was tried and said of it, on a retry."""
        prompt = load_prompt("selector_reasoning" if reasoned else "selector")
        values = {"question": task.question, "concepts": concepts, "k": str(k), "attempt": attempt}
        messages, prefill = prompt.fill(values, history=_turns(task))
        return ChatRequest(messages=messages, prefill=prefill, sampling=self.sampling)

    async def select(
        self,
        task: Task,
        concepts: str,
        ids: Sequence[str],
        k: int,
        *,
        site: Site,
        reasoned: bool = False,
        attempt: str = "",
    ) -> Selection:
        """At most k of the ids. 1 call, 2 after a re-ask. Raises MalformedReply, ModelError, BudgetExhausted."""
        request = self.request(task, concepts, k, reasoned=reasoned, attempt=attempt)
        reply = await ask(self.client, request, reply_for(ids, k, reasoned=reasoned), site=site)
        return pick(reply, ids, k)


def reply_for(ids: Sequence[str], k: int, *, reasoned: bool = False) -> type[Chosen]:
    """The reply's type: in its JSON schema each id is one of those shown; reading it is more patient."""
    listed: dict[str, Any] = {"items": {"type": "string", "enum": list(ids)}, "maxItems": k}
    shown = (tuple[str, ...], Field(json_schema_extra=listed))
    return create_model("Selection", __base__=Reasoned if reasoned else Chosen, ids=shown)


def pick(reply: Chosen, ids: Sequence[str], k: int) -> Selection:
    """What counts of a reply: ids that were shown, each once, the first k."""
    why = dict(zip(reversed(reply.ids), reversed([*reply.why, *[""] * len(reply.ids)][: len(reply.ids)]), strict=True))
    known = [id for id in dict.fromkeys(reply.ids) if id in ids][:k]
    return Selection(tuple(known), tuple(why[id] for id in known), sum(id not in ids for id in reply.ids))


def _turns(task: Task) -> list[Message]:
    """Earlier turns; the system message tells how to answer, not what was asked."""
    return [turn for turn in task.history if turn.role != "system"]
