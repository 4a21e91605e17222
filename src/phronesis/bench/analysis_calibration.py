"""How far an arm's own confidence can be believed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from phronesis.bench.analysis import independent
from phronesis.bench.metrics.calibration import balance, brier, ece, reliability
from phronesis.bench.running.item import Item

BINS = 10


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """One kind of confidence of one arm against what was right."""

    source: str
    """``vote share`` of the answer given, ``token probability`` (geometric mean) or ``reward`` of single attempts."""
    count: int
    confidence: float
    """Mean."""
    accuracy: float
    ece: float
    """Expected calibration error over ten bins of equal width."""
    brier: float
    balance: float
    """Above 0: less sure than right; below: too sure."""
    bins: tuple[Any, ...]
    """Rows of ``metrics.calibration.reliability``."""


def calibrations(items: Sequence[Item]) -> list[Calibration]:
    """Every kind of confidence that the items hold."""
    graded = [item for item in items if item.graded]
    kept = [one for item in graded for one in item.attempts if one.status == "ok"]
    sources = {
        "vote share": votes(graded) if independent(graded) else [],
        "token probability": [
            (min(1.0, math.exp(one.mean_logprob)), one.correct) for one in kept if one.mean_logprob is not None
        ],
        "reward": [(one.reward, one.correct) for one in kept if one.reward is not None],
    }
    return [
        calibration(name, pairs)
        for name, pairs in sources.items()
        if pairs and all(0 <= confidence <= 1 for confidence, _ in pairs)
    ]


def votes(items: Sequence[Item]) -> list[tuple[float, bool]]:
    """(share of the readable attempts that agree with the answer given, whether it is right); items without one are left
    out."""
    found = []
    for item in items:
        answers = [one.answer for one in item.attempts if one.answer is not None]
        if item.answer is not None and answers:
            found.append((answers.count(item.answer) / len(answers), item.correct))
    return found


def calibration(source: str, pairs: Sequence[tuple[float, bool]]) -> Calibration:
    """The figures of (confidence in [0, 1], whether right); at least one pair."""
    p, y = [confidence for confidence, _ in pairs], [right for _, right in pairs]
    return Calibration(
        source=source,
        count=len(pairs),
        confidence=math.fsum(p) / len(p),
        accuracy=sum(y) / len(y),
        ece=ece(p, y, bins=BINS),
        brier=brier(p, y),
        balance=balance(p, y),
        bins=tuple(reliability(p, y, bins=BINS)),
    )
