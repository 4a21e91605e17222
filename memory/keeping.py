"""The upkeep of a memory: its figures, its soundness, its vectors and their index."""

from __future__ import annotations

from phronesis.core.ports import Embedder
from phronesis.memory.finding import VectorSearch
from phronesis.memory.findings import ReembedReport, RepairReport, VerifyReport
from phronesis.memory.opened import OpenMemory
from phronesis.memory.reembedding import BATCH, Told, reembed_ledger
from phronesis.memory.stats import MemoryStats, statistics
from phronesis.memory.upkeep import repair_open, verify_open


class Keeping(OpenMemory):
    """Counts, looks through, mends, indexes."""

    def stats(self) -> MemoryStats:
        """Counts of now; loads neither a model nor Chroma."""
        return statistics(self.name, self._ledger, self._keeper)

    def verify(self) -> VerifyReport:
        """What does not fit together: pages, versions, texts, events, vectors, operations, the index. Changes nothing.

        Reads every row: about a second per 10,000 concepts. A memory that cannot be opened: ``upkeep.verify_folder``."""
        return verify_open(self.name, self._ledger, self._keeper)

    def repair(self, *, salvage: bool = False) -> RepairReport:
        """Rebuilds what follows from the ledger: the word index, the list of concepts, vectors, the vector index.

        ``salvage`` saves the readable rows of a ledger with damaged pages into a new one and keeps the damaged file; this
        needs the memory for itself, in this process and others. Raises ConceptStoreError when it has not, or when nothing can
        be read. A memory that cannot be opened: ``upkeep.repair_folder``."""
        return repair_open(self.name, self._ledger, self._keeper, self._search, salvage=salvage)

    def reembed(
        self, embedder: Embedder, *, batch: int = BATCH, progress: Told | None = None, keep_old: bool = False
    ) -> ReembedReport:
        """Makes this the memory's embedder: new vectors beside the old ones, then one switch. Searches go on meanwhile.

        ``batch``: texts per transaction; ``progress`` hears (done, of). A second attempt goes on where a kill stopped the
        first. Other open memories refuse from their next search or write on (EmbedderMismatch), until they are opened with
        the new embedder; ``keep_old`` leaves the old vectors, for a quick way back. A memory of another embedder than the
        settings' cannot be opened: ``reembedding.reembed``."""
        report = reembed_ledger(
            self.name,
            self._ledger,
            self._keeper,
            embedder,
            batch=batch,
            progress=progress,
            keep_old=keep_old,
        )
        self.embedder = embedder
        self._search = VectorSearch(self._ledger, embedder, self._keeper)
        self._failure = None
        return report

    def reindex(self) -> str:
        """Fills in missing vectors and brings the Chroma index up to date now, rebuilding a sick one; the state it is in.

        Search does this by itself for large memories; after it, search uses the index at any size. Raises IndexDamaged when
        a Chroma server does not answer."""
        if self._search is not None:
            self._search.fill()
            self._search.reindex()
        return self._keeper.state
