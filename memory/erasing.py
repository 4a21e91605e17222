"""Erases concepts from a ledger: out of every version, vector, posting list, event, outcome, plan and proposal.

Two steps. One transaction blanks the rows (SQLite overwrites what it frees, ``secure_delete``); then the file is written
anew (VACUUM) and the write-ahead log cut to nothing, so that no byte stays in free pages. Each step may be repeated; an
erasure that was killed is completed by the next. What was found elsewhere is kept as the operation's outcome, since
nothing could be searched for once the text is gone.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from typing import Any

from phronesis.core.concept import Concept
from phronesis.memory.ledger import BUSY_SECONDS, Ledger
from phronesis.memory.quotations import GONE, Quotation
from phronesis.memory.reading import concept_id
from phronesis.memory.receipts import NotReached, Reached
from phronesis.memory.revisions import erased_hash, is_erased, standing
from phronesis.memory.traces import Elsewhere, in_value, left_over
from phronesis.memory.transaction import Transaction

BLANK = json.dumps({"erased": True})
"""What an erased event's payload is; the ledger allows no other change of an event."""
PATIENCE = 2.0
"""Seconds that readers of older states are waited for when the write-ahead log is cut."""
_NOTHING = Concept(suggestion=GONE)


def texts_of(connection: sqlite3.Connection, numbers: Sequence[int]) -> dict[int, list[Concept]]:
    """What each concept said in any version that is not erased. Raises ConceptStoreError that names an unknown id."""
    found = {}
    for number in numbers:
        standing(connection, number)
        rows = connection.execute("SELECT content_hash, body FROM concept_versions WHERE concept = ?", (number,))
        bodies = dict.fromkeys(body for digest, body in rows if not is_erased(digest))
        found[number] = [Concept.model_validate_json(body) for body in bodies]
    return found


def erase_rows(
    ledger: Ledger, searched: dict[int, list[Concept]], quotation: Quotation, elsewhere: Elsewhere, *, operation: str
) -> list[Reached] | None:
    """What was blanked; None, and nothing done, when a concept says more by now than was searched for."""
    with ledger.lock:
        with ledger.reading() as connection:
            connection.execute("PRAGMA secure_delete = ON")
        try:
            with ledger.writing() as transaction:
                if texts_of(transaction.connection, list(searched)) != searched:
                    return None
                counts = _blank(transaction, list(searched), quotation, operation)
                transaction.connection.execute("INSERT INTO texts (texts) VALUES ('rebuild')")
                if quotation:
                    _remember(transaction, _session(ledger), searched, quotation, elsewhere)
        finally:
            with ledger.reading() as connection:
                connection.execute("PRAGMA secure_delete = OFF")
    return _told(counts)


def would_erase(ledger: Ledger, numbers: Sequence[int], quotation: Quotation) -> tuple[list[Reached], list[NotReached]]:
    """What an erasure would blank, and what would quote still: it is done, counted and undone."""
    found: list[tuple[list[Reached], list[NotReached]]] = []
    try:
        with ledger.writing() as transaction:
            counts = _blank(transaction, numbers, quotation, "")
            left = left_over(transaction.connection, _session(ledger), quotation) if quotation else []
            found.append((_told(counts), left))
            raise _Undo
    except _Undo:
        return found[0]


class _Undo(Exception):
    """Ends a transaction that was never to be committed."""


def _told(counts: dict[str, int]) -> list[Reached]:
    return [Reached(place=place, count=count) for place, count in counts.items()]


def _session(ledger: Ledger) -> str:
    return ledger.path.parent.name


def remembered(connection: sqlite3.Connection, numbers: Sequence[int]) -> dict[str, list[dict[str, Any]]]:
    """``places`` and ``journals`` that earlier erasures of these concepts found, as JSON values."""
    found: dict[str, list[dict[str, Any]]] = {"places": [], "journals": []}
    for number in numbers:
        row = connection.execute(
            "SELECT outcome FROM operations WHERE kind = 'erased' AND id = ?", (concept_id(number),)
        ).fetchone()
        for kind, items in (json.loads(row[0]) if row else {}).items():
            found[kind] += [item for item in items if item not in found[kind]]
    return found


def _remember(
    transaction: Transaction,
    session: str,
    searched: dict[int, list[Concept]],
    quotation: Quotation,
    elsewhere: Elsewhere,
) -> None:
    """Keeps what was found, with the concepts that had a text: later nothing can be searched for."""
    places = [*left_over(transaction.connection, session, quotation), *elsewhere.places]
    outcome = {
        "places": [place.model_dump() for place in places],
        "journals": [journal.model_dump() for journal in elsewhere.journals],
    }
    for number, concepts in searched.items():
        if concepts:
            transaction.record_outcome("erased", concept_id(number), outcome)


def _blank(transaction: Transaction, numbers: Sequence[int], quotation: Quotation, operation: str) -> dict[str, int]:
    """Rows blanked or deleted, by what they are to people."""
    run = transaction.connection.execute
    counts = dict.fromkeys(("versions", "search texts", "vectors", "evidence", "events"), 0)
    for number in numbers:
        known = is_erased(standing(transaction.connection, number).content_hash)
        counts["search texts"] += run(
            "DELETE FROM texts WHERE rowid IN (SELECT seq FROM concept_versions WHERE concept = ?)", (number,)
        ).rowcount
        counts["vectors"] += run("DELETE FROM vectors WHERE concept = ?", (number,)).rowcount
        counts["evidence"] += run("DELETE FROM evidence WHERE concept = ?", (number,)).rowcount
        # Body version 0: no text of it was ever brought, so nothing is searched for and no vector missing.
        counts["versions"] += run(
            "UPDATE concept_versions SET body = ?, content_hash = ?, body_version = 0, status = 'invalid' "
            "WHERE concept = ? AND content_hash <> ?",
            (_NOTHING.model_dump_json(), erased_hash(number), number, erased_hash(number)),
        ).rowcount
        run("UPDATE concepts SET content_hash = ? WHERE number = ?", (erased_hash(number), number))
        counts["events"] += run(
            "UPDATE events SET payload = ? WHERE concept = ? AND kind <> 'erased' AND payload <> ?",
            (BLANK, number, BLANK),
        ).rowcount
        if not known:
            transaction.change_status(number, "invalid", kind="erased", operation=operation, reason="erased for good")
    if quotation:
        counts |= _blank_quotes(transaction, numbers, quotation, counts)
    return counts


def _blank_quotes(
    transaction: Transaction, numbers: Sequence[int], quotation: Quotation, counts: dict[str, int]
) -> dict[str, int]:
    run = transaction.connection.execute
    quoting = [
        version
        for version, payload in run("SELECT version, payload FROM events").fetchall()
        if in_value(payload, quotation)
    ]
    for version in quoting:
        run("UPDATE events SET payload = ? WHERE version = ?", (BLANK, version))
    return {
        "events": counts["events"] + len(quoting),
        "evidence": counts["evidence"] + _blank_column(transaction, "evidence", "note", quotation),
        "outcomes of operations": _blank_column(transaction, "operations", "outcome", quotation),
        "plans of jobs": _blank_column(transaction, "jobs", "plan", quotation),
        "snapshot notes": _blank_column(transaction, "snapshots", "note", quotation),
        "proposals": _blank_proposals(transaction, numbers, quotation),
    }


def _blank_column(transaction: Transaction, table: str, column: str, quotation: Quotation) -> int:
    """Puts ``GONE`` in the place of each text that quotes, and leaves the JSON around it."""
    # Table and column are constants of ours.
    rows = transaction.connection.execute(f"SELECT rowid, {column} FROM {table}").fetchall()
    quoting = [(row, value) for row, value in rows if in_value(value, quotation)]
    for row, value in quoting:
        transaction.connection.execute(
            f"UPDATE {table} SET {column} = ? WHERE rowid = ?", (_blanked(value, quotation), row)
        )
    return len(quoting)


def _blanked(value: str, quotation: Quotation) -> str:
    try:
        return json.dumps(quotation.blanked(json.loads(value)), ensure_ascii=False)
    except ValueError:
        return GONE


def _blank_proposals(transaction: Transaction, numbers: Sequence[int], quotation: Quotation) -> int:
    """A proposal about an erased concept, or one that quotes it, is rejected where it is open, and says nothing more."""
    names = {concept_id(number) for number in numbers}
    count = 0
    rows = transaction.connection.execute("SELECT number, concept, body, reason FROM proposals").fetchall()
    for number, concept, body, reason in rows:
        about = names & set(json.loads(body).get("bases", {}))
        if concept in numbers or about or in_value(body, quotation) or in_value(reason, quotation):
            transaction.connection.execute(
                "UPDATE proposals SET body = ?, reason = ?, decided = COALESCE(decided, ?), "
                "status = CASE status WHEN 'open' THEN 'rejected' ELSE status END WHERE number = ?",
                (BLANK, GONE, transaction.now, number),
            )
            count += 1
    return count


def scrub(ledger: Ledger) -> list[NotReached]:
    """Writes the ledger's file anew and empties its write-ahead log; what of that could not be done.

    Takes about a second per 100 MB, during which other writers wait, and as much free disk space again."""
    missed = []
    with ledger.reading() as connection:
        try:
            connection.execute("VACUUM")
        except sqlite3.OperationalError as error:
            why = f"its free pages may hold the text: it could not be written anew: {error}"
            mend = "free some space and end other writers, then erase again"
            missed.append(NotReached(place=str(ledger.path), why=why, mend=mend))
        connection.execute(f"PRAGMA busy_timeout = {round(PATIENCE * 1000)}")
        try:
            busy = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
        except sqlite3.OperationalError as error:
            if "locked" not in str(error):
                raise
            busy = 1
        finally:
            connection.execute(f"PRAGMA busy_timeout = {round(BUSY_SECONDS * 1000)}")
    if busy:
        why = "another process is reading an older state of the memory, so file and write-ahead log keep the text"
        mend = "let it finish or close it, then erase again"
        missed.append(NotReached(place=f"{ledger.path} and its -wal", why=why, mend=mend))
    return missed
