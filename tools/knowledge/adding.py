"""Brings files into a knowledge base: what is unchanged is left alone, what changed is replaced.

A file is done in one transaction; a JSONL file in one per ``ROWS`` rows, each row whole. After a kill the same call goes on.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import BinaryIO, Literal

import orjson

from phronesis.core.errors import ConfigurationError
from phronesis.tools.knowledge.chunking import OVERLAP, SIZE, check_chunking
from phronesis.tools.knowledge.cutting import chunks_of, document_hash, short_hash
from phronesis.tools.knowledge.decoding import check_encoding
from phronesis.tools.knowledge.documents import Document, Problem, Unreadable
from phronesis.tools.knowledge.fields import Fields, Reading
from phronesis.tools.knowledge.reading import content_hash, documents_of, kind_of, opened
from phronesis.tools.knowledge.rows import Taken, forget_documents, forget_file, keep_document
from phronesis.tools.knowledge.store import Store, changed, meta, now, set_meta
from phronesis.tools.knowledge.walking import Found

ROWS = 1000
"""Rows of a JSONL file per transaction."""
_READER = 1
"""Rises when reading or cutting changes, so that files are read again."""

Outcome = Literal["added", "changed", "unchanged", "failed"]
FileTold = Callable[[str, Outcome], None]
"""Hears the source of each file and what became of it, once that is durable."""


@dataclass
class AddReport:
    """What ``add`` did."""

    added: int = 0
    """Files."""
    changed: int = 0
    unchanged: int = 0
    documents: int = 0
    """Documents written, new or changed."""
    chunks: int = 0
    removed: int = 0
    """Documents that their file no longer holds."""
    embedded: int = 0
    """Chunks that got a vector."""
    passed: dict[str, int] = field(default_factory=dict)
    """Left out of folders, and why."""
    problems: list[Problem] = field(default_factory=list)


@dataclass(frozen=True)
class Chunking:
    """How a knowledge base cuts its documents; all of it alike."""

    size: int = SIZE
    overlap: int = OVERLAP


def settle_chunking(connection: sqlite3.Connection, name: str, size: int | None, overlap: int | None) -> Chunking:
    """The chunking of the knowledge base, its first one decided now. Raises ConfigurationError when another is asked for."""
    stands = meta(connection, "chunking")
    if stands is None:
        wide = SIZE if size is None else size
        wanted = Chunking(wide, min(OVERLAP, wide // 4) if overlap is None else overlap)
        check_chunking(wanted.size, wanted.overlap)
        return wanted
    kept = Chunking(*orjson.loads(stands))
    if (kept.size if size is None else size, kept.overlap if overlap is None else overlap) != (kept.size, kept.overlap):
        raise ConfigurationError(
            f"the knowledge base {name!r} has chunks of {kept.size} characters with an overlap of {kept.overlap}",
            mend=f"leave the sizes out, take another name, or begin anew: phronesis kb remove {name} --yes",
        )
    return kept


def add_files(
    store: Store, found: Found, reading: Reading, *, size: int | None, overlap: int | None, told: FileTold | None
) -> AddReport:
    """Adds what ``find_files`` found. A file that cannot be read is a problem of the report, and the others go on; what
    stands of it from before stays."""
    if reading.encoding is not None:
        check_encoding(reading.encoding)
    with store.writing() as connection:
        chunking = settle_chunking(connection, store.path.parent.name, size, overlap)
        set_meta(connection, "chunking", orjson.dumps([chunking.size, chunking.overlap]).decode())
    report = AddReport(passed=dict(found.passed), problems=list(found.problems))
    for path, source in found.files:
        outcome = _Adding(store, path, source, reading, chunking, report).run()
        if told is not None:
            told(source, outcome)
    return report


class _Adding:
    """One file on its way in."""

    def __init__(
        self, store: Store, path: Path, source: str, reading: Reading, chunking: Chunking, report: AddReport
    ) -> None:
        self._store, self._path, self._source = store, path, source
        self._reading, self._chunking, self._report = reading, chunking, report
        self._seen: set[str] = set()
        self._failed = False
        self._touched = False

    def run(self) -> Outcome:
        try:
            with opened(self._path) as file:
                outcome = self._run(file)
        except Unreadable as error:
            self._problem(Problem(str(self._path), str(error)))
            outcome = "failed"
        return outcome

    def _run(self, file: BinaryIO) -> Outcome:
        kind = kind_of(self._path) or "text"
        with self._store.reading() as connection:
            known = connection.execute(
                "SELECT hash, fields, origin FROM files WHERE source = ?", (self._source,)
            ).fetchone()
        if known is not None and known[2] != os.fsencode(self._path) and os.path.exists(known[2]):
            other = known[2].decode("utf-8", "replace")
            raise Unreadable(f"the source {self._source!r} is taken by {other}; add a folder that holds both")
        fields, encoding = self._settled(None if known is None else orjson.loads(known[1]))
        settled = [_READER, kind, fields.text, fields.title, fields.id, encoding]
        settled += [self._chunking.size, self._chunking.overlap]
        mark = short_hash(f"{content_hash(file)} {settled}", size=16)
        if known is not None and known[0] == mark:
            self._report.unchanged += 1
            return "unchanged"
        items = documents_of(file, kind, self._source, fields, encoding=encoding, most=self._reading.max_bytes)
        written = orjson.dumps([fields.text, fields.title, fields.id, encoding]).decode()
        self._write(items, written, mark)
        if not self._seen:
            return "failed"
        if known is None:
            self._report.added += 1
            return "added"
        self._report.changed += self._touched
        self._report.unchanged += not self._touched
        return "changed" if self._touched else "unchanged"

    def _settled(self, last: list[str | None] | None) -> tuple[Fields, str | None]:
        """Fields and encoding: as asked, else as the file was read the last time."""
        plain = Fields()
        text, title, id_, encoding = last or [plain.text, plain.title, plain.id, None]
        asked = self._reading
        fields = Fields(
            asked.text or text or plain.text, asked.title or title or plain.title, asked.id or id_ or plain.id
        )
        return fields, asked.encoding or encoding

    def _write(self, items: Iterator[Document | Problem], fields: str, mark: str) -> None:
        """Batch by batch; the file's mark comes with the last, so that a killed attempt is gone on with."""
        while True:
            batch = list(islice(items, ROWS))
            with self._store.writing() as connection:
                before = connection.total_changes
                for item in batch:
                    self._take(connection, item, fields)
                if len(batch) < ROWS:
                    self._finish(connection, mark)
                if connection.total_changes > before:
                    changed(connection)
            if len(batch) < ROWS:
                return

    def _take(self, connection: sqlite3.Connection, item: Document | Problem, fields: str) -> None:
        if isinstance(item, Problem):
            self._problem(item)
            return
        if item.source in self._seen:
            self._problem(Problem(item.source, f"the id {item.id!r} stands in the file twice; the first one is kept"))
            return
        file = self._file(connection, fields)
        pieces = chunks_of(item, size=self._chunking.size, overlap=self._chunking.overlap)
        try:
            wrote = keep_document(connection, file, item, document_hash(item), pieces)
        except Taken as taken:
            self._problem(Problem(item.source, str(taken)))
            return
        self._seen.add(item.source)
        if wrote:
            self._touched = True
            self._report.documents += 1
            self._report.chunks += len(pieces)

    def _file(self, connection: sqlite3.Connection, fields: str) -> int:
        connection.execute(
            "INSERT INTO files (source, origin, hash, fields, added) VALUES (?, ?, '', ?, ?) ON CONFLICT (source) DO "
            "UPDATE SET origin = excluded.origin, fields = excluded.fields "
            "WHERE origin != excluded.origin OR fields != excluded.fields",
            (self._source, os.fsencode(self._path), fields, now()),
        )
        row = connection.execute("SELECT number FROM files WHERE source = ?", (self._source,)).fetchone()
        return int(row[0])

    def _finish(self, connection: sqlite3.Connection, mark: str) -> None:
        """Takes out what the file no longer holds; only a file without problems is passed over the next time."""
        row = connection.execute("SELECT number FROM files WHERE source = ?", (self._source,)).fetchone()
        if row is None:
            return
        if not self._seen:  # all its ids are taken, or what was read of it before is still the best there is
            connection.execute("DELETE FROM files WHERE number = ? AND number NOT IN (SELECT file FROM documents)", row)
            return
        gone = [
            int(number)
            for number, source in connection.execute("SELECT number, source FROM documents WHERE file = ?", row)
            if source not in self._seen
        ]
        forget_documents(connection, gone)
        self._report.removed += len(gone)
        self._touched = self._touched or bool(gone)
        mark = "" if self._failed else mark
        connection.execute("UPDATE files SET hash = ? WHERE number = ? AND hash != ?", (mark, row[0], mark))

    def _problem(self, problem: Problem) -> None:
        self._failed = True
        self._report.problems.append(problem)


def remove_sources(store: Store, sources: Sequence[str]) -> dict[str, int]:
    """Deletes files, or single rows of a JSONL file, by source; how many documents each had. Raises ConfigurationError
    that names an unknown one, and then deletes nothing."""
    removed: dict[str, int] = {}
    with store.writing() as connection:
        for source in dict.fromkeys(sources):
            file = connection.execute("SELECT number FROM files WHERE source = ?", (source,)).fetchone()
            if file is not None:
                removed[source] = forget_file(connection, int(file[0]))
                continue
            row = connection.execute("SELECT number, file FROM documents WHERE source = ?", (source,)).fetchone()
            if row is None:
                name = store.path.parent.name
                raise ConfigurationError(
                    f"the knowledge base {name!r} has no source {source!r}", mend=f"phronesis kb list {name}"
                )
            forget_documents(connection, [int(row[0])])
            connection.execute(
                "UPDATE files SET hash = '' WHERE number = ?", (row[1],)
            )  # adding it again brings it back
            removed[source] = 1
        changed(connection)
    return removed
