"""Seeds that depend on where in a run they are used, never on when."""

from __future__ import annotations

import hashlib
import random


def derive(seed: int, *parts: str | int) -> int:
    """A seed in [0, 2**31) from the run's seed and a path. Equal input, equal output, in every process and version."""
    digest = hashlib.blake2b(digest_size=8)
    for part in (seed, *parts):
        digest.update(repr(part).encode())
        digest.update(b"\x00")
    return int.from_bytes(digest.digest(), "big") % 2**31


def generator(seed: int, *parts: str | int) -> random.Random:
    """A random generator of its own for one place of a run."""
    return random.Random(derive(seed, *parts))
