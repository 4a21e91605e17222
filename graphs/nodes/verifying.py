"""A verdict on a strategy's answer, by whatever scorer a recipe names."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from phronesis.agents.scorers.table import ChosenScorer
from phronesis.core.budget import Branch
from phronesis.core.ports import Advisor, OutcomeScorer, TaskScorer, Verifier
from phronesis.core.result import Candidate
from phronesis.core.site import Site
from phronesis.core.verdict import Verdict, labelled
from phronesis.graphs.context import RunContext
from phronesis.graphs.nodes.scoring import own_words, recited, scorer_context
from phronesis.graphs.policies.reward import reduce_steps


@dataclass(frozen=True)
class ReadyVerifier:
    """A verifier that is ready for a task."""

    chosen: ChosenScorer
    scorer: Any
    """As its kind has it."""
    accept: float | None = None
    """Lowest figure that is accepted; None = the verifier's own label."""

    async def verdict(
        self, ctx: RunContext, candidate: Candidate, others: Sequence[Candidate], *, branch: Branch
    ) -> Verdict:
        """What the verifier says of the candidate, read without what it recites of the memory; a scorer of attempts
        together is shown the others too. Raises ModelError, BudgetExhausted, ToolError."""
        quoted = recited(ctx)
        read = own_words(candidate, quoted)
        site = Site(branch, self.scorer.name)
        if isinstance(self.scorer, Verifier):
            found = await self.scorer.verify(ctx.task, read, site=site)
            return found if self.accept is None else self._relabelled(found)
        score = await self._score(ctx, read, [own_words(item, quoted) for item in others], site)
        return self._relabelled(Verdict(label="unknown", score=score))

    async def advice(self, ctx: RunContext, candidate: Candidate, verdict: Verdict, *, branch: Branch) -> str:
        """What the next attempt is told: the verifier's feedback, written now where it writes some. Raises ModelError,
        BudgetExhausted."""
        if verdict.feedback or not isinstance(self.scorer, Advisor):
            return verdict.feedback
        read = own_words(candidate, recited(ctx))
        return await self.scorer.advise(ctx.task, read, verdict, site=Site(branch, self.scorer.name, "advice"))

    async def _score(
        self, ctx: RunContext, candidate: Candidate, others: Sequence[Candidate], site: Site
    ) -> float | None:
        if self.chosen.kind == "outcome":
            found: float | None = await self.scorer.score(ctx.task, candidate, site=site)
            return found
        if self.chosen.kind == "step":
            steps = await self.scorer.score(ctx.task, candidate, site=site)
            silent = getattr(self.scorer, "silent", None)
            return None if all(score == silent for score in steps) else reduce_steps(steps, "min")
        first, *_ = await self.scorer.score(ctx.task, [candidate, *others], site=site)
        return None if first is None else float(first)

    def _relabelled(self, verdict: Verdict) -> Verdict:
        if verdict.label == "reject" and verdict.details.get("vetoed"):
            return verdict
        least = self.chosen.accept if self.accept is None else self.accept
        return verdict.model_copy(update={"label": labelled(verdict.score, least)})


async def ready_verifier(
    ctx: RunContext, chosen: ChosenScorer, *, accept: float | None, branch: Branch
) -> ReadyVerifier:
    """The verifier, ready for the context's task. Its calls for the task, if it needs some. Raises ModelError,
    BudgetExhausted."""
    around = scorer_context(ctx)
    scorer: Any = getattr(chosen, chosen.kind)(around)
    if isinstance(scorer, TaskScorer):
        prepared: OutcomeScorer = await scorer.for_task(ctx.task, site=Site(branch, scorer.name, "task"))
        return ReadyVerifier(chosen, prepared, accept)
    return ReadyVerifier(chosen, scorer, accept)
