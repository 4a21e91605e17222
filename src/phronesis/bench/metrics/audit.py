"""False positives: right answers with a flawed derivation, and figures without them.

Wang et al. 2025, arXiv 2502.06217. Rates are shares in [0, 1]; a value outside raises ValueError.
"""

from __future__ import annotations

import math
from statistics import NormalDist

from phronesis.bench.metrics.passk import pass_at_k
from phronesis.bench.ranking import Interval


def rogan_gladen(observed: float, sensitivity: float, specificity: float) -> float:
    """The true rate behind an imperfect auditor's: (observed + spec - 1) / (sens + spec - 1), cut to [0, 1].

    sensitivity: share of the flawed that it finds; specificity: share of the sound that it passes; of a perfect auditor the
    observed rate. Raises ValueError unless they add up to more than 1: such an auditor tells nothing. NaN for a NaN.
    Rogan and Gladen 1978."""
    for name, value in (("observed", observed), ("sensitivity", sensitivity), ("specificity", specificity)):
        _share(name, value)
    if sensitivity + specificity <= 1:
        raise ValueError(f"an auditor of sensitivity {sensitivity} and specificity {specificity} tells nothing")
    true = (observed + specificity - 1) / (sensitivity + specificity - 1)
    return true if math.isnan(true) else min(1.0, max(0.0, true))


def corrected_accuracy(accuracy: float, false_positive_rate: float) -> float:
    """accuracy * (1 - FP rate); the FP rate is that among the answers graded right."""
    _share("accuracy", accuracy)
    _share("false_positive_rate", false_positive_rate)
    return accuracy * (1 - false_positive_rate)


def corrected_pass_at_k(n: int, c: int, false_positives: int, k: int) -> float:
    """pass@k with the false positives counted wrong: ``pass_at_k(n, c - false_positives, k)``.

    Raises ValueError when there are more false positives than right answers."""
    if not 0 <= false_positives <= c:
        raise ValueError(f"{false_positives} of {c} right answers cannot be false positives")
    return pass_at_k(n, c - false_positives, k)


def thinned_pass_at_k(n: int, c: int, false_positive_rate: float, k: int) -> float:
    """Expected corrected pass@k when it is not known which right answers are false positives, only their rate: each is one
    with this chance, on its own. Where flaws come together in one question the true figure is lower.

    0 at rate 1, pass@k at rate 0; NaN when k > n."""
    _share("false_positive_rate", false_positive_rate)
    kept = 1 - false_positive_rate
    return math.fsum(
        math.comb(c, left) * kept**left * false_positive_rate ** (c - left) * pass_at_k(n, left, k)
        for left in range(c + 1)
    )


def share_interval(part: float, whole: int, level: float = 0.95) -> Interval:
    """part / whole with Wilson's score interval, which keeps its width where the share is 0 or 1. NaN for whole = 0.

    part may be a sum of shares, one per cluster; whole is then the number of clusters. Wilson 1927."""
    if not whole:
        return Interval(math.nan, math.nan, math.nan)
    share, z = part / whole, NormalDist().inv_cdf((1 + level) / 2)
    _share("the share", share)
    middle = (share + z * z / (2 * whole)) / (1 + z * z / whole)
    half = z / (1 + z * z / whole) * math.sqrt(share * (1 - share) / whole + (z / (2 * whole)) ** 2)
    return Interval(share, max(0.0, min(share, middle - half)), min(1.0, max(share, middle + half)))


def _share(name: str, value: float) -> None:
    if value < 0 or value > 1:
        raise ValueError(f"{name} must lie in [0, 1], not {value!r}")
