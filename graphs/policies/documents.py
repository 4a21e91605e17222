"""The block of documents that grows with the searches of a task: order, duplicates, eviction. Pure functions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple


class Place(NamedTuple):
    """One document of the block."""

    number: int
    """What prompts and citations call it; it keeps it when others go."""
    round: int
    """The search that brought it in; 0 = the question's own."""
    rank: int
    """In that search, from 1."""


def with_found(block: Sequence[Place], numbers: Sequence[int], round: int) -> tuple[Place, ...]:
    """The block with the documents a search found, best first; those it holds stay where they are.

    Documents stand in the order of the searches, each search's in reverse order of rank: what was found last, and of it the
    best, stands nearest to the question, and a growing block only ever grows at its end."""
    held = {place.number for place in block}
    new = [Place(number, round, rank) for rank, number in enumerate(numbers, start=1) if number not in held]
    return tuple(sorted((*block, *new), key=lambda place: (place.round, -place.rank)))


def without_lowest(block: Sequence[Place]) -> tuple[Place, ...]:
    """The block without the document of the lowest rank; of equal ranks the one found first goes."""
    lowest = max(block, key=lambda place: (place.rank, -place.round))
    return tuple(place for place in block if place != lowest)


def within(block: Sequence[Place], most: int | None) -> tuple[Place, ...]:
    """The block cut to ``most`` documents; None = all of it."""
    kept = tuple(block)
    while most is not None and len(kept) > most:
        kept = without_lowest(kept)
    return kept
