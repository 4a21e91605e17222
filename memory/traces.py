"""Where else a text stands: rows of a ledger, other memories, files beside the ledger, run folders. Only reads."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

import orjson

from phronesis.core.settings import Settings
from phronesis.memory.ledger import FILE_NAME
from phronesis.memory.quotations import Quotation
from phronesis.memory.reading import concept_id, concept_number
from phronesis.memory.receipts import NotReached, QuotingJournal
from phronesis.memory.revisions import is_erased

Progress = Callable[[str], None]
"""Is told what is being searched."""
_CHUNK = 1 << 20
_OVERLAP = 1 << 12
"""Longer than what a quotation is recognised by."""
_OWN = frozenset({FILE_NAME, f"{FILE_NAME}-wal", f"{FILE_NAME}-shm"})


class Elsewhere(NamedTuple):
    """What quotes, outside the memory's own rows."""

    places: tuple[NotReached, ...]
    journals: tuple[QuotingJournal, ...]


def search_elsewhere(folder: Path, quotation: Quotation, progress: Progress) -> Elsewhere:
    """Everything beside the ledger in ``folder`` that quotes: files there, other memories, run folders of this home."""
    settings = Settings(home=folder.parent.parent)
    places = [*_files_beside(folder, quotation), *_other_memories(folder, quotation, progress)]
    return Elsewhere(tuple(places), tuple(_journals(settings.runs, quotation, progress)))


def quoting_rows(connection: sqlite3.Connection, quotation: Quotation) -> dict[str, set[str]]:
    """Table -> names of the rows with a text that quotes; a row that belongs to a concept goes by its id."""
    tables = connection.execute(
        "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%' AND sql NOT LIKE '%VIRTUAL%'"
    ).fetchall()
    found: dict[str, set[str]] = {}
    for (table,) in tables:
        columns = connection.execute(f'PRAGMA table_info("{table}")').fetchall()
        texts = [str(column[1]) for column in columns if column[2] == "TEXT"]
        owner = next(("concept" for column in columns if column[1] == "concept"), "NULL")
        if not texts:
            continue
        chosen = ", ".join(f'"{name}"' for name in texts)
        for row, concept, *values in connection.execute(f'SELECT rowid, {owner}, {chosen} FROM "{table}"'):
            if any(value is not None and in_value(str(value), quotation) for value in values):
                found.setdefault(table, set()).add(str(row) if concept is None else concept_id(concept))
    return found


def in_value(value: str, quotation: Quotation) -> bool:
    """Whether a column's text quotes; JSON is read as JSON."""
    if not quotation.may_be_in(value):
        return False
    if value[:1] in ("{", "["):
        try:
            return quotation.in_json(orjson.loads(value))
        except ValueError:
            pass
    return quotation.in_text(value)


def _other_memories(folder: Path, quotation: Quotation, progress: Progress) -> Iterator[NotReached]:
    for path in sorted(folder.parent.glob(f"*/{FILE_NAME}")):
        if path.parent == folder:
            continue
        name = path.parent.name
        progress(f"memory {name!r}")
        place = f"memory {name!r}"
        try:
            with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as connection:
                found = quoting_rows(connection, quotation)
        except sqlite3.Error as error:
            mend = f"phronesis memory verify --session {name}, then erase again"
            yield NotReached(place=place, why=f"it cannot be read: {error}", mend=mend)
            continue
        yield from _told(place, name, found)


def _told(place: str, name: str, found: Mapping[str, set[str]]) -> Iterator[NotReached]:
    if not found:
        return
    owners = sorted(
        {row for rows in found.values() for row in rows if row.startswith("c")}, key=lambda row: int(row[1:])
    )
    tables = ", ".join(f"{table} ({len(rows)})" for table, rows in sorted(found.items()))
    if owners:
        shown = " ".join(owners)
        why = f"{', '.join(owners)} of it quote the text: {tables}"
        mend = f"phronesis memory forget --erase --session {name} {shown}"
        yield NotReached(place=place, why=why, mend=mend, session=name, ids=tuple(owners))
    else:
        yield NotReached(
            place=place, why=f"it quotes the text: {tables}", mend=f"delete the rows, or the memory {name!r}"
        )


def still_there(folder: Path, place: NotReached) -> bool:
    """Whether a place that was found earlier is still to be mended, as far as that shows without the text."""
    if not place.session:
        return not place.place.startswith("/") or Path(place.place).exists()
    path = folder.with_name(place.session) / FILE_NAME
    if not path.is_file():
        return False
    try:
        with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as connection:
            return any(not erased(connection, concept_number(name)) for name in place.ids)
    except sqlite3.Error:
        return True


def erased(connection: sqlite3.Connection, number: int) -> bool:
    row = connection.execute("SELECT content_hash FROM concepts WHERE number = ?", (number,)).fetchone()
    return row is None or is_erased(str(row[0]))


def left_over(connection: sqlite3.Connection, name: str, quotation: Quotation) -> list[NotReached]:
    """What still quotes in the memory's own ledger: concepts that share a text with the erased ones, and their history."""
    return list(_told(f"memory {name!r} itself", name, quoting_rows(connection, quotation)))


def _files_beside(folder: Path, quotation: Quotation) -> Iterator[NotReached]:
    for path in sorted(folder.iterdir()):
        if path.name not in _OWN and path.is_file() and _file_quotes(path, quotation):
            mend = f"delete {str(path)!r} if it is not needed"
            yield NotReached(place=str(path), why="a file beside the ledger quotes the text", mend=mend)


def _file_quotes(path: Path, quotation: Quotation) -> bool:
    """Whether a file of any kind quotes; read in pieces."""
    with path.open("rb") as file:
        if file.read(16).startswith(b"SQLite format 3"):
            try:
                with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro&immutable=1", uri=True)) as connection:
                    return bool(quoting_rows(connection, quotation))
            except sqlite3.Error:
                pass  # damaged: its bytes are looked at
        file.seek(0)
        tail = b""
        while block := file.read(_CHUNK):
            text = (tail + block).decode("utf-8", "replace")
            if quotation.may_be_in(text) and quotation.in_text(text):
                return True
            tail = block[-_OVERLAP:]
    return False


def _journals(runs: Path, quotation: Quotation, progress: Progress) -> Iterator[QuotingJournal]:
    folders = sorted(path for path in runs.iterdir() if path.is_dir()) if runs.is_dir() else []
    for place, folder in enumerate(folders, start=1):
        progress(f"run folders: {place} of {len(folders)}")
        for path in sorted(folder.rglob("*")):
            if path.is_file() and _lines_quote(path, quotation):
                yield journal(folder.name, path)
                break


def journal(run: str, path: Path) -> QuotingJournal:
    return QuotingJournal(run=run, path=str(path), command=f"phronesis runs prune {run}")


def _lines_quote(path: Path, quotation: Quotation) -> bool:
    """Whether a text in the JSON of any line quotes; a line that is no JSON (a torn one) is read as text."""
    try:
        with path.open("rb") as file:
            return any(in_value(line.decode("utf-8", "replace"), quotation) for line in file)
    except OSError:  # pruned meanwhile
        return False
