"""Versions of a memory: snapshots, differences, going back, branches."""

from __future__ import annotations

from phronesis.memory.opened import OpenMemory


class Versioned(OpenMemory):
    """Names, compares and brings back versions."""
