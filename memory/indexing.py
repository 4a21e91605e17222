"""Keeps the Chroma index in step with the ledger: lease, health check, catching up, rebuilding; also in the background."""

from __future__ import annotations

import logging
import threading

from phronesis.core.errors import IndexDamaged, PhronesisError
from phronesis.index import chroma
from phronesis.index.chroma import ChromaIndex
from phronesis.index.fingerprint import Fingerprint
from phronesis.index.lease import Lease
from phronesis.memory.ledger import Ledger
from phronesis.memory.reading import sample_seqs, vector_count, vectors_after, vectors_by_seq

BATCH = 500
"""Vectors between two moves of the watermark; about 0.1 s of work."""
SAMPLE = 16
"""Ledger vectors that must find themselves when the index is opened."""

ATTEMPTS = 3
"""Vain attempts in the background after which a process leaves it at exact search."""
READY = "ready"

_log = logging.getLogger(__name__)


class IndexKeeper:
    """The index of one open memory. Without chromadb or without the lease it keeps nothing and says why in ``state``."""

    def __init__(self, ledger: Ledger) -> None:
        self.state = "not opened"
        """``not opened``, ``catching up``, ``ready``, or why there is no index here."""
        self._ledger = ledger
        self._folder = ledger.path.parent / "index"
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._lease: Lease | None = None
        self._index: ChromaIndex | None = None
        self._distrusted = False
        self._vain = 0

    def ready(self) -> ChromaIndex | None:
        """The index once it was found healthy and has caught up; never waits."""
        return self._index if self.state == READY else None

    def distrust(self, reason: str) -> None:
        """Takes the index out of use after a failure; the next catch-up rebuilds it."""
        _log.warning("the vector index is not used: %s", reason)
        self.state = f"damaged: {reason}"
        self._distrusted = True

    def catch_up(self, fingerprint_id: int, fingerprint: Fingerprint) -> None:
        """Opens the index if that has not happened, rebuilds it when it is sick, and indexes what it lacks.

        Takes a second for Chroma's import and about 0.3 s per 1,000 vectors. Ends early when the memory is closed."""
        with self._lock:
            if self._stop.is_set() or not self._holds_lease():
                return
            if self.state != READY:
                self.state = "catching up"
            try:
                if self._index is None or self._distrusted:
                    self._index = self._sound_index(fingerprint_id, fingerprint)
                    self._distrusted = False
                self._index_the_rest(self._index, fingerprint_id, fingerprint)
            except IndexDamaged as error:
                self.distrust(error.message)
                raise

    def catch_up_soon(self, fingerprint_id: int, fingerprint: Fingerprint) -> None:
        """The same in a thread of its own, unless one is at it; failures are logged and search stays exact."""
        busy = self._thread is not None and self._thread.is_alive()
        if busy or self._stop.is_set() or self._vain >= ATTEMPTS:
            return

        def work() -> None:
            try:
                self.catch_up(fingerprint_id, fingerprint)
            except PhronesisError as error:
                _log.warning("the vector index is not brought up to date: %s", error.message)
            self._vain = 0 if self.state == READY else self._vain + 1

        self._thread = threading.Thread(target=work, name="phronesis-index", daemon=True)
        self._thread.start()

    def _index_the_rest(self, index: ChromaIndex, fingerprint_id: int, fingerprint: Fingerprint) -> None:
        while not self._stop.is_set():
            with self._ledger.reading() as connection:
                rows = vectors_after(
                    connection, fingerprint_id, fingerprint.dimension, seq=index.watermark, limit=BATCH
                )
            if not len(rows.seq):
                if not self._distrusted:
                    self.state = READY
                return
            index.upsert(rows.seq.tolist(), rows.vectors)

    def close(self) -> None:
        """Ends the background work after its batch, closes Chroma and gives the lease back."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()
        with self._lock:
            if self._index is not None:
                _close_quietly(self._index, sealed=not self._distrusted)
                self._index = None
            if self._lease is not None:
                self._lease.release()
                self._lease = None

    def _holds_lease(self) -> bool:
        if self._lease is None:
            if not chroma.installed():
                self.state = "chromadb is not installed"
                return False
            self.state = "another process holds the index"
            try:
                self._lease = Lease.take(self._folder.with_suffix(".lock"))
            except OSError as error:
                self.state = f"no index lease: {error}"
        return self._lease is not None

    def _sound_index(self, fingerprint_id: int, fingerprint: Fingerprint) -> ChromaIndex:
        """A healthy index: the one on disk, or an empty new one."""
        if self._index is not None:
            _close_quietly(self._index, sealed=False)
            self._index = None
        elif (found := self._checked(fingerprint_id, fingerprint)) is not None:
            return found
        return ChromaIndex.create(self._folder, fingerprint)

    def _checked(self, fingerprint_id: int, fingerprint: Fingerprint) -> ChromaIndex | None:
        try:
            index = ChromaIndex.open(self._folder, fingerprint)
        except IndexDamaged as error:
            _log.info("rebuilding the vector index: %s", error.message)
            return None
        mark = index.watermark
        with self._ledger.reading() as connection:
            expected = vector_count(connection, fingerprint_id, up_to=mark)
            seqs = sample_seqs(connection, fingerprint_id, up_to=mark, count=SAMPLE)
            rows = vectors_by_seq(connection, seqs, fingerprint.dimension)
        try:
            if mark and mark not in seqs:
                raise IndexDamaged(f"the index reaches to vector {mark}, which the ledger does not have")
            index.check(expected=expected, seqs=rows.seq.tolist(), vectors=rows.vectors)
        except IndexDamaged as error:
            _log.info("rebuilding the vector index: %s", error.message)
            _close_quietly(index, sealed=False)
            return None
        return index


def _close_quietly(index: ChromaIndex, *, sealed: bool) -> None:
    try:
        if sealed:
            index.close()
        else:
            index.abandon()
    except (IndexDamaged, OSError) as error:
        _log.warning("closing the vector index: %s", error)
