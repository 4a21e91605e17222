"""The upkeep of a memory: its figures and its vector index."""

from __future__ import annotations

from phronesis.memory.opened import OpenMemory
from phronesis.memory.stats import MemoryStats, statistics


class Keeping(OpenMemory):
    """Counts, indexes."""

    def stats(self) -> MemoryStats:
        """Counts of now; loads neither a model nor Chroma."""
        return statistics(self.name, self._ledger, self._keeper)

    def reindex(self) -> str:
        """Fills in missing vectors and brings the Chroma index up to date now, rebuilding a sick one; the state it is in.

        Search does this by itself for large memories; after it, search uses the index at any size."""
        if self._search is not None:
            self._search.fill()
            self._search.reindex()
        return self._keeper.state
