"""Planner: writes the searches of a round, each for another missing fact (SPARC-RAG's query rewriter, arXiv 2602.00083)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict, Field, create_model
from pydantic.config import JsonDict

from phronesis.agents.context_manager import listed
from phronesis.agents.decode import ask, decode
from phronesis.agents.prompt import load_prompt
from phronesis.core.chat import ChatRequest, Sampling, completion_of
from phronesis.core.errors import MalformedReply
from phronesis.core.ports import ChatClient
from phronesis.core.retrieval import Evidence
from phronesis.core.site import Site
from phronesis.core.task import Task


class Plan(BaseModel):
    """What the planner replies."""

    model_config = ConfigDict(frozen=True)

    missing: str
    queries: list[str]


@dataclass(frozen=True, kw_only=True)
class Planner:
    """One call writes all searches of a round, so that each sees the others."""

    client: ChatClient
    sampling: Sampling

    def request(
        self,
        task: Task,
        evidence: Sequence[Evidence],
        asked: Sequence[str],
        width: int,
        repeated: Sequence[str] = (),
    ) -> ChatRequest:
        """``asked``: searches of earlier rounds; ``repeated``: those of the last reply that say the same as another."""
        again = "; ".join(repr(query) for query in repeated)
        values = {
            "question": task.question,
            "known": listed(evidence),
            "asked": "Searched already:\n" + "\n".join(f"- {query}" for query in asked) if asked else "",
            "number": "1 search query" if width == 1 else f"{width} search queries",
            "again": f"Not again, for they look for the same: {again}." if again else "",
        }
        messages, _ = load_prompt("planner").fill(values, history=task.history)
        return ChatRequest(messages=messages, sampling=self.sampling)

    async def plan(
        self, task: Task, evidence: Sequence[Evidence], asked: Sequence[str], width: int, *, site: Site
    ) -> tuple[str, ...]:
        """At most ``width`` searches, in order; they may repeat each other. 1 call, or 2 where the first cannot be read.
        Raises ModelError, BudgetExhausted."""
        request = self.request(task, evidence, asked, width)
        plan = await ask(self.client, request, _sized(width), site=site)
        return _cleaned(plan, width)

    async def replan(
        self,
        task: Task,
        evidence: Sequence[Evidence],
        asked: Sequence[str],
        width: int,
        repeated: Sequence[str],
        *,
        site: Site,
    ) -> tuple[str, ...]:
        """``width`` further searches in place of the repeated ones; none where the reply cannot be read. 1 call."""
        reply_type = _sized(width)
        request = self.request(task, evidence, asked, width, repeated)
        wanted = ChatRequest(
            messages=request.messages, sampling=request.sampling, reply_schema=reply_type.model_json_schema()
        )
        (reply,) = await self.client.sample(wanted, 1, site=site)
        try:
            return _cleaned(decode(completion_of(reply), reply_type), width)
        except MalformedReply:
            return ()


def _cleaned(plan: Plan, width: int) -> tuple[str, ...]:
    return tuple(" ".join(query.split()) for query in plan.queries if query.strip())[:width]


def _sized(width: int) -> type[Plan]:
    """The reply's type with the number of queries in its schema; a reply with another number is read all the same."""
    sized: JsonDict = {"minItems": width, "maxItems": width}
    return create_model("Plan", __base__=Plan, queries=(list[str], Field(json_schema_extra=sized)))
