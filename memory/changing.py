"""Changes that people make: update, forget, erase, and proposals that wait for them."""

from __future__ import annotations

from phronesis.memory.opened import OpenMemory


class Changing(OpenMemory):
    """Changes what is remembered."""
