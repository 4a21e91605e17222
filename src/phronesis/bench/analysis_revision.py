"""What revising did to answers: from round 0 to the last attempt along its parents."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from phronesis.bench.metrics.revision import RevisionReport, revisions
from phronesis.bench.running.item import AttemptGrade, Item

Chain = list[tuple[str | None, bool]]


@dataclass(frozen=True, kw_only=True)
class Revisions:
    """The revisions of one arm on one set."""

    report: RevisionReport
    chains: int
    """Attempts that nothing was made from, with at least one revision behind them."""
    before: float
    """Share of the chains whose first attempt is right."""
    after: float
    """Share whose last attempt is."""
    over_budget: float
    """Share of all tasks that a budget stopped."""


def revised(items: Sequence[Item]) -> Revisions | None:
    """The report of an arm that refines; None for one that does not, or never had to."""
    graded = [item for item in items if item.graded]
    found = [chain for item in graded for chain in chains(item.attempts)]
    if not found:
        return None
    return Revisions(
        report=revisions(found),
        chains=len(found),
        before=sum(chain[0][1] for chain in found) / len(found),
        after=sum(chain[-1][1] for chain in found) / len(found),
        over_budget=sum(item.stop.startswith("budget:") for item in items) / len(items),
    )


def chains(attempts: Sequence[AttemptGrade]) -> list[Chain]:
    """(answer, whether right) from the first ancestor to each attempt that nothing was made from, along first parents.

    Attempts without an ancestor are no chain. Failed attempts are left out: they replaced nothing."""
    known = {one.id: one for one in attempts if one.status != "failed"}
    used = {parent for one in known.values() for parent in one.parents}
    found = []
    for one in known.values():
        if one.id in used:
            continue
        line, seen = [one], {one.id}
        while line[0].parents and (above := known.get(line[0].parents[0])) is not None and above.id not in seen:
            line.insert(0, above)
            seen.add(above.id)
        if len(line) > 1:
            found.append([(step.answer, step.correct) for step in line])
    return found
