"""How much of a budget of tool units is left: the regime, the worst one, and what a run has cost in one figure.

Source: Budget-Aware Tool-Use Enables Effective Agent Scaling (arXiv 2511.17006), Budget Tracker and problem statement.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Literal

Regime = Literal["HIGH", "MEDIUM", "LOW", "CRITICAL"]
REGIMES: tuple[Regime, ...] = ("HIGH", "MEDIUM", "LOW", "CRITICAL")
"""Best first."""


def regime(left: int, limit: int) -> Regime:
    """Of one tool: HIGH from 70 % of its units left on, MEDIUM from 30 %, LOW from 10 %, CRITICAL below and at 0.

    Whole numbers only, so that the bounds are exact. Raises ValueError unless 0 <= left <= limit."""
    if not 0 <= left <= limit:
        raise ValueError(f"{left} units left of {limit}")
    if left == 0:
        return "CRITICAL"
    tenths = 10 * left
    return (
        "HIGH" if tenths >= 7 * limit else "MEDIUM" if tenths >= 3 * limit else "LOW" if tenths >= limit else "CRITICAL"
    )


def worst(stocks: Iterable[tuple[int, int]]) -> Regime | None:
    """The worst regime over (left, limit) of the tools that have a limit; None where none has."""
    found = [regime(left, limit) for left, limit in stocks]
    return max(found, key=REGIMES.index, default=None)


def exhausted(stocks: Iterable[tuple[int, int]]) -> bool:
    """Whether any of the limited tools has nothing left, which ends the agent (section 3 of the paper)."""
    return any(left == 0 for left, _ in stocks)


def unified_cost(
    units: Mapping[str, int],
    *,
    prompt_tokens: int = 0,
    cached_tokens: int = 0,
    completion_tokens: int = 0,
    prompt_price: float = 0.0,
    cached_price: float = 0.0,
    completion_price: float = 0.0,
    unit_price: float = 0.001,
    unit_prices: Mapping[str, float] | None = None,
) -> float:
    """C = cost of tokens + sum over tools of units * price, in USD: what was spent, as the budget is what may be.

    Token prices are USD per million; ``cached_tokens`` are those of ``prompt_tokens`` a server took from its cache.
    ``unit_price``: of one unit of a tool without an entry in ``unit_prices`` (the paper's 0.001 for a search or a page)."""
    prices = unit_prices or {}
    fresh = prompt_tokens - cached_tokens
    tokens = fresh * prompt_price + cached_tokens * cached_price + completion_tokens * completion_price
    return tokens / 1e6 + sum(count * prices.get(tool, unit_price) for tool, count in units.items())
