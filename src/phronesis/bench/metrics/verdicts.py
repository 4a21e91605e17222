"""What verdicts on labelled attempts are worth: balanced accuracy, and precision, recall and F1 of rejecting.

Rejecting a wrong attempt is the positive case, as DeepVerifier counts (arXiv 2601.15808, its meta-evaluation). A verdict is
accept, reject or unknown, and an unknown one is never right: a loop does not keep such an attempt, and does not know what is
wrong with it. Shares are NaN where they have nothing to count.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

Judged = tuple[bool | None, bool]
"""(whether the attempt is accepted, None = unknown; whether it is right)."""
NEARLY_ALL = 0.9
FEWEST = 10
"""Attempts that it takes to say that a verifier always says the same."""


@dataclass(frozen=True, slots=True)
class VerdictCounts:
    """Verdicts by what the attempts are."""

    accepted_right: int
    rejected_right: int
    unknown_right: int
    accepted_wrong: int
    rejected_wrong: int
    unknown_wrong: int

    @property
    def right(self) -> int:
        return self.accepted_right + self.rejected_right + self.unknown_right

    @property
    def wrong(self) -> int:
        return self.accepted_wrong + self.rejected_wrong + self.unknown_wrong

    @property
    def accepts_right(self) -> float:
        """Share of the right attempts that are accepted."""
        return _share(self.accepted_right, self.right)

    @property
    def accepts_wrong(self) -> float:
        """Share of the wrong attempts that are accepted."""
        return _share(self.accepted_wrong, self.wrong)

    @property
    def accuracy(self) -> float:
        """Share of the verdicts that are right."""
        return _share(self.accepted_right + self.rejected_wrong, self.right + self.wrong)

    @property
    def balanced(self) -> float:
        """Mean of the share of right attempts accepted and that of wrong ones rejected; 0.5 = a coin, or always the same."""
        return (self.accepts_right + self.recall) / 2

    @property
    def precision(self) -> float:
        """Share of the rejected attempts that are wrong."""
        return _share(self.rejected_wrong, self.rejected_wrong + self.rejected_right)

    @property
    def recall(self) -> float:
        """Share of the wrong attempts that are rejected."""
        return _share(self.rejected_wrong, self.wrong)

    @property
    def f1(self) -> float:
        """Harmonic mean of precision and recall; 0 where no wrong attempt is rejected."""
        return _share(2 * self.rejected_wrong, self.rejected_wrong + self.rejected_right + self.wrong)

    @property
    def unknown(self) -> float:
        """Share of all attempts without a verdict."""
        return _share(self.unknown_right + self.unknown_wrong, self.right + self.wrong)

    @property
    def sameness(self) -> str:
        """In words where nearly all verdicts are the same; empty otherwise, and with fewer than 10 attempts to see it by."""
        everything = self.right + self.wrong
        accepted = self.accepted_right + self.accepted_wrong
        rejected = self.rejected_right + self.rejected_wrong
        if self.wrong >= FEWEST and self.accepts_wrong >= NEARLY_ALL and accepted >= NEARLY_ALL * everything:
            return f"accepts {_percent(self.accepts_wrong)} of the wrong attempts: it says yes to nearly everything"
        rejects = _share(self.rejected_right, self.right)
        if self.right >= FEWEST and rejects >= NEARLY_ALL and rejected >= NEARLY_ALL * everything:
            return f"rejects {_percent(rejects)} of the right attempts: it says no to nearly everything"
        if everything >= FEWEST and self.unknown >= NEARLY_ALL:
            return f"has no verdict on {_percent(self.unknown)} of the attempts"
        return ""


def count_verdicts(judged: Iterable[Judged]) -> VerdictCounts:
    """The counts of verdicts, in any order."""
    found = [(accepted, right) for accepted, right in judged]
    return VerdictCounts(
        accepted_right=found.count((True, True)),
        rejected_right=found.count((False, True)),
        unknown_right=found.count((None, True)),
        accepted_wrong=found.count((True, False)),
        rejected_wrong=found.count((False, False)),
        unknown_wrong=found.count((None, False)),
    )


def _share(part: int, whole: int) -> float:
    return part / whole if whole else math.nan


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %"
