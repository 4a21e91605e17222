"""When a run's answer is good enough to learn from. No gold answer is ever consulted."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Acceptance:
    """The decision and its reason, for people."""

    accepted: bool
    reason: str


def accept(
    *,
    votes: int,
    agreeing: int,
    score: float | None,
    least_votes: int = 2,
    consensus: float = 0.6,
    least_score: float = 0.5,
) -> Acceptance:
    """Accepts when enough attempts agree and a scorer finds nothing wrong: never on agreement or a judge alone.

    ``votes``: attempts drawn independently whose answer could be read; ``agreeing``: those with the final answer;
    ``score``: the checker's figure for the chosen attempt in [0, 1], None = it was not checked."""
    if votes < least_votes:
        return Acceptance(False, f"{votes} readable attempts, at least {least_votes} are needed")
    share = agreeing / votes
    if share < consensus:
        return Acceptance(False, f"{agreeing} of {votes} attempts agree, {consensus:.0%} are needed")
    if score is None:
        return Acceptance(False, "no scorer checked the chosen attempt")
    if score < least_score:
        return Acceptance(False, f"the checker scores the chosen attempt {score:.2f}, {least_score:.2f} is needed")
    return Acceptance(True, f"{agreeing} of {votes} attempts agree and the checker scores the chosen one {score:.2f}")
