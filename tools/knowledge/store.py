"""The file of a knowledge base: one SQLite database with documents, chunks and vectors.

WAL with synchronous FULL: what a transaction committed survives a power cut. Writers queue (BEGIN IMMEDIATE and a busy
timeout), readers never wait, and ``freeze`` keeps a reader at one version while others write.
"""

from __future__ import annotations

import os
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import orjson

from phronesis.core.errors import PhronesisError, RetrievalError, SetupError

APPLICATION_ID = 0x70686B62
SCHEMA = 1
BUSY_SECONDS = 30.0
"""How long a writer waits for other writers."""
_TABLES = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE files (
  number INTEGER PRIMARY KEY, source TEXT NOT NULL UNIQUE, origin BLOB NOT NULL, hash TEXT NOT NULL, fields TEXT NOT NULL,
  added TEXT NOT NULL
);
CREATE TABLE documents (
  number INTEGER PRIMARY KEY AUTOINCREMENT, file INTEGER NOT NULL REFERENCES files, source TEXT NOT NULL UNIQUE,
  id TEXT UNIQUE, hash TEXT NOT NULL, title TEXT NOT NULL, facts TEXT NOT NULL, text TEXT NOT NULL, added TEXT NOT NULL
);
CREATE INDEX documents_of_file ON documents (file);
CREATE TABLE chunks (
  number INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, document INTEGER NOT NULL REFERENCES documents,
  start INTEGER NOT NULL, end INTEGER NOT NULL, title TEXT NOT NULL, page INTEGER, digest BLOB NOT NULL, text TEXT NOT NULL
);
CREATE INDEX chunks_of_document ON chunks (document);
CREATE TABLE fingerprints (number INTEGER PRIMARY KEY AUTOINCREMENT, key TEXT NOT NULL, body TEXT NOT NULL);
CREATE TABLE vectors (
  fingerprint INTEGER NOT NULL, chunk INTEGER NOT NULL, vector BLOB NOT NULL, PRIMARY KEY (fingerprint, chunk)
) WITHOUT ROWID;
"""


class Store:
    """An open database: one connection behind a lock, safe in threads, not across a fork."""

    def __init__(self, path: Path, connection: sqlite3.Connection) -> None:
        self.path = path
        self._connection = connection
        self._lock = threading.RLock()
        self._closed = False
        self._rehearsing = False

    @classmethod
    def create(cls, path: Path) -> Store:
        """Opens the database, made with its folder if it is not there. Raises SetupError where it cannot be written,
        RetrievalError for a file that is damaged, foreign or of a newer phronesis."""
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise SetupError(
                f"cannot create {str(path.parent)!r}: {error.strerror}", mend="set PHRONESIS_HOME"
            ) from error
        with _explained(path):
            store = cls(path, _connect(str(path)))
            try:
                store._prepare()
            except BaseException:
                store._connection.close()
                raise
        return store

    @classmethod
    def open_to_read(cls, path: Path) -> Store:
        """Opens one that is there and never writes to it; works in a folder nobody may write to."""
        with _explained(path):
            store = cls(path, _connect_to_read(path))
            try:
                store._check()
            except BaseException:
                store._connection.close()
                raise
        return store

    @classmethod
    def in_memory(cls, path: Path) -> Store:
        """An empty one that goes when it is closed, under the name of one that is not there."""
        store = cls(path, _connect(":memory:"))
        store._make_tables()
        return store

    def _prepare(self) -> None:
        self._enter_wal()
        self._connection.execute("PRAGMA synchronous = FULL")
        if self._check() == SCHEMA:
            return
        self._make_tables()
        for folder in (self.path.parent, self.path.parent.parent, self.path.parent.parent.parent):
            _sync(folder)

    def _make_tables(self) -> None:
        with self.writing() as connection:
            if self._check() < SCHEMA:  # another process may have been faster
                connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
                for statement in filter(str.strip, _TABLES.split(";")):
                    connection.execute(statement)
                connection.execute(f"PRAGMA user_version = {SCHEMA}")

    def _check(self) -> int:
        """Number of the schema; 0 = empty. Raises RetrievalError for a database of something else."""
        tables = self._connection.execute("SELECT COUNT(*) FROM sqlite_master").fetchone()[0]
        if tables and self._connection.execute("PRAGMA application_id").fetchone()[0] != APPLICATION_ID:
            raise RetrievalError(f"{str(self.path)!r} is no knowledge base of phronesis", mend="move the file away")
        schema = int(self._connection.execute("PRAGMA user_version").fetchone()[0])
        if schema > SCHEMA:
            raise RetrievalError(
                f"{str(self.path)!r} has schema {schema}, this phronesis knows up to {SCHEMA}",
                mend="pip install --upgrade phronesis",
            )
        return schema

    def _enter_wal(self) -> None:
        """SQLite does not wait its busy timeout when two processes switch a new file to WAL at once."""
        deadline = time.monotonic() + BUSY_SECONDS
        while True:
            try:
                self._connection.execute("PRAGMA journal_mode = WAL")
                return
            except sqlite3.OperationalError as error:
                if "locked" not in str(error) or time.monotonic() > deadline:
                    raise
                time.sleep(0.01)

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """The connection, for statements that only read."""
        with self._lock:
            self._check_open()
            with _explained(self.path):
                yield self._connection

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """A transaction that is durable when the block ends; an exception undoes it."""
        with self.reading() as connection:
            if self._rehearsing:
                yield connection
                return
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
                connection.execute("COMMIT")
            except BaseException:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise

    @contextmanager
    def rehearsing(self) -> Iterator[None]:
        """What is written inside the block is undone at its end. Other writers wait so long."""
        with self.reading() as connection:
            connection.execute("BEGIN IMMEDIATE")
            self._rehearsing = True
            try:
                yield
            finally:
                self._rehearsing = False
                connection.execute("ROLLBACK")

    def freeze(self) -> None:
        """From now on this connection reads the version that is there now, whatever others write."""
        with self.reading() as connection:
            connection.execute("BEGIN")
            connection.execute("SELECT COUNT(*) FROM meta").fetchone()

    def close(self) -> None:
        with self._lock:
            self._closed = True
            self._connection.close()

    def _check_open(self) -> None:
        if self._closed:
            raise RetrievalError(f"the knowledge base {self.path.parent.name!r} is closed", mend="open it again")


def now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def version(connection: sqlite3.Connection) -> int:
    """Rises with every change."""
    return int(meta(connection, "version") or 0)


def changed(connection: sqlite3.Connection) -> None:
    """Marks a change; inside its transaction."""
    set_meta(connection, "version", str(version(connection) + 1))


def meta(connection: sqlite3.Connection, key: str) -> str | None:
    row = connection.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
    return None if row is None else str(row[0])


def set_meta(connection: sqlite3.Connection, key: str, value: str) -> None:
    connection.execute(
        "INSERT INTO meta VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value", (key, value)
    )


def _connect(target: str, *, uri: bool = False) -> sqlite3.Connection:
    return sqlite3.connect(target, uri=uri, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False)


def _connect_to_read(path: Path) -> sqlite3.Connection:
    """Where SQLite may not leave its side files beside the database, it is read as if nobody ever wrote to it."""
    address = path.absolute().as_uri()
    log = path.with_name(f"{path.name}-wal")
    still = not os.access(path.parent, os.W_OK) and not (log.is_file() and log.stat().st_size)
    connection = _connect(f"{address}?{'immutable=1' if still else 'mode=ro'}", uri=True)
    connection.execute("PRAGMA query_only = ON")
    return connection


def _sync(folder: Path) -> None:
    """Makes the names of new files durable."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    """Turns SQLite's errors into ours; the message names the file."""
    try:
        yield
    except (sqlite3.Error, orjson.JSONDecodeError) as error:
        raise _explanation(path, error) from error


def _explanation(path: Path, error: Exception) -> PhronesisError:
    text = " ".join(str(error).split())
    if isinstance(error, sqlite3.OperationalError):
        if "locked" in text:
            return RetrievalError(
                f"another process has been writing to {str(path)!r} for {BUSY_SECONDS:.0f} s", mend="try again"
            )
        if any(word in text for word in ("readonly", "unable to open", "full", "disk I/O")):
            return SetupError(
                f"cannot use the knowledge base {str(path)!r}: {text}",
                mend="check space and rights of the folder, or set PHRONESIS_HOME",
            )
    return RetrievalError(
        f"the knowledge base {str(path)!r} is damaged: {text}",
        mend=f"restore the file from a copy; or, to begin anew: phronesis kb remove {path.parent.name} --yes, then add "
        "the documents again",
    )
