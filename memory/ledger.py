"""The ledger: one append-only SQLite file per namespace, the truth of a memory.

WAL with synchronous FULL: what a transaction committed survives a power cut. Writers queue (BEGIN IMMEDIATE and a busy
timeout); readers never wait. A change is an event, and the number of the last event is the memory's version.
"""

from __future__ import annotations

import os
import re
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

from phronesis.core.errors import ConceptStoreError, ConfigurationError, PhronesisError, SetupError
from phronesis.memory.migrations import APPLICATION_ID, MIGRATIONS
from phronesis.memory.read_only import connect_to_read
from phronesis.memory.transaction import Transaction

FILE_NAME = "ledger.sqlite3"
MADE = "ledger.made"
"""An empty file beside a ledger that was made: without it an empty or missing ledger is new, with it it is lost."""
BUSY_SECONDS = 30.0
"""How long a writer waits for other writers."""
_NAMESPACE = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")

Clock = Callable[[], datetime]
T = TypeVar("T")


def utc_now() -> datetime:
    return datetime.now(UTC)


def namespace_folder(root: Path, name: str) -> Path:
    """The folder of a namespace under the memory folder. Raises ConfigurationError for a name that is no such thing."""
    check_name(name, what="memory name")
    return root / name


def check_name(name: str, *, what: str) -> None:
    """Raises ConfigurationError for a name that memories and snapshots may not have."""
    if not _NAMESPACE.fullmatch(name) or ".." in name:
        raise ConfigurationError(
            f"{what} {name!r} is not allowed",
            mend="use 1 to 64 of a-z, 0-9, '.', '_' and '-', starting with a letter or digit, without '..'",
        )


class Ledger:
    """An open ledger: one connection behind a lock, safe in threads, not across a fork."""

    def __init__(self, path: Path, connection: sqlite3.Connection, clock: Clock, *, read_only: bool = False) -> None:
        self.path = path
        self.read_only = read_only
        self.lock = threading.RLock()
        self._connection = connection
        self._clock = clock
        self._closed = False

    @classmethod
    def open(cls, folder: Path, *, clock: Clock = utc_now, read_only: bool = False) -> Ledger:
        """Opens or creates the ledger in ``folder`` and applies the migrations that are missing.

        ``read_only``: opens one that is there and never writes to it; one of an older phronesis is refused.
        Raises SetupError when the folder cannot be written, ConceptStoreError for a file that is damaged, foreign or of a
        newer phronesis."""
        path = folder / FILE_NAME
        if read_only:
            return cls._open_to_read(path, clock)
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise SetupError(f"cannot create {str(folder)!r}: {error}", mend="set PHRONESIS_HOME") from error
        check_not_lost(path)
        ledger = cls(path, _connect(path), clock)
        try:
            with _explained(path):
                ledger._prepare()
        except BaseException:
            ledger._connection.close()
            raise
        return ledger

    def reopen(self, between: Callable[[], T]) -> T:
        """Closes the file, runs ``between`` and opens it again, for everybody who holds this object."""
        with self.lock:
            self._check_open()
            self._connection.close()
            try:
                return between()
            finally:
                self._connection = _connect(self.path)
                with _explained(self.path):
                    self._prepare()

    @classmethod
    def _open_to_read(cls, path: Path, clock: Clock) -> Ledger:
        with _explained(path):
            ledger = cls(path, connect_to_read(path, busy_seconds=BUSY_SECONDS), clock, read_only=True)
            try:
                schema, known = ledger._schema(), MIGRATIONS[-1].number
                if schema != known:
                    raise ConceptStoreError(
                        f"{str(path)!r} has schema {schema}, this phronesis reads {known}",
                        mend="pip install --upgrade phronesis"
                        if schema > known
                        else f"open it once to bring it up to date: phronesis memory stats --session {path.parent.name}",
                    )
            except BaseException:
                ledger.close()
                raise
        return ledger

    def _prepare(self) -> None:
        self._enter_wal()
        self._connection.execute("PRAGMA synchronous = FULL")
        known = MIGRATIONS[-1].number
        schema = self._schema()
        if schema < known:
            with self.writing() as transaction:
                self._schema()
                transaction.connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
                for migration in MIGRATIONS:
                    # Another process may have been faster: the schema is read again inside the transaction.
                    if migration.number > self._schema():
                        for statement in migration.statements:
                            transaction.connection.execute(statement)
                        transaction.connection.execute(
                            "INSERT INTO migrations VALUES (?, ?, ?)",
                            (migration.number, migration.name, transaction.now),
                        )
                        transaction.connection.execute(f"PRAGMA user_version = {migration.number}")
            _sync_folder(self.path.parent)
        elif schema > known:
            raise ConceptStoreError(
                f"{str(self.path)!r} has schema {schema}, this phronesis knows up to {known}",
                mend="pip install --upgrade phronesis",
            )
        _mark_made(self.path)

    def _schema(self) -> int:
        """Number of the last migration. Raises ConceptStoreError for a database of something else."""
        tables = self._connection.execute("SELECT COUNT(*) FROM sqlite_master").fetchone()[0]
        if tables and self._connection.execute("PRAGMA application_id").fetchone()[0] != APPLICATION_ID:
            raise ConceptStoreError(f"{str(self.path)!r} is not a phronesis ledger", mend="move the file away")
        return int(self._connection.execute("PRAGMA user_version").fetchone()[0])

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
        """The connection, for statements that only read; other threads wait, other processes do not."""
        with self.lock:
            self._check_open()
            with _explained(self.path):
                yield self._connection

    @contextmanager
    def writing(self) -> Iterator[Transaction]:
        """A transaction that is durable when the block ends; an exception undoes it."""
        with self.lock:
            self._check_open()
            if self.read_only:
                raise ConceptStoreError(
                    f"the memory {self.path.parent.name!r} is opened to be read",
                    mend=f"open it without read_only, and see that {str(self.path.parent)!r} can be written",
                )
            with _explained(self.path):
                self._connection.execute("BEGIN IMMEDIATE")
                try:
                    yield Transaction(self._connection, self._clock().isoformat(timespec="milliseconds"))
                    self._connection.execute("COMMIT")
                except BaseException:
                    if self._connection.in_transaction:
                        self._connection.execute("ROLLBACK")
                    raise

    def close(self) -> None:
        with self.lock:
            self._closed = True
            self._connection.close()

    def _check_open(self) -> None:
        if self._closed:
            raise ConceptStoreError(f"the memory {self.path.parent.name!r} is closed", mend="open it again")


def check_not_lost(path: Path) -> None:
    """Raises ConceptStoreError for a ledger that was there and is gone or empty: a new one in its place would hide that."""
    if path.with_name(MADE).exists() and (not path.exists() or not path.stat().st_size):
        raise ConceptStoreError(
            f"the ledger {str(path)!r} is {'empty' if path.exists() else 'gone'}, and it held a memory",
            mend=f"restore it from a copy, or, to begin anew, delete the folder {str(path.parent)!r}",
        )


def _connect(path: Path) -> sqlite3.Connection:
    with _explained(path):
        return sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False)


def _mark_made(path: Path) -> None:
    try:
        path.with_name(MADE).touch(exist_ok=True)
    except OSError:
        pass  # a folder that cannot be written goes without


def _sync_folder(folder: Path) -> None:
    """Makes the names of new files and of the folder itself durable."""
    for path in (folder, folder.parent):
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    """Turns SQLite's errors into ours; the message names the file."""
    try:
        yield
    except (sqlite3.Error, ValueError) as error:
        # ValueError: a row that was written as a number, a vector or JSON and is none any more.
        raise _explanation(path, error) from error


def _explanation(path: Path, error: Exception) -> PhronesisError:
    text = " ".join(str(error).split())
    if isinstance(error, sqlite3.OperationalError):
        if "locked" in text:
            return ConceptStoreError(
                f"another process has been writing to {str(path)!r} for {BUSY_SECONDS:.0f} s", mend="try again"
            )
        if any(word in text for word in ("readonly", "unable to open", "full", "disk I/O", "no such module")):
            return SetupError(
                f"cannot write the ledger {str(path)!r}: {text}",
                mend="check space and rights of the folder, or set PHRONESIS_HOME",
            )
    return ConceptStoreError(
        f"the ledger {str(path)!r} is damaged: {text}",
        mend=f"phronesis memory verify --session {path.parent.name}; then restore the file from a copy, or save what is "
        f"left: phronesis memory repair --session {path.parent.name} --salvage",
    )
