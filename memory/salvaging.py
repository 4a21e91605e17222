"""Saves what can be read of a ledger whose file is damaged into a new one, and keeps the damaged file.

Rows are read one by one, from both ends of each table and by number in between, since a damaged page hides only the rows
that lie on it or below it. Nothing is put in place before the new ledger is whole.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from phronesis.core.errors import ConceptStoreError
from phronesis.memory.findings import some
from phronesis.memory.ledger import FILE_NAME, Clock, Ledger
from phronesis.memory.reading import concept_id

_SHARED = (510, 0x40000002)
"""Length and start of the bytes of the file on which every open SQLite connection holds a lock (file format, "locking")."""
_LOOKUPS = 200_000
"""Rows asked for by number between the readable ends of one table."""
_HIGHEST = 10**8
"""No number in a ledger is higher."""
_KINDS = {"INTEGER": int, "TEXT": str, "BLOB": bytes, "REAL": (int, float)}
_TABLES = (
    "meta", "events", "concepts", "concept_versions", "operations", "fingerprints", "vectors", "uses", "evidence",
    "proposals", "snapshots", "jobs",
)  # fmt: skip
"""What is copied; the word index and the rest follow from it."""


class Salvaged(NamedTuple):
    kept: Path
    """Where the damaged file lies now."""
    rows: int
    lost: tuple[str, ...]
    """What could not be read, in words."""


class Table(NamedTuple):
    columns: tuple[str, ...]
    rows: dict[int, tuple[Any, ...]]
    """By rowid."""
    whole: bool
    """Whether it was read without an error."""


def salvage(folder: Path, *, clock: Clock) -> Salvaged:
    """Puts a new ledger with all readable rows in the place of the damaged one; the caller has it closed.

    Raises ConceptStoreError when another process has it open or when nothing can be read; then nothing was changed."""
    path = folder / FILE_NAME
    work = folder / ".salvage"
    with _alone(path) as file:
        shutil.rmtree(work, ignore_errors=True)
        (work / "new").mkdir(parents=True)
        try:
            _copy(path, file, work / FILE_NAME)
            tables, sequences = _read(work / FILE_NAME)
            rows = sum(len(table.rows) for name, table in tables.items() if name != "meta")
            if not rows:
                raise ConceptStoreError(
                    f"nothing can be read of the ledger {str(path)!r}; it was left as it is",
                    mend=f"restore it from a copy, or, to begin anew, delete the folder {str(folder)!r}",
                )
            _write(work / "new", tables, sequences, clock)
            kept = _free_name(folder, clock)
            _copy(path, file, kept)
            for ending in ("-wal", "-shm"):
                path.with_name(FILE_NAME + ending).unlink(missing_ok=True)
            os.replace(work / "new" / FILE_NAME, path)
            return Salvaged(kept, rows, tuple(_lost(tables, sequences)))
        finally:
            shutil.rmtree(work, ignore_errors=True)


@contextmanager
def _alone(path: Path) -> Iterator[BinaryIO]:
    """Holds off other processes. Raises ConceptStoreError when one has the ledger open."""
    with path.open("r+b") as file:
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB, *_SHARED)
        except OSError:
            raise ConceptStoreError(
                f"another process has the memory {path.parent.name!r} open", mend="end it first, then salvage"
            ) from None
        yield file


def _copy(path: Path, file: BinaryIO, target: Path) -> None:
    """Copies the ledger and its WAL. From the open file: closing another descriptor of it would give the lock up."""
    wal = path.with_name(path.name + "-wal")
    if wal.exists():
        shutil.copyfile(wal, target.with_name(target.name + "-wal"))
    file.seek(0)
    with target.open("wb") as copy:
        shutil.copyfileobj(file, copy)
        copy.flush()
        os.fsync(copy.fileno())


def _free_name(folder: Path, clock: Clock) -> Path:
    stamp = clock().strftime("%Y%m%dT%H%M%S")
    names = [f"ledger.damaged-{stamp}{end}.sqlite3" for end in ("", *(f"-{n}" for n in range(2, 1000)))]
    return next(folder / name for name in names if not (folder / name).exists())


def _read(path: Path) -> tuple[dict[str, Table], dict[str, int]]:
    """The readable rows of each table, and the highest number each table ever gave."""
    found = _read_as_is(path)
    if not any(table.rows for table in found[0].values()):
        _put_fresh_head(path)
        found = _read_as_is(path)
    return found


def _read_as_is(path: Path) -> tuple[dict[str, Table], dict[str, int]]:
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.text_factory = lambda raw: raw.decode("utf-8", "replace")
        try:
            # Lets SQLite read a file that is shorter than its head says.
            connection.execute("PRAGMA writable_schema = ON")
            sequences = {
                str(name): int(last) for name, last in connection.execute("SELECT name, seq FROM sqlite_sequence")
            }
        except (sqlite3.Error, ValueError, TypeError):
            sequences = {}
        return {name: _table(connection, name, sequences.get(name)) for name in _TABLES}, sequences


def _put_fresh_head(path: Path) -> None:
    """Gives a file whose first page is beyond reading that of a new ledger: the tables of both lie at the same places when
    both were made by one version."""
    fresh = path.parent / "fresh"
    Ledger.open(fresh).close()
    page = bytearray((fresh / FILE_NAME).read_bytes()[:4096])
    count = path.stat().st_size // len(page)
    page[28:32] = count.to_bytes(4, "big")
    page[92:96] = page[24:28]
    with path.open("r+b") as file:
        file.write(page)


def _table(connection: sqlite3.Connection, name: str, last: int | None) -> Table:
    try:
        told = connection.execute(f"PRAGMA table_info({name})").fetchall()
    except sqlite3.Error:
        told = []
    columns = tuple(str(row[1]) for row in told)
    if not columns:
        return Table((), {}, False)
    select = f"SELECT rowid, {', '.join(columns)} FROM {name} NOT INDEXED"
    rows: dict[int, tuple[Any, ...]] = {}
    whole = _collect(connection, f"{select} ORDER BY rowid", rows)
    if not whole:
        low = max(rows, default=0)
        _collect(connection, f"{select} WHERE rowid > {low} ORDER BY rowid DESC", rows)
        high = min((row for row in rows if row > low), default=(last or low + 10_000) + 1)
        for number in range(low + 1, min(high, low + _LOOKUPS)):
            _collect(connection, f"{select} WHERE rowid = {number}", rows)
    kinds = [(_KINDS.get(str(row[2]), object), not row[3]) for row in told]
    fitting = {number: row for number, row in rows.items() if all(map(_fits, row, kinds))}
    return Table(columns, fitting, whole and len(fitting) == len(rows))


def _fits(value: Any, kind: tuple[Any, bool]) -> bool:
    """Whether a column may hold the value; a page that was written over can bring anything."""
    if isinstance(value, int) and not 0 <= value <= _HIGHEST:
        return False
    return isinstance(value, kind[0]) or (value is None and kind[1])


def _collect(connection: sqlite3.Connection, statement: str, rows: dict[int, tuple[Any, ...]]) -> bool:
    """Adds rows until an error; whether there was none."""
    try:
        for number, *values in connection.execute(statement):
            rows[number] = tuple(values)
    except (sqlite3.Error, OverflowError):
        return False
    return True


def _write(folder: Path, tables: dict[str, Table], sequences: dict[str, int], clock: Clock) -> None:
    ledger = Ledger.open(folder, clock=clock)
    try:
        with ledger.writing() as transaction:
            run = transaction.connection.execute
            for name, (columns, rows, _) in tables.items():
                known = {str(row[1]) for row in run(f"PRAGMA table_info({name})")}
                places = [place for place, column in enumerate(columns) if column in known]
                names, marks = ", ".join(columns[place] for place in places), ", ".join("?" * len(places))
                transaction.connection.executemany(
                    f"INSERT OR {'REPLACE' if name == 'meta' else 'IGNORE'} INTO {name} ({names}) VALUES ({marks})",
                    [[row[place] for place in places] for row in rows.values()],
                )
            for name, last in sequences.items():
                # No number is ever given twice, not even a lost one.
                run("UPDATE sqlite_sequence SET seq = MAX(seq, ?) WHERE name = ?", (last, name))
                run(
                    "INSERT INTO sqlite_sequence (name, seq) SELECT ?1, ?2 WHERE ?1 IN (SELECT name FROM sqlite_master) "
                    "AND ?1 NOT IN (SELECT name FROM sqlite_sequence)",
                    (name, last),
                )
            run(
                "INSERT OR IGNORE INTO meta SELECT 'fingerprint', fingerprint FROM vectors "
                "WHERE fingerprint IN (SELECT id FROM fingerprints) ORDER BY seq DESC LIMIT 1"
            )
    finally:
        ledger.close()


def _lost(tables: dict[str, Table], sequences: dict[str, int]) -> Iterator[str]:
    """What is not there any more, as far as what is left tells."""
    versions, concepts = _by_name(tables["concept_versions"]), _by_name(tables["concepts"])
    held = {(row["concept"], row["version"]) for row in versions}
    numbers = {number for number, _ in held}
    gone = [n for n in range(1, max(sequences.get("concepts", 0), *numbers, 0) + 1) if n not in numbers]
    if gone:
        yield f"{len(gone)} concept(s), wholly: {', '.join(map(concept_id, gone))}"
    expected = {(row["number"], version) for row in concepts for version in range(1, row["version"] + 1)}
    expected |= {(number, version) for number, last in held for version in range(1, last + 1)}
    partly = sorted((number, version) for number, version in expected - held if number in numbers)
    if partly:
        yield f"{len(partly)} version(s): {', '.join(f'{concept_id(n)} version {v}' for n, v in partly)}"
    for name in ("events", "vectors", "evidence", "proposals"):
        missing = sequences.get(name, 0) - len(tables[name].rows) if not tables[name].whole else 0
        if missing > 0:
            yield f"up to {missing} row(s) of {name}"
    unknown = [name for name in _TABLES if not tables[name].whole and name not in sequences]
    if unknown:
        yield f"an unknown number of rows of {some(unknown)}"


def _by_name(table: Table) -> list[dict[str, Any]]:
    return [dict(zip(table.columns, row, strict=True)) for row in table.rows.values()]
