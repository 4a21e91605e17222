"""Budget Tracker: what tells a tool-using agent, after every response, what it has used and what is left.

Source: Budget-Aware Tool-Use Enables Effective Agent Scaling (arXiv 2511.17006). A plug-in for any agent: pure text, no
call. Which regime holds is for graphs/policies/regimes.py to say.
Differs from the paper: one short order for the regime that holds now, in place of a table of all four in the first prompt,
which small models mix up; no numbers of queries and pages in it (told to try 3 to 5 things, a 0.5B model answered "3, 4,
5"); an agent with nothing left answers with what it knows, not with "None".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

ADVICE: Mapping[str, str] = {
    "HIGH": "Plenty is left. If the results above do not answer the question yet, look further; else answer.",
    "MEDIUM": "Some is left. Make only calls that bring you nearer to the answer; if you know it, answer.",
    "LOW": "Little is left. Make one call to check one fact, or answer.",
    "CRITICAL": "Nearly nothing is left. Do not call a tool that has 0 left. Answer with what you know.",
}
"""By regime; that of the tool with the least left holds."""


@dataclass(frozen=True, slots=True)
class Stock:
    """What there is of one tool."""

    tool: str
    used: int
    limit: int | None
    """None = no limit."""

    @property
    def left(self) -> int | None:
        """Units that may still be used; None = no limit."""
        return None if self.limit is None else max(0, self.limit - self.used)

    @property
    def line(self) -> str:
        """As the block shows it."""
        if self.limit is None:
            return f"{self.tool}: {self.used} used, unlimited"
        return f"{self.tool}: {self.used} used, {self.left} left of {self.limit}"


def limited(stocks: Sequence[Stock]) -> list[tuple[int, int]]:
    """(left, limit) of the tools that have a limit."""
    return [(stock.left or 0, stock.limit) for stock in stocks if stock.limit is not None]


def budget_block(stocks: Sequence[Stock], regime: str | None) -> str:
    """Used and left units by tool, in the order given, and the order that holds in the regime; None = no tool has a limit."""
    lines = [stock.line for stock in stocks]
    return "\n".join(["Budget:", *lines] if regime is None else [f"Budget ({regime}):", *lines, ADVICE[regime]])
