"""The ledger's schema, as numbered steps that are only ever appended to: a step that was shipped is never edited."""

from __future__ import annotations

from typing import NamedTuple


class Migration(NamedTuple):
    number: int
    name: str
    statements: tuple[str, ...]


APPLICATION_ID = 0x5068726F
"""Marks an SQLite file as a ledger ("Phro")."""

_FIRST = (
    "CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL)",
    "CREATE TABLE migrations (number INTEGER PRIMARY KEY, name TEXT NOT NULL, time TEXT NOT NULL)",
    # One row per change; its number is the memory's version. concept is NULL for events of the whole memory.
    """CREATE TABLE events (
        version INTEGER PRIMARY KEY AUTOINCREMENT, kind TEXT NOT NULL, concept INTEGER,
        operation TEXT NOT NULL, time TEXT NOT NULL, payload TEXT NOT NULL)""",
    "CREATE INDEX events_by_concept ON events (concept, version)",
    """CREATE TRIGGER events_stay BEFORE UPDATE ON events
        BEGIN SELECT RAISE(ABORT, 'events are append-only'); END""",
    """CREATE TRIGGER events_remain BEFORE DELETE ON events
        BEGIN SELECT RAISE(ABORT, 'events are append-only'); END""",
    # What holds now; everything in it follows from concept_versions.
    """CREATE TABLE concepts (
        number INTEGER PRIMARY KEY AUTOINCREMENT, version INTEGER NOT NULL, status TEXT NOT NULL,
        content_hash TEXT NOT NULL, created TEXT NOT NULL, updated TEXT NOT NULL)""",
    "CREATE UNIQUE INDEX concepts_by_content ON concepts (content_hash) WHERE status <> 'invalid'",
    # since: the event that made the row. body_version: the version that brought the text (a change of status keeps it;
    # a concept that comes back from invalid counts as new text).
    """CREATE TABLE concept_versions (
        seq INTEGER PRIMARY KEY AUTOINCREMENT, concept INTEGER NOT NULL, version INTEGER NOT NULL,
        body_version INTEGER NOT NULL, since INTEGER NOT NULL, status TEXT NOT NULL, content_hash TEXT NOT NULL,
        body TEXT NOT NULL, time TEXT NOT NULL, UNIQUE (concept, version))""",
    "CREATE INDEX concept_versions_by_event ON concept_versions (since)",
    """CREATE VIEW bodies AS
        SELECT b.seq, b.concept, b.version, b.since, b.body, COALESCE((
            SELECT MIN(c.since) FROM concept_versions c WHERE c.concept = b.concept AND c.version > b.version
            AND (c.status = 'invalid' OR c.body_version <> b.version)), 9223372036854775807) AS until
        FROM concept_versions b WHERE b.version = b.body_version""",
    """CREATE TABLE operations (
        kind TEXT NOT NULL, id TEXT NOT NULL, version INTEGER NOT NULL, time TEXT NOT NULL, outcome TEXT NOT NULL,
        PRIMARY KEY (kind, id))""",
    """CREATE TABLE fingerprints (
        id INTEGER PRIMARY KEY AUTOINCREMENT, key TEXT NOT NULL UNIQUE, body TEXT NOT NULL, time TEXT NOT NULL)""",
    # version is a body version; vector is little-endian float32 of unit length.
    """CREATE TABLE vectors (
        seq INTEGER PRIMARY KEY AUTOINCREMENT, fingerprint INTEGER NOT NULL, concept INTEGER NOT NULL,
        version INTEGER NOT NULL, view INTEGER NOT NULL, vector BLOB NOT NULL,
        UNIQUE (concept, version, view, fingerprint))""",
    "CREATE INDEX vectors_by_fingerprint ON vectors (fingerprint, seq)",
    """CREATE TABLE uses (
        concept INTEGER NOT NULL, operation TEXT NOT NULL, accepted INTEGER NOT NULL, time TEXT NOT NULL,
        PRIMARY KEY (concept, operation))""",
    # rowid = concept_versions.seq of the version that brought the text.
    "CREATE VIRTUAL TABLE texts USING fts5 (name, situation, suggestion, cues, tokenize = 'porter unicode61')",
)

_CARE = (
    "ALTER TABLE concepts ADD COLUMN origin TEXT NOT NULL DEFAULT 'run'",
    """UPDATE concepts SET origin = 'user' WHERE number IN (
        SELECT concept FROM events WHERE kind = 'created' AND operation = '')""",
    # Tells this ledger from others of the same name.
    "INSERT OR IGNORE INTO meta VALUES ('id', lower(hex(randomblob(8))))",
    # The concept that took this one's place, as of this version.
    "ALTER TABLE concept_versions ADD COLUMN superseded_by INTEGER",
    """CREATE TABLE evidence (
        seq INTEGER PRIMARY KEY AUTOINCREMENT, concept INTEGER NOT NULL, operation TEXT NOT NULL, run TEXT NOT NULL,
        task TEXT NOT NULL, verdict TEXT NOT NULL, verifier TEXT NOT NULL, score REAL, note TEXT NOT NULL,
        time TEXT NOT NULL, UNIQUE (concept, operation))""",
    # A change that waits for a person. concept is NULL for one that adds. body: the action's own fields as JSON.
    """CREATE TABLE proposals (
        number INTEGER PRIMARY KEY AUTOINCREMENT, action TEXT NOT NULL, concept INTEGER, base_version INTEGER,
        body TEXT NOT NULL, reason TEXT NOT NULL, operation TEXT NOT NULL UNIQUE, status TEXT NOT NULL, time TEXT NOT NULL,
        decided TEXT)""",
    "CREATE TABLE snapshots (name TEXT PRIMARY KEY, version INTEGER NOT NULL, time TEXT NOT NULL, note TEXT NOT NULL)",
    # A consolidation: its plan is made once, its steps are operations, so it goes on where it stopped.
    """CREATE TABLE jobs (
        id TEXT PRIMARY KEY, kind TEXT NOT NULL, status TEXT NOT NULL, version INTEGER NOT NULL, plan TEXT NOT NULL,
        time TEXT NOT NULL, updated TEXT NOT NULL)""",
    # Erasing blanks what an event quotes, and nothing else about an event ever changes.
    "DROP TRIGGER events_stay",
    """CREATE TRIGGER events_stay BEFORE UPDATE ON events
        WHEN NEW.version IS NOT OLD.version OR NEW.kind IS NOT OLD.kind OR NEW.concept IS NOT OLD.concept
        OR NEW.operation IS NOT OLD.operation OR NEW.time IS NOT OLD.time OR NEW.payload IS NOT '{"erased": true}'
        BEGIN SELECT RAISE(ABORT, 'events are append-only'); END""",
)

MIGRATIONS: tuple[Migration, ...] = (Migration(1, "first", _FIRST), Migration(2, "care", _CARE))
"""PRAGMA user_version is the number of the last one applied."""
