"""What a three-way verdict comes to once its marks are held against its decision.

Source: BATS (arXiv 2511.17006), decision rules of the verifier. The paper leaves them to the model; a small model often
writes SUCCESS under a constraint that it has just found contradicted.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

Mark = Literal["satisfied", "contradicted", "unverifiable"]
ThreeWay = Literal["SUCCESS", "CONTINUE", "PIVOT"]


@dataclass(frozen=True, slots=True)
class Ruling:
    """What holds."""

    decision: ThreeWay
    overruled: str = ""
    """Why it is not what was said; empty = it is."""


def ruled(said: ThreeWay, marks: Sequence[Mark]) -> Ruling:
    """What was said, unless the marks forbid it: SUCCESS needs at least one constraint and all of them satisfied.

    With a contradiction SUCCESS and CONTINUE become PIVOT; SUCCESS with something unverifiable, or without any mark,
    becomes CONTINUE. A verdict is never made better than what was said."""
    if "contradicted" in marks and said != "PIVOT":
        return Ruling("PIVOT", "a constraint is contradicted")
    if said == "SUCCESS" and "unverifiable" in marks:
        return Ruling("CONTINUE", "a constraint is unverifiable")
    if said == "SUCCESS" and not marks:
        return Ruling("CONTINUE", "no constraint was checked")
    return Ruling(said)


def score(marks: Sequence[Mark], decision: ThreeWay) -> float:
    """How far an attempt was verified, in [0, 1]: the share of satisfied constraints; 1 only for SUCCESS, 0 for PIVOT."""
    if decision == "PIVOT":
        return 0.0
    share = marks.count("satisfied") / len(marks) if marks else 0.0
    return 1.0 if decision == "SUCCESS" else 0.9 * share
