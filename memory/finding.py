"""Finds a memory's nearest concepts: vectors of the ledger exactly, through the Chroma index where it is ready.

Both ways give the same scores, since the ledger's vectors score every candidate. The exact way is the reference and the
default: 100,000 vectors of 384 take milliseconds once they are in memory. The index is opened, in the background, by a
process that searches a large memory repeatedly; it then saves that process the vectors' memory. HNSW may miss a neighbour
that exact search finds (recall@10 of at least 0.99 is what we ask of it).
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

from phronesis.core.concept import Concept
from phronesis.core.errors import ConceptStoreError, IndexDamaged
from phronesis.core.ports import Embedder, Vectors
from phronesis.index.chroma import CollectionIndex
from phronesis.index.embedders import embed
from phronesis.index.exact import Rows, Scored, VectorTable, cosines, merge, rank
from phronesis.index.fingerprint import Fingerprint
from phronesis.memory.indexing import IndexKeeper
from phronesis.memory.ledger import Ledger
from phronesis.memory.reading import (
    bodies_without_vectors,
    current_version,
    endings,
    erasures,
    fingerprint,
    fingerprint_id,
    vectors_after,
    vectors_by_seq,
    vectors_of,
)
from phronesis.memory.transaction import Transaction

EXACT_BELOW = 2_000
"""Vectors under which no index is opened unless asked for: exact search needs well under a millisecond for them."""
TAIL = 1_000
"""Vectors past the watermark from which on the index catches up."""
OVERFETCH = 4
"""Candidates the index is asked for per wanted concept."""
FILL_BATCH = 64
"""Concepts embedded per transaction when vectors are filled in later."""


class VectorSearch:
    """The vectors of one open memory and its embedder."""

    def __init__(self, ledger: Ledger, embedder: Embedder, keeper: IndexKeeper) -> None:
        """Raises EmbedderMismatch when the ledger's vectors are another embedder's; loads the model only in doubt."""
        self._ledger = ledger
        self._embedder = embedder
        self._keeper = keeper
        self._own: Fingerprint | None = None
        self._agreed: tuple[int, Fingerprint] | None = None
        self._full: VectorTable | None = None
        self._tail: VectorTable | None = None
        self._seen = 0
        self._filled = 0
        self._searches = 0
        with ledger.reading() as connection:
            theirs = fingerprint(connection)
        if theirs is not None and not theirs[1].named_by(embedder.id):
            self._agree(theirs)

    def views(self, concepts: Sequence[Concept]) -> list[Vectors]:
        """Vectors of each concept's views. Slow (a model works): call it outside transactions."""
        self._probe()
        texts = [view for concept in concepts for view in concept.views]
        rows = embed(self._embedder, texts)
        found, start = [], 0
        for concept in concepts:
            found.append(rows[start : start + len(concept.views)])
            start += len(concept.views)
        return found

    def query(self, text: str) -> Vectors:
        self._probe()
        row: Vectors = embed(self._embedder, [text], queries=True)[0]
        return row

    def adopt(self, transaction: Transaction) -> int:
        """Row id of our fingerprint, the memory's from now on if it had none; raises EmbedderMismatch otherwise."""
        agreed = self._shared(transaction.connection)
        if agreed is not None:
            return agreed[0]
        own = self._probe()
        cursor = transaction.connection.execute(
            "INSERT INTO fingerprints (key, body, time) VALUES (?, ?, ?)",
            (own.key, own.model_dump_json(), transaction.now),
        )
        made = int(cursor.lastrowid or 0)
        transaction.connection.execute("INSERT INTO meta VALUES ('fingerprint', ?)", (str(made),))
        # Not remembered as agreed: the transaction may still be undone.
        return made

    def fill(self) -> None:
        """Embeds what was written without an embedder; a memory that lacks nothing costs one statement."""
        while not self._ledger.read_only:
            with self._ledger.reading() as connection:
                now = current_version(connection)
                known = fingerprint_id(connection)
                missing = (
                    bodies_without_vectors(connection, known or 0, after=self._filled, limit=FILL_BATCH)
                    if now > self._filled
                    else []
                )
            if not missing:
                self._filled = max(self._filled, now)
                return
            vectors = self.views([body.concept for body in missing])
            with self._ledger.writing() as transaction:
                ours = self.adopt(transaction)
                for body, rows in zip(missing, vectors, strict=True):
                    transaction.insert_vectors(ours, body.number, body.version, rows)

    def nearest(self, query: Vectors, k: int, *, at: int, first_view: bool = False) -> list[Scored]:
        """The k concepts nearest to a query vector at a ledger version; ties by number. Takes the ledger's lock."""
        with self._ledger.reading() as connection:
            agreed = self._shared(connection)
            if agreed is None:
                return []
            self._searches += 1
            index = self._keeper.ready(agreed[0]) if at == current_version(connection) else None
            if index is not None:
                try:
                    found = self._through(index, agreed, query, k, at=at, first_view=first_view)
                except IndexDamaged as error:
                    self._keeper.distrust(error)
                else:
                    if len(found) == k:
                        return found
            table = self._full_table(agreed)
            # A process that searches once is faster without Chroma, whose import takes a second.
            if len(table) >= EXACT_BELOW and self._searches > 1 and index is None:
                self._keeper.catch_up_soon(*agreed)
            return table.nearest(query, k, at=at, first_view=first_view)

    def nearest_of(self, query: Vectors, numbers: Sequence[int], *, at: int) -> list[Scored]:
        """These concepts by the cosine of their first view, best first."""
        rows = self.views_of(numbers)
        return [] if rows is None else _rank(rows, query, len(numbers), at=at, first_view=True)

    def views_of(self, numbers: Sequence[int]) -> Rows | None:
        """Vectors of these concepts, all views and body versions; None before the memory's first vector."""
        with self._ledger.reading() as connection:
            agreed = self._shared(connection)
            return None if agreed is None else vectors_of(connection, agreed[0], numbers, agreed[1].dimension)

    def warm(self) -> None:
        """Reads what a following search needs, so that one inside a transaction is short."""
        with self._ledger.reading() as connection:
            agreed = self._shared(connection)
            if agreed is not None and self._keeper.ready(agreed[0]) is None:
                self._full_table(agreed)

    def forget(self) -> None:
        """Drops what was read, because a transaction it was read in is undone."""
        with self._ledger.lock:
            self._full = self._tail = self._agreed = None
            self._seen = self._filled = 0

    def reindex(self) -> None:
        """Brings the index up to date now, in this thread."""
        with self._ledger.reading() as connection:
            agreed = self._shared(connection)
        if agreed is not None:
            self._keeper.catch_up(*agreed)

    def _probe(self) -> Fingerprint:
        if self._own is None:
            try:
                self._own = Fingerprint.of(self._embedder)
            except ConceptStoreError:
                raise
            except Exception as error:
                # The boundary to model libraries, which raise anything.
                raise ConceptStoreError(
                    f"embedder {self._embedder.id!r} failed: {type(error).__name__}: {error}"
                ) from error
        return self._own

    def _shared(self, connection: sqlite3.Connection) -> tuple[int, Fingerprint] | None:
        """The memory's fingerprint, agreed upon; None before the first vector."""
        if self._agreed is not None and fingerprint_id(connection) == self._agreed[0]:
            return self._agreed
        theirs = fingerprint(connection)
        return None if theirs is None else self._agree(theirs)

    def _agree(self, theirs: tuple[int, Fingerprint]) -> tuple[int, Fingerprint]:
        if self._agreed is None or self._agreed[0] != theirs[0]:
            own = self._probe()
            if not own.matches(theirs[1]):
                name = self._ledger.path.parent.name
                change = f"phronesis memory reembed --session {name}"
                raise theirs[1].refuse(own.short, where=f"memory {name!r}", change=change)
            self._agreed = theirs
            self._full = self._tail = None
        return self._agreed

    def _through(
        self,
        index: CollectionIndex,
        agreed: tuple[int, Fingerprint],
        query: Vectors,
        k: int,
        *,
        at: int,
        first_view: bool,
    ) -> list[Scored]:
        """Candidates of the index and everything past its watermark, scored exactly; fewer than k when it cannot tell."""
        if self._tail is None:
            # From now on only searches of older versions need everything in memory.
            self._full = None
        with self._ledger.reading() as connection:
            mark = index.watermark
            # Moved along once half of a long tail is indexed, not at each step of the watermark.
            if self._tail is None or (len(self._tail) >= TAIL and mark - self._tail.base >= len(self._tail) // 2):
                self._tail = VectorTable(agreed[1].dimension, base=mark)
            self._refresh(self._tail, agreed)
            if self._tail.last >= mark + TAIL:
                self._keeper.catch_up_soon(*agreed)
            rows = vectors_by_seq(connection, index.candidates(query, OVERFETCH * k), agreed[1].dimension)
        proposed = _rank(rows, query, k, at=at, first_view=first_view)
        if len(proposed) == k and len(rows.seq) and float(cosines(rows.vectors, query).min()) >= proposed[-1].score:
            return []  # the k-th place ties with the last candidate: who else ties, only the exact way knows
        return merge([*proposed, *self._tail.nearest(query, k, at=at, first_view=first_view)], k)

    def _full_table(self, agreed: tuple[int, Fingerprint]) -> VectorTable:
        if self._full is None:
            self._full = VectorTable(agreed[1].dimension)
        self._refresh(self._full, agreed)
        return self._full

    def _refresh(self, table: VectorTable, agreed: tuple[int, Fingerprint]) -> None:
        """Reads what came since; endings are applied after a version read first, and applying one twice is harmless."""
        # What is read from now on comes with the endings until now: with nothing held there is none to apply.
        holding = any(held for held in (self._full, self._tail) if held is not None)
        with self._ledger.reading() as connection:
            now = current_version(connection)
            while len((rows := vectors_after(connection, agreed[0], agreed[1].dimension, seq=table.last)).seq):
                table.append(rows)
            if now > self._seen:
                for number, until in endings(connection, after=self._seen) if holding else ():
                    for held in (self._full, self._tail):
                        if held is not None:
                            held.close(number, until)
                gone = erasures(connection, after=self._seen)
                if gone and self._seen:
                    self._keeper.bar()
                for number in gone:
                    for held in (self._full, self._tail):
                        if held is not None:
                            held.drop(number)
                self._seen = now


def _rank(rows: Rows, query: Vectors, k: int, *, at: int, first_view: bool) -> list[Scored]:
    valid = (rows.since <= at) & (rows.until > at)
    if first_view:
        valid &= rows.view == 0
    return rank(rows.owner[valid], rows.vectors[valid], query, k)
