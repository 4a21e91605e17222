"""The statements that write and delete documents, chunks and vectors; each inside a transaction of its caller."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

import orjson

from phronesis.tools.knowledge.cutting import Chunk
from phronesis.tools.knowledge.documents import Document
from phronesis.tools.knowledge.store import now


class Taken(Exception):
    """Another document has this id; the message says which. Never leaves this package."""


def keep_document(
    connection: sqlite3.Connection, file: int, document: Document, mark: str, chunks: Sequence[Chunk]
) -> bool:
    """Writes a document in place of the one with its source; False = that one has the same mark, nothing changes.

    Chunks whose id, title and text stay keep their vectors. Raises Taken before anything is written."""
    row = connection.execute("SELECT number, hash FROM documents WHERE source = ?", (document.source,)).fetchone()
    if row is not None and row[1] == mark:
        return False
    _check_free(connection, -1 if row is None else int(row[0]), document, chunks)
    facts = orjson.dumps(dict(document.facts), option=orjson.OPT_SORT_KEYS).decode()
    values = (file, document.id, mark, document.title, facts, document.text, now(), document.source)
    if row is None:
        cursor = connection.execute(
            "INSERT INTO documents (file, id, hash, title, facts, text, added, source) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            values,
        )
        number = int(cursor.lastrowid or 0)
    else:
        number = int(row[0])
        connection.execute(
            "UPDATE documents SET file = ?, id = ?, hash = ?, title = ?, facts = ?, text = ?, added = ? WHERE source = ?",
            values,
        )
    _keep_chunks(connection, number, chunks)
    return True


def _check_free(connection: sqlite3.Connection, number: int, document: Document, chunks: Sequence[Chunk]) -> None:
    if document.id is None:
        return  # ids of its chunks hold its source
    for chunk in chunks:
        row = connection.execute(
            "SELECT documents.number, documents.source FROM chunks JOIN documents ON documents.number = chunks.document "
            "WHERE chunks.id = ?",
            (chunk.id,),
        ).fetchone()
        if row is not None and row[0] != number:
            raise Taken(f"the id {chunk.id!r} is taken by {row[1]!r}")


def _keep_chunks(connection: sqlite3.Connection, number: int, chunks: Sequence[Chunk]) -> None:
    held = {
        (id_, title, digest): (int(chunk), start, end, page)
        for chunk, id_, title, digest, start, end, page in connection.execute(
            "SELECT number, id, title, digest, start, end, page FROM chunks WHERE document = ?", (number,)
        )
    }
    wanted = {(chunk.id, chunk.title, chunk.digest): chunk for chunk in chunks}
    forget_chunks(connection, [place[0] for key, place in held.items() if key not in wanted])
    for key, chunk in wanted.items():
        if key not in held:
            connection.execute(
                "INSERT INTO chunks (id, document, start, end, title, page, digest, text) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                (chunk.id, number, chunk.start, chunk.end, chunk.title, chunk.page, chunk.digest, chunk.text),
            )
        elif held[key][1:] != (chunk.start, chunk.end, chunk.page):
            connection.execute(
                "UPDATE chunks SET start = ?, end = ?, page = ? WHERE number = ?",
                (chunk.start, chunk.end, chunk.page, held[key][0]),
            )


def forget_chunks(connection: sqlite3.Connection, numbers: Sequence[int]) -> None:
    rows = [(number,) for number in numbers]
    connection.executemany(
        "DELETE FROM vectors WHERE chunk = ? AND fingerprint IN (SELECT number FROM fingerprints)", rows
    )
    connection.executemany("DELETE FROM chunks WHERE number = ?", rows)


def forget_documents(connection: sqlite3.Connection, numbers: Sequence[int]) -> None:
    for number in numbers:
        chunks = connection.execute("SELECT number FROM chunks WHERE document = ?", (number,)).fetchall()
        forget_chunks(connection, [int(row[0]) for row in chunks])
        connection.execute("DELETE FROM documents WHERE number = ?", (number,))


def forget_file(connection: sqlite3.Connection, number: int) -> int:
    """Deletes a file with its documents; how many it had."""
    rows = connection.execute("SELECT number FROM documents WHERE file = ?", (number,)).fetchall()
    forget_documents(connection, [int(row[0]) for row in rows])
    connection.execute("DELETE FROM files WHERE number = ?", (number,))
    return len(rows)
