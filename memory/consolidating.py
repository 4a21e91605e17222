"""Consolidation: what a memory can do about its own repetitions and dead wood, as resumable jobs."""

from __future__ import annotations

from phronesis.memory.opened import OpenMemory


class Consolidating(OpenMemory):
    """Plans and applies consolidations."""
