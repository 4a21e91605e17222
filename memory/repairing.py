"""Rebuilds from a ledger's versions what follows from them. One transaction; a second repair finds nothing to do."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator

from pydantic import ValidationError

from phronesis.core.concept import Concept
from phronesis.memory.findings import some
from phronesis.memory.ledger import Ledger
from phronesis.memory.reading import concept_id
from phronesis.memory.revisions import is_erased
from phronesis.memory.transaction import Transaction
from phronesis.memory.verifying import (
    BARE,
    STRAYS,
    differing_concepts,
    pages,
    texts,
    unreadable_operations,
    versions_without_event,
    wrong_vectors,
)


def mend_ledger(ledger: Ledger) -> list[str]:
    """What was mended, in words. Raises ConceptStoreError where damaged pages stop it; then nothing was changed."""
    with ledger.writing() as transaction:
        return [line for step in STEPS for line in step(transaction)]


def _indexes(transaction: Transaction) -> Iterator[str]:
    if any(where == "indexes" for where, _ in pages(transaction.connection)):
        transaction.connection.execute("REINDEX")
        yield "SQLite's indexes were made anew"


def _hashes(transaction: Transaction) -> Iterator[str]:
    """A hash that neither its text nor its event knows follows from the text."""
    mended = []
    rows = transaction.connection.execute(
        "SELECT v.seq, v.concept, v.version, v.content_hash, v.body, e.payload FROM concept_versions v "
        "LEFT JOIN events e ON e.version = (SELECT b.since FROM concept_versions b WHERE b.concept = v.concept "
        "AND b.version = v.body_version)"
    ).fetchall()
    for seq, number, version, digest, body, payload in rows:
        try:
            found = Concept.model_validate_json(body).content_hash
            told = json.loads(payload or "{}").get("content_hash")
        except (ValidationError, ValueError, AttributeError):
            continue
        if found != digest and found == told and not is_erased(digest):
            transaction.connection.execute("UPDATE concept_versions SET content_hash = ? WHERE seq = ?", (found, seq))
            mended.append(f"{concept_id(number)} version {version}")
    if mended:
        yield f"{len(mended)} content hash(es) were taken from text and event: {some(mended)}"


def _concepts(transaction: Transaction) -> Iterator[str]:
    """What holds now, from the versions."""
    run = transaction.connection.execute
    bare = [row[0] for row in run(BARE)]
    if bare:
        run(f"DELETE FROM concepts WHERE number IN ({BARE})")
        yield f"{len(bare)} concept(s) of which nothing is left were taken off the list: {some(map(concept_id, bare))}"
    mended, rivals = [], []
    for number, version, status, digest, updated in differing_concepts(transaction.connection):
        created, operation = run(
            "SELECT v.time, e.operation FROM concept_versions v LEFT JOIN events e ON e.version = v.since "
            "WHERE v.concept = ? ORDER BY v.version LIMIT 1",
            (number,),
        ).fetchone()
        try:
            run(
                "INSERT INTO concepts (number, version, status, content_hash, created, updated, origin) "
                "VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (number) DO UPDATE SET version = excluded.version, "
                "status = excluded.status, content_hash = excluded.content_hash, updated = excluded.updated",
                (number, version, status, digest, created, updated, "user" if operation == "" else "run"),
            )
            mended.append(concept_id(number))
        except sqlite3.IntegrityError:
            rivals.append(concept_id(number))
    if mended:
        yield f"{len(mended)} concept(s) stand again as in their last version: {some(mended)}"
    if rivals:
        yield f"{len(rivals)} concept(s) say what another valid one says and were left as they stood: {some(rivals)}"


def _events(transaction: Transaction) -> Iterator[str]:
    """Events that are missing come back as ``recovered`` (of a version) or ``lost``; what they told besides is gone."""
    run = transaction.connection.execute
    recovered = []
    for number, version, since, status, time in versions_without_event(transaction.connection):
        taken = run("SELECT 1 FROM events WHERE version = ?", (since,)).fetchone()
        if taken is None:
            payload = json.dumps({"version": version, "status": status})
            run("INSERT INTO events VALUES (?, 'recovered', ?, '', ?, ?)", (since, number, time, payload))
            recovered.append(f"{concept_id(number)} version {version}")
    if recovered:
        yield f"{len(recovered)} event(s) were made anew from their versions: {some(recovered)}"
    last = run("SELECT COALESCE(MAX(version), 0) FROM events").fetchone()[0]
    held = {row[0] for row in run("SELECT version FROM events")}
    gaps = [number for number in range(1, last + 1) if number not in held]
    for number in gaps:
        run("INSERT INTO events VALUES (?, 'lost', NULL, '', ?, '{}')", (number, transaction.now))
    if gaps:
        yield f"{len(gaps)} change(s) are noted as lost: version {some(gaps)}"


def _texts(transaction: Transaction) -> Iterator[str]:
    """The word index, wholly, when any of it is wrong."""
    run = transaction.connection.execute
    try:
        if not list(texts(transaction.connection)) and not any(
            "texts" in what for _, what in pages(transaction.connection)
        ):
            return
    except sqlite3.DatabaseError:
        pass
    (made,) = run("SELECT sql FROM sqlite_master WHERE name = 'texts'").fetchone()
    run("DROP TABLE texts")
    run(made)
    count = 0
    for seq, body in run("SELECT seq, body FROM concept_versions WHERE version = body_version ORDER BY seq").fetchall():
        try:
            transaction.index_text(seq, Concept.model_validate_json(body))
            count += 1
        except ValidationError:
            continue
    yield f"the word index was made anew of {count} text(s)"


def _references(transaction: Transaction) -> Iterator[str]:
    for table, condition in STRAYS.items():
        count = transaction.connection.execute(f"DELETE FROM {table} WHERE {condition}").rowcount
        if count:
            yield f"{count} row(s) of {table} that spoke of nothing were deleted"


def _vectors(transaction: Transaction) -> Iterator[str]:
    """Damaged ones go; the embedder makes them again."""
    wrong = wrong_vectors(transaction.connection)
    transaction.connection.executemany("DELETE FROM vectors WHERE concept = ? AND version = ?", wrong)
    if wrong:
        yield f"damaged vectors of {len(wrong)} text(s) were deleted: {some(concept_id(number) for number, _ in wrong)}"


def _operations(transaction: Transaction) -> Iterator[str]:
    unreadable = unreadable_operations(transaction.connection)
    transaction.connection.executemany("DELETE FROM operations WHERE kind = ? AND id = ?", unreadable)
    if unreadable:
        yield f"{len(unreadable)} operation(s) may be done again: {some(name for _, name in unreadable)}"


STEPS = (_indexes, _hashes, _concepts, _events, _texts, _references, _vectors, _operations)
