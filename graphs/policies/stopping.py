"""When enough attempts were drawn: rules over the votes so far. They see votes in index order and never the clock."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from math import comb
from typing import Literal, TypeVar

A = TypeVar("A", bound=Hashable)
StoppingRule = Literal["beta", "window", "share"]


def incomplete_beta_half(a: int, b: int) -> float:
    """The regularised incomplete beta function I_x(a, b) at x = 1/2 for whole a, b >= 1, exactly, then rounded once.

    I_x(a, b) = P(Binomial(a + b - 1, x) >= a). Raises ValueError for a or b below 1."""
    if a < 1 or b < 1:
        raise ValueError(f"a and b must be 1 or more, not {a} and {b}")
    trials = a + b - 1
    return sum(comb(trials, hits) for hits in range(a, trials + 1)) / (1 << trials)


def lead_probability(leader: int, runner_up: int) -> float:
    """P(the leader is the more probable of the two answers | their votes) = 1 - I_0.5(v1 + 1, v2 + 1).

    A uniform prior over the leader's share of the two, all other answers left aside (Adaptive-Consistency, arXiv
    2305.11860). 1/2 at a tie, 1 - 2^-(v + 1) for v votes against none."""
    return 1.0 - incomplete_beta_half(leader + 1, runner_up + 1)


def two_best(answers: Sequence[A | None]) -> tuple[int, int]:
    """(votes of the leader, votes of the runner-up); None does not vote."""
    counts = sorted(Counter(answer for answer in answers if answer is not None).values(), reverse=True)
    return (*counts, 0, 0)[0], (*counts, 0, 0)[1]


@dataclass(frozen=True, slots=True)
class StopDecision:
    """What a rule saw and decided."""

    stop: bool
    leader: int
    """Votes of the leading answer."""
    runner_up: int
    """Votes of the second."""
    figure: float
    """What was compared with the threshold: the posterior probability, or a share in [0, 1]."""


def decide_stop(
    answers: Sequence[A | None],
    newest: Sequence[A | None],
    *,
    rule: StoppingRule = "beta",
    confidence: float = 0.95,
    share: float = 0.75,
) -> StopDecision:
    """Whether to stop. ``answers``: of all attempts that came out, in index order; ``newest``: those of the last batch.

    beta: ``lead_probability`` is ``confidence`` or more. window: the whole last batch gives one answer (Early-Stopping
    Self-Consistency, arXiv 2401.10480). share: the leader has that share of all attempts, unreadable ones included.
    Nothing stops while no answer can be read."""
    leader, runner_up = two_best(answers)
    if rule == "beta":
        figure, threshold = lead_probability(leader, runner_up), confidence
    elif rule == "window":
        figure, threshold = (two_best(newest)[0] / len(newest) if newest else 0.0), 1.0
    else:
        figure, threshold = (leader / len(answers) if answers else 0.0), share
    return StopDecision(leader > 0 and figure >= threshold, leader, runner_up, figure)


def next_batch(drawn: int, *, first: int, batch: int, most: int, doubling: bool = False) -> int:
    """How many attempts the next batch has: ``first``, then ``batch`` at a time, or as many as there are; at most ``most`` in
    all."""
    wanted = first if drawn == 0 else drawn if doubling else batch
    return max(0, min(wanted, most - drawn))
