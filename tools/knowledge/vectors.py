"""The vectors of a knowledge base: made batch by batch, all by one embedder, a stranger's refused."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from pydantic import ValidationError

from phronesis.core.errors import ConceptStoreError, PhronesisError, RetrievalError
from phronesis.core.ports import Embedder, Vectors
from phronesis.index.embedders import embed
from phronesis.index.fingerprint import Fingerprint
from phronesis.index.lease import Lease
from phronesis.tools.knowledge.store import Store, changed, meta, set_meta

BATCH = 256
"""Chunks embedded per transaction."""
_LEASE = "vectors.lock"
_POLL = 0.2

Told = Callable[[int, int], None]
"""Hears how many chunks have vectors, and of how many."""


def view(title: str, text: str) -> str:
    """What is embedded and what words are searched in: a passage under its title."""
    return f"{title}\n{text}" if title else text


def active(connection: sqlite3.Connection) -> tuple[int, Fingerprint] | None:
    """Number and fingerprint of the vectors that searches use; None before the first vector."""
    number = meta(connection, "fingerprint")
    if number is None:
        return None
    row = connection.execute("SELECT body FROM fingerprints WHERE number = ?", (int(number),)).fetchone()
    try:
        return int(number), Fingerprint.model_validate_json(row[0])
    except (TypeError, ValidationError):
        raise RetrievalError("the fingerprint of the vectors is damaged", mend="phronesis kb reembed NAME") from None


def lacking(connection: sqlite3.Connection, number: int) -> int:
    """Chunks without a vector of that fingerprint."""
    row = connection.execute(
        "SELECT COUNT(*) FROM chunks WHERE NOT EXISTS "
        "(SELECT 1 FROM vectors WHERE fingerprint = ? AND chunk = chunks.number)",
        (number,),
    ).fetchone()
    return int(row[0])


def agree(store: Store, embedder: Embedder) -> tuple[int, Fingerprint] | None:
    """The fingerprint of the vectors there, if the embedder is the one they were made with; None = there are none yet.

    Loads the model only where its name leaves a doubt. Raises EmbedderMismatch."""
    with store.reading() as connection:
        theirs = active(connection)
    if theirs is not None and not theirs[1].named_by(embedder.id):
        own = probe(embedder)
        if not own.matches(theirs[1]):
            name = store.path.parent.name
            raise theirs[1].refuse(own.short, where=f"knowledge base {name!r}", change=f"phronesis kb reembed {name}")
    return theirs


def probe(embedder: Embedder) -> Fingerprint:
    """Raises ConceptStoreError when the embedder fails."""
    try:
        return Fingerprint.of(embedder)
    except PhronesisError:
        raise
    except Exception as error:
        # The boundary to model libraries, which raise anything.
        raise ConceptStoreError(f"embedder {embedder.id!r} failed: {type(error).__name__}: {error}") from error


def fill(store: Store, embedder: Embedder, *, told: Told | None = None) -> int:
    """Gives every chunk a vector; how many got one. What a killed call made stays; two processes share the work by waiting.

    Raises EmbedderMismatch when there are vectors of another embedder."""
    with _alone(store):
        theirs = agree(store, embedder)
        with store.reading() as connection:
            missing = lacking(connection, theirs[0] if theirs else 0)
        if not missing:
            return 0
        number = theirs[0] if theirs else _new_fingerprint(store, embedder)
        made = _embed_missing(store, embedder, number, told)
        if theirs is None:
            _switch(store, number)
        return made


def reembed(store: Store, embedder: Embedder, *, told: Told | None = None) -> int:
    """New vectors of all chunks by this embedder; the old ones serve until all are there. How many were made.

    A killed call is gone on with. With the embedder that made them it only fills gaps."""
    with _alone(store):
        with store.reading() as connection:
            theirs = active(connection)
        own = probe(embedder)
        number = theirs[0] if theirs and own.matches(theirs[1]) else _new_fingerprint(store, embedder)
        made = _embed_missing(store, embedder, number, told)
        _switch(store, number)
        return made


@contextmanager
def _alone(store: Store) -> Iterator[None]:
    """Waits for the process that embeds now; the kernel ends its turn when it dies."""
    while (lease := Lease.take(store.path.with_name(_LEASE))) is None:
        time.sleep(_POLL)
    try:
        yield
    finally:
        lease.release()


def _new_fingerprint(store: Store, embedder: Embedder) -> int:
    """Number of the embedder's fingerprint, one of a killed attempt if there is one."""
    own = probe(embedder)
    with store.writing() as connection:
        for number, body in connection.execute("SELECT number, body FROM fingerprints").fetchall():
            if own.matches(Fingerprint.model_validate_json(body)):
                return int(number)
        cursor = connection.execute(
            "INSERT INTO fingerprints (key, body) VALUES (?, ?)", (own.key, own.model_dump_json())
        )
        return int(cursor.lastrowid or 0)


def _embed_missing(store: Store, embedder: Embedder, number: int, told: Told | None) -> int:
    made, last = 0, 0
    with store.reading() as connection:
        total = lacking(connection, number)
    while True:
        with store.reading() as connection:
            # Numbers rise, so what others add meanwhile stands behind the last one.
            rows = connection.execute(
                "SELECT number, title, text FROM chunks WHERE number > ? AND NOT EXISTS "
                "(SELECT 1 FROM vectors WHERE fingerprint = ? AND chunk = chunks.number) ORDER BY number LIMIT ?",
                (last, number, BATCH),
            ).fetchall()
        if not rows:
            return made
        vectors = embed(embedder, [view(str(title), str(text)) for _, title, text in rows])
        with store.writing() as connection:
            connection.executemany(
                "INSERT OR IGNORE INTO vectors SELECT ?, number, ? FROM chunks WHERE number = ?",
                [(number, vector.tobytes(), row[0]) for row, vector in zip(rows, vectors, strict=True)],
            )
            changed(connection)
        made, last = made + len(rows), int(rows[-1][0])
        if told is not None:
            told(made, max(made, total))


def _switch(store: Store, number: int) -> None:
    with store.writing() as connection:
        set_meta(connection, "fingerprint", str(number))
        connection.execute("DELETE FROM vectors WHERE fingerprint != ?", (number,))
        connection.execute("DELETE FROM fingerprints WHERE number != ?", (number,))
        changed(connection)


def read_vectors(
    connection: sqlite3.Connection, fingerprint: tuple[int, Fingerprint], path: Path
) -> dict[int, Vectors]:
    """Vector of each chunk by its number. Raises RetrievalError for one that is damaged."""
    number, body = fingerprint
    found: dict[int, Vectors] = {}
    for chunk, blob in connection.execute("SELECT chunk, vector FROM vectors WHERE fingerprint = ?", (number,)):
        if len(blob) != 4 * body.dimension:
            raise RetrievalError(
                f"the vector of chunk {chunk} in {str(path)!r} is damaged",
                mend=f"phronesis kb reembed {path.parent.name}",
            )
        found[int(chunk)] = np.frombuffer(blob, dtype=np.float32)
    return found
