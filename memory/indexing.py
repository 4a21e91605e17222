"""Keeps the Chroma index in step with the ledger: health check, catching up, rebuilding; also in the background."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

from phronesis.core.errors import IndexDamaged, PhronesisError
from phronesis.index import chroma
from phronesis.index.chroma import CollectionIndex
from phronesis.index.fingerprint import Fingerprint
from phronesis.memory.ledger import Ledger
from phronesis.memory.places import HELD, FolderPlace, ServerPlace
from phronesis.memory.reading import sample_seqs, vector_count, vectors_after, vectors_by_seq

BATCH = 500
"""Vectors between two moves of the watermark; about 0.1 s of work."""
SAMPLE = 16
"""Ledger vectors that must find themselves when the index is opened."""

FIRST_WAIT, LONGEST_WAIT = 1.0, 60.0
"""Seconds until the background tries again after a failure: the first doubles up to the second. A held lease is asked for
after the first each time, so that the index goes on soon after its holder is gone."""
READY = "ready"

_log = logging.getLogger(__name__)


class IndexKeeper:
    """The index of one open memory. Without chromadb or without the lease it keeps nothing and says why in ``state``."""

    def __init__(self, ledger: Ledger, *, chroma_url: str | None = None) -> None:
        """``chroma_url``: the server that keeps it; None = the memory's folder."""
        self.state = "not opened"
        """``not opened``, ``catching up``, ``ready``, or why there is no index here."""
        self._ledger = ledger
        self._place = FolderPlace(ledger) if chroma_url is None else ServerPlace(ledger, chroma_url)
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._index: CollectionIndex | None = None
        self._indexed: int | None = None
        """Row id of the fingerprint whose vectors the open index holds."""
        self._distrusted = False
        self._barred = False
        self._rebuild = False
        self._wait = 0.0
        self._next = 0.0

    def ready(self, fingerprint_id: int | None = None) -> CollectionIndex | None:
        """The index once it was found healthy and has caught up, and holds this fingerprint's vectors; never waits."""
        fits = fingerprint_id is None or fingerprint_id == self._indexed
        return self._index if fits and self.state == READY else None

    def exists(self) -> bool:
        """Whether there may be an index on disk or on the server, of whatever state."""
        return self._place.exists()

    def distrust(self, error: IndexDamaged) -> None:
        """Takes the index out of use after a failure; the next catch-up opens it anew, and rebuilds one that is sick."""
        _log.warning("the vector index is not used: %s", error.message)
        unreachable = bool(error.details.get("unreachable"))
        self.state = f"{'unreachable' if unreachable else 'damaged'}: {error.message}"
        self._distrusted = True
        self._rebuild = not unreachable and self._index is not None

    def catch_up(self, fingerprint_id: int, fingerprint: Fingerprint) -> None:
        """Opens the index if that has not happened, rebuilds it when it is sick, and indexes what it lacks.

        Takes a second for Chroma's import and about 0.3 s per 1,000 vectors. Ends early when the memory is closed."""
        with self._lock:
            if self._stop.is_set() or not self._may():
                return
            try:
                if self._index is None or self._distrusted or self._indexed != fingerprint_id:
                    # After a failure the state says why until the index is open again.
                    self.state = self.state if self._distrusted else "catching up"
                    self._index = self._sound_index(fingerprint_id, fingerprint)
                    self._indexed = fingerprint_id
                    self._distrusted = self._rebuild = False
                    self.state = "catching up"
                self._index.refresh()
                self._index_the_rest(self._index, fingerprint_id, fingerprint)
            except IndexDamaged as error:
                self.distrust(error)
                raise

    def catch_up_soon(self, fingerprint_id: int, fingerprint: Fingerprint) -> None:
        """The same in a thread of its own, unless one is at it or a failure is recent; failures are logged and search stays
        exact."""
        busy = self._thread is not None and self._thread.is_alive()
        if busy or self._stop.is_set() or time.monotonic() < self._next:
            return

        def work() -> None:
            try:
                self.catch_up(fingerprint_id, fingerprint)
            except PhronesisError as error:
                _log.warning("the vector index is not brought up to date: %s", error.message)
            if self.state in (READY, HELD):
                self._wait = 0.0
            self._wait = min(LONGEST_WAIT, max(FIRST_WAIT, 2 * self._wait))
            self._next = 0.0 if self.state == READY else time.monotonic() + self._wait

        self._thread = threading.Thread(target=work, name="phronesis-index", daemon=True)
        self._thread.start()

    def examine(self, fingerprint_id: int, fingerprint: Fingerprint) -> tuple[str, list[str]]:
        """What was seen of the index (``sound``, ``damaged``, ``none yet`` or ``not looked at: ...``), and what is wrong.

        It is not opened while another process holds it, and one that would be rebuilt anyway is not touched. Loads Chroma."""
        with self._lock:
            held = self._index
            if held is not None and not self._distrusted and self._indexed == fingerprint_id:
                return _judged(lambda: self._examine(held, fingerprint_id, fingerprint))
            if not self._place.exists():
                return "none yet", []
            if not self._may():
                return f"not looked at: {self.state}", []
            broken = self._place.broken()
            if broken is not None:
                return "damaged", [broken]
            try:
                index = self._place.open(fingerprint)
            except IndexDamaged as error:
                return "damaged", [error.message]
            found = _judged(lambda: self._examine(index, fingerprint_id, fingerprint))
            _close_quietly(index, sealed=True)
            return found

    def _index_the_rest(self, index: CollectionIndex, fingerprint_id: int, fingerprint: Fingerprint) -> None:
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

    def bar(self) -> None:
        """No index is made in this memory's folder until it is opened again: HNSW files have room for vectors to come, and
        what stands there is whatever this process had in memory (measured: an erased vector, in one of six)."""
        self._barred = isinstance(self._place, FolderPlace)

    def discard(self) -> str | None:
        """Deletes the index with all its generations, because it holds what was erased; why it could not, or None.

        It is made anew from the ledger when the memory is opened again (``bar``)."""
        self.bar()
        return self.drop()

    def drop(self) -> str | None:
        """Deletes the index, to be made anew by the next catch-up; why it could not, or None."""
        with self._lock:
            if self._index is not None:
                _close_quietly(self._index, sealed=False)
                self._index = None
            self.state, self._distrusted, self._rebuild = "not opened", False, False
            return self._place.discard()

    def close(self) -> None:
        """Ends the background work after its batch, closes Chroma and gives the lease back."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()
        with self._lock:
            if self._index is not None:
                _close_quietly(self._index, sealed=not self._distrusted)
                self._index = None
            self._place.release()

    def _may(self) -> bool:
        """Whether this process may open the index now; the state says why not."""
        if self._ledger.read_only:
            why: str | None = "the memory is only read"
        elif self._barred:
            why = "concepts were erased: the index is made when the memory is opened again"
        else:
            why = "chromadb is not installed" if not chroma.installed() else self._place.take()
        if why is not None:
            self.state = why
        elif self.state == HELD:
            self.state = "not opened"
        return why is None

    def _sound_index(self, fingerprint_id: int, fingerprint: Fingerprint) -> CollectionIndex:
        """A healthy index: the one that is there, or an empty new one."""
        if self._index is not None:
            _close_quietly(self._index, sealed=not self._distrusted)
            self._index = None
        found = None if self._rebuild else self._checked(fingerprint_id, fingerprint)
        return self._place.create(fingerprint) if found is None else found

    def _checked(self, fingerprint_id: int, fingerprint: Fingerprint) -> CollectionIndex | None:
        """The index that is there, or None for one that has to be rebuilt. Raises IndexDamaged when nothing answers."""
        index = None
        try:
            index = self._place.open(fingerprint)
            self._examine(index, fingerprint_id, fingerprint)
        except IndexDamaged as error:
            if index is not None:
                _close_quietly(index, sealed=False)
            if error.details.get("unreachable"):
                raise
            _log.info("rebuilding the vector index: %s", error.message)
            return None
        return index

    def _examine(self, index: CollectionIndex, fingerprint_id: int, fingerprint: Fingerprint) -> None:
        """Raises IndexDamaged unless the index holds what its watermark says and finds a sample of it."""
        mark = index.watermark
        with self._ledger.reading() as connection:
            expected = vector_count(connection, fingerprint_id, up_to=mark)
            seqs = sample_seqs(connection, fingerprint_id, up_to=mark, count=SAMPLE)
            rows = vectors_by_seq(connection, seqs, fingerprint.dimension)
        if mark and mark not in seqs:
            raise IndexDamaged(f"the index reaches to vector {mark}, which the ledger does not have")
        index.check(expected=expected, seqs=rows.seq.tolist(), vectors=rows.vectors)


def _judged(check: Callable[[], None]) -> tuple[str, list[str]]:
    try:
        check()
    except IndexDamaged as error:
        return "damaged", [error.message]
    return "sound", []


def _close_quietly(index: CollectionIndex, *, sealed: bool) -> None:
    try:
        if sealed:
            index.close()
        else:
            index.abandon()
    except (IndexDamaged, OSError) as error:
        _log.warning("closing the vector index: %s", error)
