"""What to search, keep, choose and stop by in retrieval over several branches. Pure functions; ties are stated."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

_WORD = re.compile(r"\w+")
_PLAIN = frozenset(
    _WORD.findall(
        "a an and are as at by did do does for from had has have how in is it its of on or s t that the their this to was "
        "were what when where which who whom whose why with yes no"
    )
)


def same_words(text: str) -> str:
    """The text's words in small letters, in their order: texts that differ in less are one query."""
    return " ".join(_WORD.findall(text.casefold()))


def distinct(queries: Sequence[str], before: Sequence[str] = ()) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """(queries that say something new, in order; those that repeat an earlier one of them or one of ``before``)."""
    seen = {same_words(query) for query in before}
    new: list[str] = []
    repeated: list[str] = []
    for query in queries:
        words = same_words(query)
        (repeated if words in seen or not words else new).append(query)
        seen.add(words)
    return tuple(new), tuple(repeated)


def least_stop(asymmetry: float) -> float:
    """Probability of STOP above which a search ends, for a wrong stop that weighs ``asymmetry`` times a wrong continue.

    asymmetry / (1 + asymmetry): 2/3 at 2 (SPARC-RAG's weight). From logit P - log(asymmetry) > 0."""
    return asymmetry / (1.0 + asymmetry)


class Rated(NamedTuple):
    """A branch as the selection sees it."""

    stops: bool
    grounded: float
    correct: float


def best_branch(branches: Sequence[Rated | None]) -> int | None:
    """Index of the branch to go on with: one that would stop, then the better grounded, then the more surely right, then the
    lower index. None stands for a branch that came to nothing; None when all did."""
    rated = [(index, item) for index, item in enumerate(branches) if item is not None]
    if not rated:
        return None
    return min(rated, key=lambda pair: (not pair[1].stops, -pair[1].grounded, -pair[1].correct, pair[0]))[0]


def stands_in(answer: str, texts: Sequence[str]) -> bool:
    """Whether the words of an answer stand in the texts: all that are not plain grammar, at least half of them in one.

    Yes and no stand everywhere; an answer without words stands nowhere."""
    words = _WORD.findall(answer.casefold())
    wanted = {word for word in words if word not in _PLAIN}
    if not wanted:
        return bool(words)
    told = [set(_WORD.findall(text.casefold())) for text in texts]
    return wanted <= set().union(*told) and any(2 * len(wanted & said) >= len(wanted) for said in told)


def relevance(text: str, question: str) -> float:
    """Share of the question's words that stand in the text, plain grammar left out; in [0, 1]."""
    wanted = {word for word in _WORD.findall(question.casefold()) if word not in _PLAIN}
    return len(wanted & set(_WORD.findall(text.casefold()))) / len(wanted) if wanted else 0.0


def within(lengths: Sequence[int], relevances: Sequence[float], most: int) -> tuple[int, ...]:
    """Places of what is kept when the whole may not be longer than ``most``: the least relevant goes first, of equally
    relevant ones the earlier. In order; what alone is too long goes too."""
    kept = set(range(len(lengths)))
    for place in sorted(kept, key=lambda place: (relevances[place], place)):
        if sum(lengths[item] for item in kept) <= most:
            break
        kept.discard(place)
    return tuple(sorted(kept))
