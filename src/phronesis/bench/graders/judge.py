"""A model compares the answer with the gold one: for answers in free words."""

from __future__ import annotations

import asyncio
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from phronesis.agents.answer_judge import JudgedAnswer, judge_request
from phronesis.agents.decode import decode
from phronesis.bench.dataset import Example
from phronesis.bench.graders.aliases import golds
from phronesis.bench.graders.facts import text_of
from phronesis.bench.graders.grader import WRONG, Attempted, Grade, GraderContext, graded
from phronesis.bench.graders.table import GraderEntry
from phronesis.core.chat import ChatRequest, Sampling, request_hash
from phronesis.core.errors import ConfigurationError, ModelError, PhronesisError, ToolError
from phronesis.core.ports import ChatEndpoint
from phronesis.graphs.endpoints import RoleEndpoint
from phronesis.graphs.recipe import ModelSection
from phronesis.tools.extraction import marked_answer

_SHOWN = 8000
"""Characters of an attempt that a judge reads, from its end."""


class JudgeOptions(BaseModel):
    """Who judges, and how often."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: str | None = None
    """Name at the endpoint; unset = the settings', else whatever serves there."""
    base_url: str | None = None
    """OpenAI-compatible address with /v1; unset = the settings', else the embedded engine."""
    votes: int = Field(1, ge=1, le=15)
    """Verdicts per answer, an odd number; the majority decides. One is drawn at temperature 0, several at 0.7."""
    max_tokens: int = Field(300, ge=16)
    """Longest verdict."""

    @field_validator("votes")
    @classmethod
    def _odd(cls, value: int) -> int:
        if value % 2 == 0:
            raise ValueError("an odd number is needed, or votes could tie")
        return value


class ByJudge:
    """Right when more than half of the votes say yes. Its calls stand in no item's costs.

    Read is the marked answer, else the end of the text. Facts: ``aliases`` (further right answers), ``kind`` (a question type
    of LongMemEval, which changes what counts as right). The same answer to the same question is judged once."""

    reads: Literal["answer", "text"] = "text"

    def __init__(self, options: JudgeOptions, endpoint: ChatEndpoint) -> None:
        self._options = options
        self._endpoint = endpoint
        self._sampling = Sampling(temperature=0.0 if options.votes == 1 else 0.7, max_tokens=options.max_tokens)
        self._known: dict[str, asyncio.Future[bool]] = {}

    def check(self, example: Example) -> None:
        if not all(gold.strip() for gold in golds(example)):
            raise ConfigurationError(
                f"the gold answer of {example.task.id!r} is empty", mend="correct the line, or name another grader"
            )

    async def grade(self, example: Example, attempt: Attempted) -> Grade:
        text = text_of(attempt)[-_SHOWN:]
        answer = (marked_answer(text) or text).strip()
        if not answer:
            return WRONG
        asked = judge_request(
            example.task, golds(example), answer, kind=str(example.facts.get("kind") or ""), sampling=self._sampling
        )
        return graded(await self._verdict(asked), answer[:300])

    async def close(self) -> None:
        pass

    async def _verdict(self, asked: ChatRequest) -> bool:
        """The verdict, asked for once however many wait for it; one that failed is asked for again."""
        key = request_hash(asked.to_json())
        verdict = self._known.get(key)
        if verdict is None or verdict.cancelled():
            verdict = self._known[key] = asyncio.ensure_future(self._majority(asked))
        try:
            return await asyncio.shield(verdict)
        except PhronesisError:
            if self._known.get(key) is verdict:
                del self._known[key]
            raise

    async def _majority(self, asked: ChatRequest) -> bool:
        votes = await asyncio.gather(*(self._vote(asked) for _ in range(self._options.votes)))
        yes, no = votes.count("yes"), votes.count("no")
        if max(yes, no) * 2 <= len(votes):
            failed = next(vote for vote in votes if vote not in ("yes", "no"))
            raise ToolError(f"the judge gave no verdict: {failed}", mend="choose another model, or more votes")
        return yes > no

    async def _vote(self, asked: ChatRequest) -> str:
        """yes, no, or what went wrong."""
        try:
            batch = await self._endpoint.complete(asked, 1)
            return decode(batch.completions[0], JudgedAnswer).verdict
        except ModelError as error:
            return error.message


def _build(context: GraderContext, options: JudgeOptions) -> ByJudge:
    section = ModelSection(model=options.model, base_url=options.base_url)
    return ByJudge(options, RoleEndpoint(section, context.settings))


ENTRY = GraderEntry(
    name="judge",
    summary="a model says whether the answer means the same as the gold one",
    options=JudgeOptions,
    build=_build,
)
