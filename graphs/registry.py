"""The table of strategies: the shipped ones here, others through the entry-point group ``phronesis.strategies``."""

from __future__ import annotations

from difflib import get_close_matches
from importlib import import_module
from importlib.metadata import entry_points
from typing import Any

from phronesis.core.errors import UnknownStrategy
from phronesis.graphs.strategy import Strategy

SHIPPED = {
    "best_of_n": "phronesis.graphs.sampling.best_of_n:STRATEGY",
    "direct": "phronesis.graphs.sampling.direct:STRATEGY",
    "early_stop_vote": "phronesis.graphs.sampling.early_stop_vote:STRATEGY",
    "first_finish": "phronesis.graphs.sampling.first_finish:STRATEGY",
    "magicore": "phronesis.graphs.refinement.magicore:STRATEGY",
    "mixed_vote": "phronesis.graphs.sampling.mixed_vote:STRATEGY",
    "self_consistency": "phronesis.graphs.sampling.self_consistency:STRATEGY",
    "self_refine": "phronesis.graphs.refinement.self_refine:STRATEGY",
    "weighted_vote": "phronesis.graphs.sampling.weighted_vote:STRATEGY",
}
INTERNAL = {"score_bank": "phronesis.graphs.sampling.score_bank:STRATEGY"}
"""Found by name but not listed: commands run them, people do not write recipes for them."""


def names() -> list[str]:
    """Every strategy that can be named, sorted."""
    return sorted({*SHIPPED, *(point.name for point in entry_points(group="phronesis.strategies"))})


def find(name: str) -> Strategy[Any]:
    """The strategy of that name, imported when asked for. Raises UnknownStrategy with the nearest name.

    A shipped name wins over an entry point that claims it."""
    target = SHIPPED.get(name) or INTERNAL.get(name)
    if target is None:
        found = [point for point in entry_points(group="phronesis.strategies") if point.name == name]
        if not found:
            near = get_close_matches(name, names(), n=1, cutoff=0.4)
            hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(names())}"
            raise UnknownStrategy(f"unknown strategy {name!r}", mend=hint)
        target = found[0].value
    module, _, attribute = target.partition(":")
    strategy = getattr(import_module(module), attribute)
    if not isinstance(strategy, Strategy):
        raise UnknownStrategy(f"{target} is not a Strategy but {type(strategy).__name__}")
    return strategy
