"""Looks through a ledger for what does not fit together. Reads only; what it finds, ``repairing`` mends where it can."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterator

import numpy as np
from pydantic import ValidationError

from phronesis.core.concept import Concept
from phronesis.memory.findings import Problem, some
from phronesis.memory.reading import concept_id, fingerprint
from phronesis.memory.revisions import is_erased

UNIT = 1e-3
"""How far a vector's length may be from 1."""
_PAGES = 20
"""Lines of SQLite's own check that are reported."""
_TABLES = (
    "concepts",
    "concept_versions",
    "events",
    "vectors",
    "uses",
    "evidence",
    "operations",
    "proposals",
    "snapshots",
)

Finding = tuple[str, str]
"""Where and what."""
Check = Callable[[sqlite3.Connection], Iterator[Finding]]


def look_through(connection: sqlite3.Connection, *, session: str) -> tuple[list[Problem], dict[str, int]]:
    """Every problem of a ledger, and the rows looked at. Never raises for damage: a check that cannot go on says so."""
    problems: list[Problem] = []
    for check in CHECKS:
        try:
            for where, what in check(connection):
                problems.append(Problem(where=where, what=what, mend=mend_of(where, session)))
        except (sqlite3.Error, ValueError, TypeError, OverflowError) as error:
            what = f"cannot be looked through ({check.__name__}): {error}"
            problems.append(Problem(where="pages", what=what, mend=mend_of("pages", session)))
    counts = {}
    for table in _TABLES:
        try:
            counts[table] = int(connection.execute(f"SELECT COUNT(*) FROM {table}").fetchone()[0])
        except sqlite3.Error:
            continue
    return problems, counts


def mend_of(where: str, session: str) -> str:
    """What a person does about a problem there."""
    if where in ("pages", "file"):
        return (
            f"restore the file from a copy, or save what is left: phronesis memory repair --session {session} --salvage"
        )
    if where == "bodies":
        return (
            "the text differs from what was written; look at it, then update or forget the concept, or restore a copy"
        )
    return f"phronesis memory repair --session {session}"


def pages(connection: sqlite3.Connection) -> Iterator[Finding]:
    """SQLite's own check: pages, indexes, constraints, and the word index."""
    found = [str(row[0]) for row in connection.execute(f"PRAGMA integrity_check({_PAGES})")]
    if found != ["ok"]:
        where = "indexes" if all(_of_index(line) for line in found) else "pages"
        yield where, "; ".join(line.replace("\n", " ") for line in found)


def _of_index(line: str) -> bool:
    return "missing from index" in line or "wrong # of entries in index" in line or "non-unique entry in index" in line


def concepts(connection: sqlite3.Connection) -> Iterator[Finding]:
    """The table of what holds now follows from the last version of each concept."""
    differing = [concept_id(number) for number, *_ in differing_concepts(connection)]
    if differing:
        yield "concepts", f"{len(differing)} concept(s) stand otherwise than in their last version: {some(differing)}"
    bare = [row[0] for row in connection.execute(BARE)]
    if bare:
        yield "concepts", f"{len(bare)} concept(s) have no version: {some(map(concept_id, bare))}"


BARE = (
    "SELECT number FROM concepts c WHERE NOT EXISTS (SELECT 1 FROM concept_versions v WHERE v.concept = c.number) "
    "ORDER BY number"
)


def differing_concepts(connection: sqlite3.Connection) -> list[tuple[int, int, str, str, str]]:
    """(number, version, status, content_hash, time) of each last version that the concepts table does not agree with."""
    return connection.execute(
        "SELECT v.concept, v.version, v.status, v.content_hash, v.time FROM concept_versions v "
        "LEFT JOIN concepts c ON c.number = v.concept WHERE v.version = (SELECT MAX(w.version) FROM concept_versions w "
        "WHERE w.concept = v.concept) AND (c.number IS NULL OR c.version <> v.version OR c.status <> v.status "
        "OR c.content_hash <> v.content_hash) ORDER BY v.concept"
    ).fetchall()


def bodies(connection: sqlite3.Connection) -> Iterator[Finding]:
    """Each version's text can be read and is what its hash says; chains of versions have no gaps."""
    unreadable, changed = [], []
    for number, version, digest, body in connection.execute(
        "SELECT concept, version, content_hash, body FROM concept_versions ORDER BY concept, version"
    ):
        try:
            found = Concept.model_validate_json(body).content_hash
        except ValidationError:
            unreadable.append(f"{concept_id(number)} version {version}")
            continue
        if found != digest and not is_erased(digest):
            changed.append(f"{concept_id(number)} version {version}")
    if unreadable:
        yield "bodies", f"{len(unreadable)} text(s) cannot be read: {some(unreadable)}"
    if changed:
        yield "bodies", f"{len(changed)} text(s) are not what their hash says: {some(changed)}"
    gaps = connection.execute(
        "SELECT concept FROM concept_versions GROUP BY concept HAVING MIN(version) <> 1 OR MAX(version) <> COUNT(*)"
    ).fetchall()
    if gaps:
        yield "bodies", f"versions are missing of {some(concept_id(row[0]) for row in gaps)}"


def texts(connection: sqlite3.Connection) -> Iterator[Finding]:
    """The word index holds the words of each body version, and no others."""
    wrong = []
    rows = connection.execute(
        "SELECT b.concept, b.body, t.rowid, t.name, t.situation, t.suggestion, t.cues FROM concept_versions b "
        "LEFT JOIN texts t ON t.rowid = b.seq WHERE b.version = b.body_version"
    )
    for number, body, row, *held in rows:
        try:
            concept = Concept.model_validate_json(body)
        except ValidationError:
            continue
        words = [concept.name, concept.situation, concept.suggestion, "\n".join(concept.cues)]
        if row is None or held != words:
            wrong.append(concept_id(number))
    if wrong:
        yield "texts", f"lexical search has wrong or no words of {len(wrong)} text(s): {some(wrong)}"
    strays = connection.execute(
        "SELECT COUNT(*) FROM texts WHERE rowid NOT IN (SELECT seq FROM concept_versions WHERE version = body_version)"
    ).fetchone()[0]
    if strays:
        yield "texts", f"lexical search has words of {strays} text(s) that no concept has"
    try:
        # FTS5's own check, a statement that is an insert in form only.
        connection.execute("INSERT INTO texts (texts) VALUES ('integrity-check')")
    except sqlite3.OperationalError:
        return  # a file that cannot be written cannot be asked
    except sqlite3.DatabaseError as error:
        yield "texts", f"the word index is damaged: {error}"


def events(connection: sqlite3.Connection) -> Iterator[Finding]:
    """Changes are numbered without gaps, and each version of a concept has the event that made it."""
    count, last = connection.execute("SELECT COUNT(*), COALESCE(MAX(version), 0) FROM events").fetchone()
    if count != last:
        yield "events", f"{last - count} of {last} changes are missing"
    bare = [f"{concept_id(number)} version {version}" for number, version, *_ in versions_without_event(connection)]
    if bare:
        yield "events", f"{len(bare)} version(s) have no event of their concept: {some(bare)}"


def versions_without_event(connection: sqlite3.Connection) -> list[tuple[int, int, int, str, str]]:
    """(concept, version, since, status, time)."""
    return connection.execute(
        "SELECT v.concept, v.version, v.since, v.status, v.time FROM concept_versions v LEFT JOIN events e "
        "ON e.version = v.since AND e.concept = v.concept WHERE e.version IS NULL ORDER BY v.since"
    ).fetchall()


def vectors(connection: sqlite3.Connection) -> Iterator[Finding]:
    """Each vector has the right length and direction; each valid text has one per view."""
    wrong = [concept_id(number) for number, _ in wrong_vectors(connection)]
    if wrong:
        yield "vectors", f"vectors of {len(wrong)} text(s) are damaged or incomplete: {some(wrong)}"
    missing = texts_without_vectors(connection)
    if missing:
        yield "vectors", f"{len(missing)} valid text(s) have no vectors, recall by meaning misses them: {some(missing)}"


def wrong_vectors(connection: sqlite3.Connection) -> list[tuple[int, int]]:
    """(concept, version) of the texts whose vectors are of the wrong length or count, or no unit vectors."""
    theirs = fingerprint(connection)
    if theirs is None:
        return []
    wrong: dict[tuple[int, int], None] = {}
    views: dict[tuple[int, int], set[int]] = {}
    for number, version, view, blob in connection.execute(
        "SELECT concept, version, view, vector FROM vectors WHERE fingerprint = ? ORDER BY concept, version",
        (theirs[0],),
    ):
        views.setdefault((number, version), set()).add(view)
        whole = len(blob) == 4 * theirs[1].dimension
        if not whole or not abs(float(np.linalg.norm(np.frombuffer(blob, dtype="<f4"))) - 1.0) <= UNIT:
            wrong[number, version] = None
    for number, version, body in connection.execute(
        "SELECT concept, version, body FROM concept_versions WHERE version = body_version"
    ):
        held = views.get((number, version))
        try:
            wanted = len(Concept.model_validate_json(body).views)
        except ValidationError:
            continue
        if held is not None and held != set(range(wanted)):
            wrong[number, version] = None
    return list(wrong)


def texts_without_vectors(connection: sqlite3.Connection) -> list[str]:
    theirs = fingerprint(connection)
    if theirs is None:
        return []
    rows = connection.execute(
        "SELECT DISTINCT b.concept FROM bodies b JOIN concepts c ON c.number = b.concept WHERE c.status <> 'invalid' "
        "AND b.until = 9223372036854775807 AND NOT EXISTS (SELECT 1 FROM vectors v WHERE v.concept = b.concept "
        "AND v.version = b.version AND v.fingerprint = ?) ORDER BY b.concept",
        (theirs[0],),
    )
    return [concept_id(row[0]) for row in rows]


STRAYS = {
    "vectors": "NOT EXISTS (SELECT 1 FROM concept_versions v WHERE v.concept = vectors.concept "
    "AND v.version = vectors.version) OR fingerprint NOT IN (SELECT id FROM fingerprints)",
    "uses": "concept NOT IN (SELECT concept FROM concept_versions)",
    "evidence": "concept NOT IN (SELECT concept FROM concept_versions)",
}
"""Rows about a concept that is not there, by table."""


def references(connection: sqlite3.Connection) -> Iterator[Finding]:
    """What rows speak of exists."""
    for table, condition in STRAYS.items():
        count = connection.execute(f"SELECT COUNT(*) FROM {table} WHERE {condition}").fetchone()[0]
        if count:
            yield "references", f"{count} row(s) of {table} speak of a concept or embedder that is not there"
    row = connection.execute("SELECT value FROM meta WHERE key = 'fingerprint'").fetchone()
    if row is not None and fingerprint(connection) is None:
        yield "references", f"the memory's fingerprint {row[0]} is not there"


def operations(connection: sqlite3.Connection) -> Iterator[Finding]:
    """What operations returned can be returned again."""
    unreadable = [name for _, name in unreadable_operations(connection)]
    if unreadable:
        yield "operations", f"{len(unreadable)} outcome(s) cannot be read: {some(unreadable)}"


def unreadable_operations(connection: sqlite3.Connection) -> list[tuple[str, str]]:
    """(kind, id) of the operations whose outcome is no JSON."""
    found = []
    for kind, name, outcome in connection.execute("SELECT kind, id, outcome FROM operations"):
        try:
            json.loads(outcome)
        except ValueError:
            found.append((kind, name))
    return found


CHECKS: tuple[Check, ...] = (pages, concepts, bodies, texts, events, vectors, references, operations)
