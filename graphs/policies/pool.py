"""The best k of a pool."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

T = TypeVar("T")


def top_k(items: Sequence[T], rewards: Sequence[float], k: int) -> tuple[T, ...]:
    """At most k items, highest reward first; equal rewards keep their order (stable, as in MAgICoRe's code)."""
    order = sorted(range(len(items)), key=lambda index: -rewards[index])
    return tuple(items[index] for index in order[: max(0, k)])
