"""The model calls around a recall: is the task easy, what is it about, which of the concepts found are shown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from phronesis.agents.selector import Selector
from phronesis.agents.solver import Solver
from phronesis.core.budget import Branch
from phronesis.core.chat import Sampling
from phronesis.core.concept import Hit
from phronesis.core.errors import BudgetExhausted, ModelError
from phronesis.core.site import Site
from phronesis.graphs.context import RunContext
from phronesis.graphs.memory_section import MemorySection
from phronesis.graphs.nodes.attempts import failure_of, to_candidate
from phronesis.graphs.policies.recalling import NOT_AMONG_BEST, NOT_SELECTED
from phronesis.memory.catalogue import catalogue, listed

PROBE_SAMPLING = Sampling(temperature=0.7, top_p=0.95, max_tokens=512)
SELECTOR_SAMPLING = Sampling(temperature=0.0, max_tokens=400)
REASONING_TOKENS = 1200
"""Longest reply of the reasoning-based selection."""


@dataclass(frozen=True)
class Picked:
    """Which concepts are to be shown, in order."""

    ids: tuple[str, ...]
    unpicked: frozenset[str] = frozenset()
    """Shown to the selector and not picked."""
    why: Mapping[str, str] = field(default_factory=dict)
    """The selector's reason, by id."""
    unknown: int | None = None
    """Ids it named that it was never shown; None = it was not asked, or failed."""
    names: tuple[str, ...] = ()
    """Names of concepts that were not picked, for one line of the section."""

    def reason_of(self, id: str) -> str:
        """Why a concept that was found is not to be shown; empty if it is."""
        if id in self.ids:
            return ""
        return NOT_SELECTED if id in self.unpicked else NOT_AMONG_BEST


async def easy(ctx: RunContext, n: int) -> bool:
    """Whether n attempts without the memory can all be read and agree (n calls, depth 1, at ``memory/probe``).

    Not easy, without a call, when the budget does not allow n of them; a failed attempt does not agree."""
    branch = ctx.root.at("memory/probe")
    remaining = branch.account.remaining
    if remaining is not None and remaining < n:
        return False
    solver = Solver(client=ctx.client_of("solver"), sampling=ctx.sampling("solver", PROBE_SAMPLING))
    try:
        replies = await solver.sample(ctx.task, ctx.answers.format, n, site=Site(branch, "solver"))
    except BudgetExhausted:
        return False
    drawn = [to_candidate(reply, id=f"p{place}", space=ctx.answers) for place, reply in enumerate(replies)]
    first = drawn[0].answer
    return first is not None and all(
        item.answer is not None and ctx.answers.equal(item.answer, first) for item in drawn
    )


async def describe(ctx: RunContext) -> str:
    """Observations and speculation, a line each, for the search; empty, and ``degraded``, when the call fails."""
    selector = Selector(client=ctx.client_of("selector"), sampling=ctx.sampling("selector", SELECTOR_SAMPLING))
    site = Site(ctx.root.at("memory"), "selector", "describe")
    try:
        found = await selector.describe(ctx.task, site=site)
    except (ModelError, BudgetExhausted) as error:
        _note(ctx, error, "the description for the memory failed: the question alone is looked for", site)
        return ""
    return "\n".join(part for part in (found.observations, found.speculation) if part)


async def select(
    ctx: RunContext,
    hits: Sequence[Hit],
    section: MemorySection,
    *,
    branch: Branch,
    attempt: str,
    otherwise: Sequence[str],
) -> Picked:
    """The selector's choice among the hits, given best first (1 call, 2 after a re-ask); ``otherwise``, and ``degraded``,
    when it fails. Without hits nothing is asked."""
    reasoned = section.select == "reasoning"
    shown = _fitting(hits, section.select_tokens, reasoned=reasoned)
    if not shown:
        return Picked(())
    sampling = Sampling(temperature=0.0, max_tokens=REASONING_TOKENS) if reasoned else SELECTOR_SAMPLING
    selector = Selector(client=ctx.client_of("selector"), sampling=ctx.sampling("selector", sampling))
    site = Site(branch.at("memory"), "selector")
    try:
        found = await selector.select(
            ctx.task, _text(shown, reasoned), [hit.id for hit in shown], section.k,
            site=site, reasoned=reasoned, attempt=attempt,
        )  # fmt: skip
    except (ModelError, BudgetExhausted) as error:
        _note(ctx, error, "the selection of concepts failed: the retrieved order is used", site)
        return Picked(tuple(otherwise))
    unpicked = [hit for hit in shown if hit.id not in found.ids]
    names = tuple(hit.concept.name for hit in unpicked if hit.concept.name) if reasoned else ()
    why = {id: said for id, said in zip(found.ids, found.why, strict=True) if said}
    return Picked(found.ids, frozenset(hit.id for hit in unpicked), why, found.unknown, names)


def _note(ctx: RunContext, error: ModelError | BudgetExhausted, said: str, site: Site) -> None:
    if said not in ctx.reports.degraded:
        ctx.reports.degraded.append(said)
    if isinstance(error, ModelError):
        ctx.report(failure_of(error, site.where))


def _fitting(hits: Sequence[Hit], budget: int, *, reasoned: bool) -> list[Hit]:
    """All hits whose text fits the budget, else the longest beginning of them that does."""
    low, high = 0, len(hits)
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if len(_text(hits[:middle], reasoned)) / 3.5 <= budget else (low, middle - 1)
    return list(hits[:low])


def _text(hits: Sequence[Hit], reasoned: bool) -> str:
    return catalogue(hits) if reasoned else "\n".join(listed(hit) for hit in hits)
