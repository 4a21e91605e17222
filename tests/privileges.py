"""File permissions that hold for root as well, so that a test of a refusal need not be skipped in a container."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterator
from contextlib import contextmanager

_VERSION = 0x20080522
_OVERRIDE = 1 << 1 | 1 << 2
"""CAP_DAC_OVERRIDE and CAP_DAC_READ_SEARCH."""


@contextmanager
def permissions_hold() -> Iterator[None]:
    """Takes the right to pass over permissions from this thread for a while; nothing to do for anyone but root.

    Linux only, where tests run as root; raises OSError when the right cannot be taken."""
    if os.geteuid() != 0:
        yield
        return
    libc = ctypes.CDLL(None, use_errno=True)
    header, sets = (ctypes.c_uint32 * 2)(_VERSION, 0), (ctypes.c_uint32 * 6)()

    def call(function: str) -> None:
        if getattr(libc, function)(header, sets):
            raise OSError(ctypes.get_errno(), function)

    call("capget")
    before = sets[0]
    sets[0] = before & ~_OVERRIDE
    call("capset")
    try:
        yield
    finally:
        sets[0] = before
        call("capset")
