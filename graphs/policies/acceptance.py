"""When a run's answer is good enough to learn from, and when a failure is real enough. No gold answer is ever consulted.

An answer is accepted when the attempts agree **and** a verifier finds it good: never on agreement alone, never on a verifier
alone. One exception: a single readable attempt, which nothing can agree with, is accepted by a verifier that is a test
(it runs programs or tests; a judge, a reward model and a checker of single equations are none). A failure teaches only where
a test contradicts the answer; attempts that merely disagree show that one of them is wrong, not which one.
"""

from __future__ import annotations

from dataclasses import dataclass

GATE_VERSION = 1
"""Counts up with each change of these rules; stands in the evidence beside each concept."""
CONTRADICTED = 0.5
"""A test's figure below this, and below the least score, contradicts the answer."""


@dataclass(frozen=True, slots=True)
class Acceptance:
    """The decision and its reason, for people."""

    accepted: bool
    reason: str


def agreement(*, votes: int, agreeing: int, test: bool = False, least_votes: int = 2, consensus: float = 0.6) -> str:
    """Why the attempts do not agree enough for a verifier to be worth asking; empty when they do.

    ``votes``: attempts drawn independently whose answer could be read; ``agreeing``: those with the final answer; ``test``:
    the verifier is a test, so that one attempt is enough."""
    least = 1 if test else least_votes
    if votes < least:
        needed = "a verifier that is a test or" if votes == 1 else "at least"
        return f"{votes} readable attempts, {needed} {least} are needed"
    if agreeing / votes < consensus:
        return f"{agreeing} of {votes} attempts agree, {consensus:.0%} are needed"
    return ""


def accept(
    *,
    votes: int,
    agreeing: int,
    score: float | None,
    test: bool = False,
    verifier: str = "checker",
    least_votes: int = 2,
    consensus: float = 0.6,
    least_score: float = 0.5,
) -> Acceptance:
    """Accepts when enough attempts agree and the verifier's figure for the chosen one is high enough.

    ``score``: the verifier's figure in [0, 1], None = it could not tell; the rest as for ``agreement``."""
    lacking = agreement(votes=votes, agreeing=agreeing, test=test, least_votes=least_votes, consensus=consensus)
    if lacking:
        return Acceptance(False, lacking)
    if score is None:
        return Acceptance(False, f"the chosen attempt is not checked: the {verifier} could not tell")
    if score < least_score:
        return Acceptance(False, f"the {verifier} scores the chosen attempt {score:.2f}, {least_score:.2f} is needed")
    agreed = f"{agreeing} of {votes} attempts agree and " if votes > 1 else ""
    return Acceptance(True, f"{agreed}the {verifier} scores the chosen one {score:.2f}")


def contradicted(*, score: float | None, test: bool, least_score: float = 0.5) -> str:
    """Why a rejected run shows no failure to learn from; empty when a test contradicts its answer."""
    if not test:
        return "only a verifier that runs something can show a failure"
    if score is None:
        return "the test could not tell"
    if score >= min(CONTRADICTED, least_score):
        return f"the test does not contradict the answer ({score:.2f})"
    return ""
