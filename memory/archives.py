"""A memory as one file: export and import."""

from __future__ import annotations

from phronesis.memory.opened import OpenMemory


class Archived(OpenMemory):
    """Goes out and comes in."""
