"""Prefill token equivalents: what a tool-using run costs, in tokens of prefill.

Su et al. 2026, arXiv 2604.05404, section 3. Tool calls are taken to evict the KV cache, so every turn prefills its whole
context again. Branches that ran side by side add up for the cost; along the critical path they give a latency.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

HOI = {"h100": 756.5, "h200": 348.1, "a100": 322.5, "rtx4090": 327.4, "v100": 138.9}
"""Operational intensity of hardware, FLOPs per byte of memory traffic."""

GAMMAS = {
    "qwen2.5-7b": 0.00329,
    "qwen2.5-32b": 0.00320,
    "qwen2.5-72b": 0.00175,
    "qwen3-32b": 0.00200,
    "llama-3.1-8b": 0.00625,
    "llama-3.1-70b": 0.00175,
    "qwen3-30b-a3b": 0.00563,
    "qwen3-235b-a22b": 0.00163,
    "gpt-oss-120b": 0.00388,
    "deepseek-v3.1": 0.00068,
}
"""gamma on an H100, as the paper's table has it; for others ``gamma``."""


class Turn(NamedTuple):
    """One exchange with the model."""

    prefill: int
    """Tokens of its whole context, cached ones among them."""
    decode: int
    """Generated tokens; of n choices of one request all of them."""
    cached: int = 0
    """Context tokens that the server had in its prefix cache."""


def pte(turns: Sequence[Turn], gamma: float, *, warm: bool = False, growing: bool = False) -> float:
    """Sum over turns of prefill + gamma * prefill * decode.

    warm: tokens from the prefix cache are not prefilled again, (prefill - cached) + gamma * prefill * decode; never more than
    the cold figure, which is the paper's. growing: decoding reads the context that it lengthens itself, on average
    prefill + decode / 2; for long replies. 0 without turns. Raises ValueError for negative counts and cached > prefill."""
    if not gamma >= 0:
        raise ValueError(f"gamma must be 0 or more, not {gamma!r}")
    total = 0.0
    for turn in turns:
        if turn.decode < 0 or not 0 <= turn.cached <= turn.prefill:
            raise ValueError(f"{turn} is no turn: counts are 0 or more, cached tokens are part of the prefill")
        read = turn.prefill - turn.cached if warm else turn.prefill
        context = turn.prefill + turn.decode / 2 if growing else turn.prefill
        total += read + gamma * context * turn.decode
    return total


def gamma(layers: int, width: int, hoi: float, active: float, kv_share: float = 1.0) -> float:
    """What a context token costs per decode step, in prefill tokens: 2 * layers * width * HOI / active * kv_share.

    width: of the model (d_model); active: parameters used per token; kv_share: KV heads over query heads. Where head size
    times query heads is not d_model, give that product as width; for latent attention the latent plus rope width. FP16
    keys and values. Raises ValueError for anything not above 0."""
    values = {"layers": layers, "width": width, "hoi": hoi, "active": active, "kv_share": kv_share}
    bad = next((name for name, value in values.items() if not value > 0), None)
    if bad is not None:
        raise ValueError(f"{bad} must be above 0, not {values[bad]!r}")
    return 2 * layers * width * hoi / active * kv_share
