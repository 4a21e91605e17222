"""JSONL: each line a document with its own facts, and mostly its own id."""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO

import orjson

from phronesis.tools.knowledge.documents import Document, Problem, Scalar, Unreadable, normalised
from phronesis.tools.knowledge.fields import Fields

LONGEST_ID = 200
_PROBE = 4096
"""Bytes that tell a binary file."""


def rows_of(file: BinaryIO, source: str, fields: Fields, *, most: int) -> Iterator[Document | Problem]:
    """The documents of the lines, and what is wrong with the others. ``most``: bytes a line may have."""
    start = file.read(_PROBE)
    if b"\0" in start:
        yield Problem(source, f"binary: byte {start.index(0)} is zero")
        return
    file.seek(0)
    number = 0
    while line := file.readline(most + 1):
        number += 1
        if len(line) > most:
            while not line.endswith(b"\n") and (line := file.readline(most)):
                pass
            yield Problem(f"{source}:{number}", f"more than {most:,} bytes; --max-bytes allows more")
            continue
        if number == 1:
            line = line.removeprefix(b"\xef\xbb\xbf")
        if not line.strip():
            continue
        try:
            yield _row(line, source, number, fields)
        except Unreadable as error:
            yield Problem(f"{source}:{number}", str(error))


def _row(line: bytes, source: str, number: int, fields: Fields) -> Document:
    try:
        row = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        raise Unreadable(f"no JSON: {error}") from None
    if not isinstance(row, dict):
        raise Unreadable("no JSON object")
    text = row.get(fields.text)
    if not isinstance(text, str):
        known = ", ".join(repr(name) for name in list(row)[:8])
        missing = "no field" if fields.text not in row else "no text in the field"
        raise Unreadable(f"{missing} {fields.text!r} (it has {known or 'none'}); --text names another")
    if not text.strip():
        raise Unreadable("empty")
    id_ = _id(row.get(fields.id), fields.id)
    title = row.get(fields.title)
    taken = (fields.text, fields.title, fields.id)
    facts: dict[str, Scalar] = {
        normalised(name): normalised(value) if isinstance(value, str) else value
        for name, value in row.items()
        if name not in taken and isinstance(value, str | int | float | bool)
    }
    if id_ is not None:
        facts["id"] = id_
    return Document(
        source=f"{source}#{number if id_ is None else id_}",
        text=normalised(text),
        title=" ".join(normalised(title).split()) if isinstance(title, str) else "",
        id=id_,
        facts=facts,
    )


def _id(value: object, name: str) -> str | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise Unreadable(f"the field {name!r} is no id: {str(value)[:40]!r}")
    found = " ".join(normalised(str(value)).split())
    if not 0 < len(found) <= LONGEST_ID:
        raise Unreadable(f"the id in {name!r} has {len(found)} characters, not 1 to {LONGEST_ID}")
    return found
