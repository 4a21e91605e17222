"""Which of the concepts found are shown, and why the others are not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

BELOW_LEAST = "below least similarity"
DIVERSITY = "diversity"
NOT_SELECTED = "not selected"
NOT_AMONG_BEST = "not among the best"


class Found(NamedTuple):
    """A concept that was found."""

    id: str
    score: float
    rank: int
    """From 1, in the order before diversity."""


def choose(found: Sequence[Found], k: int, *, least: float | None) -> Mapping[str, str]:
    """For each, in the order given, empty if it is one of the first k that are similar enough, else the reason.

    ``least``: lowest score, None = none. ``diversity``: the reason of one that would be chosen in the plain order."""
    near = [item for item in found if least is None or item.score >= least]
    chosen = {item.id for item in near[:k]}
    plain = {item.id for item in sorted(near, key=lambda item: item.rank)[:k]}
    reasons = {}
    for item in found:
        if item.id in chosen:
            reasons[item.id] = ""
        elif item not in near:
            reasons[item.id] = BELOW_LEAST
        else:
            reasons[item.id] = DIVERSITY if item.id in plain else NOT_AMONG_BEST
    return reasons
