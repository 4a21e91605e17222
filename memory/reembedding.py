"""Another embedder for a memory: its vectors are made beside the old ones and take their place in one transaction.

Until the switch every reader uses the old vectors. New ones are committed batch by batch, so a killed attempt is gone on
with. What others add meanwhile comes with old vectors and is embedded too; the switch looks once more under the write lock.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable

from phronesis.core.concept import Concept
from phronesis.core.errors import ConceptStoreError, ConfigurationError, IndexDamaged
from phronesis.core.ports import Embedder
from phronesis.core.settings import Settings
from phronesis.index.embedders import embed
from phronesis.index.fingerprint import Fingerprint
from phronesis.memory.findings import ReembedReport
from phronesis.memory.indexing import IndexKeeper
from phronesis.memory.ledger import FILE_NAME, Clock, Ledger, check_not_lost, namespace_folder, utc_now
from phronesis.memory.reading import Body, bodies_without_vectors, current_version, fingerprint
from phronesis.memory.transaction import Transaction

BATCH = 64
"""Texts embedded per transaction."""
_DELETED = 2_000
"""Old vectors deleted per transaction, so that writers need not wait long."""

Told = Callable[[int, int], None]
"""Hears how many texts have new vectors, and of how many."""


def reembed(
    settings: Settings,
    name: str,
    embedder: Embedder,
    *,
    batch: int = BATCH,
    progress: Told | None = None,
    keep_old: bool = False,
    clock: Clock = utc_now,
) -> ReembedReport:
    """``Memory.reembed`` by name, whatever embedder the memory has. Raises ConceptStoreError when there is no such memory."""
    folder = namespace_folder(settings.memory, name)
    check_not_lost(folder / FILE_NAME)
    if not (folder / FILE_NAME).is_file():
        raise ConceptStoreError(f"there is no memory {name!r} in {str(settings.memory)!r}", mend="check the name")
    ledger = Ledger.open(folder, clock=clock)
    keeper = IndexKeeper(ledger, chroma_url=settings.chroma_url)
    try:
        return reembed_ledger(name, ledger, keeper, embedder, batch=batch, progress=progress, keep_old=keep_old)
    finally:
        keeper.close()
        ledger.close()


def reembed_ledger(
    name: str,
    ledger: Ledger,
    keeper: IndexKeeper,
    embedder: Embedder,
    *,
    batch: int,
    progress: Told | None,
    keep_old: bool,
) -> ReembedReport:
    """The same of an open ledger. Raises ConfigurationError for a batch below 1, ConceptStoreError when the embedder fails;
    then the old vectors still hold."""
    if batch < 1:
        raise ConfigurationError(f"batch = {batch} is below 1", mend="texts per transaction, for example 64")
    own = _probe(embedder)
    with ledger.reading() as connection:
        before = fingerprint(connection)
    with ledger.writing() as transaction:
        new, ours = _row_of(transaction, own)
    embedded = 0
    switched = before is None or before[0] != new
    while True:
        embedded += _embed_missing(ledger, embedder, new, batch=batch, progress=progress)
        if _switched(ledger, new, None if before is None else before[1], ours):
            break
    deleted = 0 if keep_old else _delete_others(ledger, new)
    index = _index_anew(keeper, new, ours) if switched else keeper.state
    with ledger.reading() as connection:
        version = current_version(connection)
    return ReembedReport(
        session=name,
        before=None if before is None else before[1].short,
        after=ours.short,
        switched=switched,
        embedded=embedded,
        deleted=deleted,
        version=version,
        index=index,
    )


def _probe(embedder: Embedder) -> Fingerprint:
    # What fails here is named as a failure of the embedder.
    embed(embedder, ["probe"])
    return Fingerprint.of(embedder)


def _row_of(transaction: Transaction, own: Fingerprint) -> tuple[int, Fingerprint]:
    """The fingerprint's row, an earlier attempt's if there is one."""
    run = transaction.connection.execute
    for number, body in run("SELECT id, body FROM fingerprints ORDER BY id DESC").fetchall():
        theirs = Fingerprint.model_validate_json(body)
        if own.matches(theirs):
            return int(number), theirs
    made = run(
        "INSERT INTO fingerprints (key, body, time) VALUES (?, ?, ?)", (own.key, own.model_dump_json(), transaction.now)
    ).lastrowid
    return int(made or 0), own


def _embed_missing(ledger: Ledger, embedder: Embedder, new: int, *, batch: int, progress: Told | None) -> int:
    """Texts that got vectors; each batch is durable. The model works outside the lock."""
    count = after = 0
    with ledger.reading() as connection:
        total, done = _texts(connection), _texts(connection, new)
    while True:
        if progress is not None:
            progress(done + count, max(total, done + count))
        with ledger.reading() as connection:
            missing = bodies_without_vectors(connection, new, after=after, limit=batch)
            if missing:
                # Texts come in the order of their events, so nothing is missing before the last of them any more.
                after = _since(connection, missing[-1])
        if not missing:
            return count
        _embed_batch(ledger, embedder, new, missing)
        count += len(missing)


def _since(connection: sqlite3.Connection, body: Body) -> int:
    row = connection.execute(
        "SELECT since FROM concept_versions WHERE concept = ? AND version = ?", (body.number, body.version)
    )
    return int(row.fetchone()[0])


def _embed_batch(ledger: Ledger, embedder: Embedder, new: int, missing: list[Body]) -> None:
    concepts: list[Concept] = [body.concept for body in missing]
    rows = embed(embedder, [view for concept in concepts for view in concept.views])
    with ledger.writing() as transaction:
        start = 0
        for body in missing:
            end = start + len(body.concept.views)
            transaction.insert_vectors(new, body.number, body.version, rows[start:end])
            start = end


def _texts(connection: sqlite3.Connection, fingerprint_id: int | None = None) -> int:
    """Body versions, all or those with vectors of a fingerprint."""
    if fingerprint_id is None:
        row = connection.execute("SELECT COUNT(*) FROM concept_versions WHERE version = body_version")
    else:
        row = connection.execute("SELECT COUNT(*) FROM vectors WHERE fingerprint = ? AND view = 0", (fingerprint_id,))
    return int(row.fetchone()[0])


def _switched(ledger: Ledger, new: int, before: Fingerprint | None, after: Fingerprint) -> bool:
    """Makes the new fingerprint the memory's unless a text came in without its vectors meanwhile; whether it did."""
    with ledger.writing() as transaction:
        run = transaction.connection.execute
        if bodies_without_vectors(transaction.connection, new, after=0, limit=1):
            return False
        row = run("SELECT value FROM meta WHERE key = 'fingerprint'").fetchone()
        if row is None or int(row[0]) != new:
            run("INSERT OR REPLACE INTO meta VALUES ('fingerprint', ?)", (str(new),))
            payload = {"before": None if before is None else before.short, "after": after.short}
            transaction.append_event("reembedded", concept=None, operation="", payload=payload)
        return True


def _delete_others(ledger: Ledger, new: int) -> int:
    """Vectors of other fingerprints deleted, and the fingerprints."""
    deleted = 0
    while True:
        with ledger.writing() as transaction:
            run = transaction.connection.execute
            count = run(
                "DELETE FROM vectors WHERE seq IN (SELECT seq FROM vectors WHERE fingerprint <> ? LIMIT ?)",
                (new, _DELETED),
            ).rowcount
            deleted += count
            if not count:
                run("DELETE FROM fingerprints WHERE id <> ?", (new,))
                return deleted


def _index_anew(keeper: IndexKeeper, new: int, ours: Fingerprint) -> str:
    """Puts an index of the new vectors in the place of one of the old; its state. What cannot be done now is done later."""
    try:
        there = keeper.exists()
        why = keeper.drop()
        if there and why is None:
            keeper.catch_up(new, ours)
        return why or keeper.state
    except IndexDamaged as error:
        return error.message
