"""From passages to a candidate whose citations are checked, and the end that strategies over documents share."""

from __future__ import annotations

from collections.abc import Sequence

from phronesis.agents.passages import citations
from phronesis.agents.reader import Reader
from phronesis.core.budget import Branch
from phronesis.core.errors import RetrievalError
from phronesis.core.result import Candidate
from phronesis.core.retrieval import Passage
from phronesis.core.site import Site
from phronesis.graphs.context import RunContext
from phronesis.graphs.nodes.attempts import brief, failure_of, stop_reason, to_candidate
from phronesis.graphs.state import Outcome


async def look_up(
    ctx: RunContext, queries: Sequence[str], *, k: int, branch: Branch, occurrence: str = "0"
) -> tuple[tuple[Passage, ...], ...]:
    """The passages of each query; a failed search finds nothing, and the Result says so. Raises BudgetExhausted."""
    try:
        return await ctx.search.search(queries, k=k, branch=branch, occurrence=occurrence)
    except RetrievalError as error:
        ctx.report(failure_of(error, f"{branch.path or 'task'} search"))
        return tuple(() for _ in queries)


async def read(
    ctx: RunContext,
    reader: Reader,
    passages: Sequence[Passage],
    *,
    branch: Branch,
    id: str = "c0",
    demonstrations: str = "",
) -> Candidate:
    """The answer that the reader finds in the passages, its citations kept. 1 call, depth 1. Raises BudgetExhausted.

    Whoever reads in several branches notes the citations afterwards, in the order of the branches."""
    site = Site(branch, "reader")
    reply = await reader.read(
        ctx.task, ctx.answers.format, passages, site=site, memory=ctx.memory, demonstrations=demonstrations
    )
    candidate = to_candidate(reply, id=id, space=ctx.answers, where=site.where)
    found = citations(candidate.text, {number: item.id for number, item in enumerate(passages, start=1)})
    ctx.search.cite(id, found.ids, found.invented)
    ctx.note("node", f"{branch.path}read.{id}", {"candidates": [brief(candidate)]})
    return candidate


def note_citations(ctx: RunContext, id: str) -> None:
    """Journals what a candidate cites, and the numbers it made up."""
    shown = {"cited": list(ctx.search.cited.get(id, ())), "invented": list(ctx.search.invented.get(id, ()))}
    ctx.note("decision", f"citations.{id}", {"rule": "citations", "of": id, **shown})


def ended(ctx: RunContext, candidate: Candidate | None, *, grounded: bool, otherwise: str = "finished") -> Outcome:
    """One candidate, or none, as the strategy's outcome; without any passage the stop reason is ``ungrounded``."""
    candidates = () if candidate is None else (candidate,)
    stop = stop_reason(ctx, candidates, otherwise if grounded else "ungrounded")
    if candidate is None or candidate.status == "failed":
        return {"candidates": candidates, "answer": None, "chosen": None, "stop": stop}
    return {"candidates": candidates, "answer": candidate.answer, "chosen": candidate.id, "stop": stop}
