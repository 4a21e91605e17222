"""What every strategy's graph ends with, and the reducer that parallel branches share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, TypedDict

from phronesis.core.result import Candidate


def merge_candidates(old: Sequence[Candidate], new: Sequence[Candidate]) -> tuple[Candidate, ...]:
    """Keyed by id: a new version takes the old one's place, a new id goes to the end, in the order sent."""
    merged = {candidate.id: candidate for candidate in old}
    merged.update((candidate.id, candidate) for candidate in new)
    return tuple(merged.values())


class Outcome(TypedDict, total=False):
    """The part of a strategy's state that becomes the Result. Kept up to date, so that it is the best so far."""

    candidates: Annotated[tuple[Candidate, ...], merge_candidates]
    answer: str | None
    """Canonical answer; None while there is none."""
    chosen: str | None
    """Id of the candidate the answer is taken from."""
    stop: str
    """Stop reason."""
