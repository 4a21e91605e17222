"""Cost of sampling with the traffic of attention in it, in eFLOPs. Kinetics: Sadhukhan et al. 2025, arXiv 2506.05333.

Dense attention only: the published code of the sparse variants corrects the first tokens with opposite signs.
"""

from __future__ import annotations

from typing import NamedTuple

INTENSITY = 562.5
"""FLOPs that the hardware does in the time it moves a byte, as the paper's scripts have it."""


class EFlops(NamedTuple):
    """Both parts, in TFLOPs."""

    compute: float
    memory: float
    """Traffic times the hardware's intensity."""

    @property
    def total(self) -> float:
        return self.compute + self.memory


def eflops(
    parameters: float,
    query_heads: int,
    kv_heads: int,
    width: int,
    context: float,
    generated: float,
    trials: int = 1,
    *,
    intensity: float = INTENSITY,
) -> EFlops:
    """eFLOPs of ``trials`` generations of one length from one prompt.

    compute = n (2 P L_out + 2 (2 L_in + L_out) L_out h d); memory = 2 (2 L_in + n L_out) L_out g d I; times 1e-12.
    width: head size times layers (d); context: L_in tokens; generated: L_out tokens of each trial. The prompt's KV is read
    once for all trials; reading the weights and the prompt's prefill are left out. Of a question whose trials differ in
    length take the mean. Raises ValueError for negative values."""
    values = (parameters, query_heads, kv_heads, width, context, generated, trials, intensity)
    if not all(value >= 0 for value in values):
        raise ValueError(f"counts of a cost must be 0 or more, not {min(values)!r}")
    attention = 2 * (2 * context + generated) * generated * query_heads * width
    compute = trials * (2 * parameters * generated + attention)
    memory = 2 * (2 * context + trials * generated) * generated * kv_heads * width * intensity
    return EFlops(compute * 1e-12, memory * 1e-12)
