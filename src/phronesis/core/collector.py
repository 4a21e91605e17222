"""A pause for Python's cyclic garbage collector while one large reply is read.

Reading 100 KB of JSON makes thousands of small objects, none of them garbage, and the collector walks them again and again:
it takes two thirds of the time. The pause is for short synchronous work that lets go of what it made before it ends.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def collector_paused() -> Iterator[None]:
    """Switches the collector off and, if it was on, on again. Other threads are without it meanwhile."""
    running = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if running:
            gc.enable()
