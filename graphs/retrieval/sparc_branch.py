"""One branch of a SPARC-RAG round: search, update, answer, evaluate. It sees the shared evidence, nothing of the others."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from phronesis.agents.context_manager import ContextManager, as_passages
from phronesis.agents.evaluator import Evaluator
from phronesis.agents.reader import Reader
from phronesis.core.budget import Branch
from phronesis.core.chat import Sampling
from phronesis.core.errors import ModelError
from phronesis.core.result import Candidate
from phronesis.core.retrieval import Evidence
from phronesis.core.site import Site
from phronesis.graphs.context import RunContext
from phronesis.graphs.nodes.attempts import failure_of
from phronesis.graphs.nodes.reading import look_up, read
from phronesis.graphs.policies.evidence import least_stop, stands_in

if TYPE_CHECKING:
    from phronesis.graphs.retrieval.sparc_rag import SparcRagKnobs


@dataclass(frozen=True, slots=True)
class Found:
    """What a branch brought."""

    query: str
    evidence: tuple[Evidence, ...]
    candidate: Candidate
    """An answer, or a failed or unreadable one."""
    stops: bool
    grounded: float = 0.0
    correct: float = 0.0
    why: str = ""
    """Why it goes on, in a word; empty = it was judged."""


def _greedy(knobs: SparcRagKnobs) -> Sampling:
    return Sampling(temperature=0.0, top_p=1.0, max_tokens=knobs.max_tokens)


def context_manager(ctx: RunContext, knobs: SparcRagKnobs) -> ContextManager:
    """The role ``context`` as the knobs have it."""
    sampling = ctx.sampling("context", _greedy(knobs))
    return ContextManager(
        client=ctx.client_of("context"), sampling=sampling, characters=knobs.passage_characters, notes=knobs.notes
    )


@dataclass(frozen=True, kw_only=True)
class BranchRun:
    """The work of ``fan_out``. At most 3 calls, and one more for each reply that cannot be read."""

    ctx: RunContext
    knobs: SparcRagKnobs
    evidence: tuple[Evidence, ...]
    round: int

    @property
    def most_calls(self) -> int:
        return 5 if self.knobs.decider == "verdict" else 4

    async def __call__(self, index: int, query: str, branch: Branch) -> Found:
        """Raises BudgetExhausted, or ModelError where the reader fails: the branch is lost then."""
        ctx, knobs, id = self.ctx, self.knobs, f"c{self.round}.b{index}"
        evidence = await self._updated(query, branch)
        reader = Reader(
            client=ctx.client_of("reader"),
            sampling=ctx.sampling("reader", _greedy(knobs)),
            characters=knobs.memory_characters,
        )
        passages = as_passages(evidence)
        candidate = await read(ctx, reader, passages, branch=branch, id=id)
        ctx.search.cite(f"{id}.evidence", tuple(item.id for item in passages))
        candidate = candidate.model_copy(update={"round": self.round})
        if candidate.answer is None:
            return Found(query, evidence, candidate, False, why="no answer")
        if not evidence:
            return Found(query, evidence, candidate, False, why="no evidence")
        if knobs.lexical and not stands_in(candidate.answer, [f"{item.title} {item.fact}" for item in evidence]):
            return Found(query, evidence, candidate, False, why="not in the evidence")
        return await self._evaluated(query, evidence, candidate, branch)

    async def _updated(self, query: str, branch: Branch) -> tuple[Evidence, ...]:
        (passages,) = await look_up(self.ctx, [query], k=self.knobs.k, branch=branch)
        if not passages:
            return self.evidence
        site, manager = Site(branch, "context"), context_manager(self.ctx, self.knobs)
        try:
            return await manager.update(self.ctx.task, query, self.evidence, passages, site=site)
        except ModelError as error:
            self.ctx.report(failure_of(error, site.where))
            return self.evidence

    async def _evaluated(
        self, query: str, evidence: tuple[Evidence, ...], candidate: Candidate, branch: Branch
    ) -> Found:
        ctx, knobs, site = self.ctx, self.knobs, Site(branch, "verifier")
        evaluator = Evaluator(
            client=ctx.client_of("verifier"),
            sampling=ctx.sampling("verifier", _greedy(knobs)),
            decider=knobs.decider,
        )
        try:
            said = await evaluator.evaluate(ctx.task, evidence, candidate.answer or "", site=site)
        except ModelError as error:
            ctx.report(failure_of(error, site.where))
            return Found(query, evidence, candidate, False, why="not judged")
        stops = said.stop > least_stop(knobs.asymmetry)
        judged = candidate.model_copy(update={"outcome": said.grounded})
        return Found(query, evidence, judged, stops, said.grounded, said.correct, said.missing)
