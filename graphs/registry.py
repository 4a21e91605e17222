"""The table of strategies: the shipped ones here, others through the entry-point group ``phronesis.strategies``."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import TYPE_CHECKING, Any

from phronesis.core.errors import RecipeError, UnknownStrategy
from phronesis.core.plugins import installed, load_named
from phronesis.graphs.strategy import Strategy

if TYPE_CHECKING:
    from phronesis.graphs.verify_section import VerifySection

SHIPPED = {
    "bats": "phronesis.graphs.tool_use.bats:STRATEGY",
    "best_of_n": "phronesis.graphs.sampling.best_of_n:STRATEGY",
    "deep_verifier": "phronesis.graphs.verification.deep_verifier:STRATEGY",
    "direct": "phronesis.graphs.sampling.direct:STRATEGY",
    "drag": "phronesis.graphs.retrieval.drag:STRATEGY",
    "early_stop_vote": "phronesis.graphs.sampling.early_stop_vote:STRATEGY",
    "first_finish": "phronesis.graphs.sampling.first_finish:STRATEGY",
    "genrm": "phronesis.graphs.verification.genrm:STRATEGY",
    "iterdrag": "phronesis.graphs.retrieval.iterdrag:STRATEGY",
    "magicore": "phronesis.graphs.refinement.magicore:STRATEGY",
    "mixed_vote": "phronesis.graphs.sampling.mixed_vote:STRATEGY",
    "rag": "phronesis.graphs.retrieval.rag:STRATEGY",
    "react": "phronesis.graphs.tool_use.react:STRATEGY",
    "retry": "phronesis.graphs.refinement.retry:STRATEGY",
    "self_consistency": "phronesis.graphs.sampling.self_consistency:STRATEGY",
    "self_refine": "phronesis.graphs.refinement.self_refine:STRATEGY",
    "sparc_rag": "phronesis.graphs.retrieval.sparc_rag:STRATEGY",
    "weighted_vote": "phronesis.graphs.sampling.weighted_vote:STRATEGY",
}
INTERNAL = {
    "given": "phronesis.graphs.sampling.given:STRATEGY",
    "score_bank": "phronesis.graphs.sampling.score_bank:STRATEGY",
}
"""Found by name but not listed: commands run them, people do not write recipes for them."""


def names() -> list[str]:
    """Every strategy that can be named, sorted."""
    return sorted({*SHIPPED, *installed("phronesis.strategies")})


def find(name: str) -> Strategy[Any]:
    """The strategy of that name, imported when asked for. Raises UnknownStrategy with the nearest name.

    A shipped name wins over an entry point that claims it."""
    return load_named(
        name,
        Strategy,
        what="strategy",
        shipped={**SHIPPED, **INTERNAL},
        group="phronesis.strategies",
        known=names(),
        error=UnknownStrategy,
    )


def around(strategy: Strategy[Any], section: VerifySection) -> Strategy[Any]:
    """The strategy inside the loop of ``[verify]``; itself where nothing is to be verified. Raises RecipeError for one that
    is such a loop already."""
    if not section.strategy:
        return strategy
    if strategy.verifies:
        raise RecipeError(
            f"the strategy {strategy.name!r} verifies its attempts itself, and [verify] would verify them again",
            mend="leave verify.strategy out, or give [verify] to the strategy that makes the attempts",
        )
    wrap: Callable[[Strategy[Any], VerifySection], Strategy[Any]]
    wrap = import_module("phronesis.graphs.verification.verified").verified
    return wrap(strategy, section)
