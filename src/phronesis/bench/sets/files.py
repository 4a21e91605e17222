"""Rows from files: JSONL, JSON lists, CSV, TSV and Parquet."""

from __future__ import annotations

import codecs
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from phronesis.bench.sets.row import Row
from phronesis.bench.sets.table_files import csv_rows, parquet_rows, tsv_rows
from phronesis.core.errors import ConfigurationError

_PREFERRED = ("dev.jsonl", "test.jsonl")


def read_rows(path: Path) -> list[Row]:
    """The rows of a file, or of a folder's data file, in order.

    Raises ConfigurationError that names file and row: unreadable, not UTF-8, malformed, without a single row; SetupError
    when a Parquet file wants pyarrow and it is not installed."""
    file = data_file(path)
    reader = _READERS.get(file.suffix.lower())
    if reader is None:
        raise ConfigurationError(
            f"{str(file)!r} is no data file ({file.suffix or 'no suffix'})", mend=f"give one of {', '.join(_READERS)}"
        )
    try:
        found = list(reader(file))
    except OSError as error:
        raise ConfigurationError(
            f"cannot read the data set {str(file)!r}: {error.strerror or error}", mend="check the path and its rights"
        ) from None
    if not found:
        raise ConfigurationError(f"{str(file)!r} holds no row", mend="one question a row: question, gold, id")
    return found


def data_file(path: Path) -> Path:
    """The file itself; of a folder ``dev.jsonl``, else ``test.jsonl``, else its only data file. Raises ConfigurationError."""
    if not path.exists():
        raise ConfigurationError(f"there is no file or folder {str(path)!r}", mend="check the path")
    if not path.is_dir():
        return path
    for name in _PREFERRED:
        if (path / name).is_file():
            return path / name
    try:
        found = sorted(item for item in path.iterdir() if item.suffix.lower() in _READERS and item.is_file())
    except OSError as error:
        raise ConfigurationError(f"cannot read {str(path)!r}: {error.strerror}", mend="check its rights") from None
    if len(found) == 1:
        return found[0]
    if not found:
        raise ConfigurationError(f"the folder {str(path)!r} holds no data file", mend=f"put {_PREFERRED[0]} into it")
    names = ", ".join(item.name for item in found[:6])
    raise ConfigurationError(f"the folder {str(path)!r} holds several data files: {names}", mend="name one of them")


def _jsonl_rows(path: Path) -> Iterator[Row]:
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            where = f"{path}:{number}"
            text = decoded(line.removeprefix(codecs.BOM_UTF8) if number == 1 else line, where)
            if not text.strip():
                continue
            yield Row(_object(_json(text, where), where), number, where)


def _json_rows(path: Path) -> Iterator[Row]:
    """A list of objects, or an object with one such list in it."""
    whole = _json(decoded(path.read_bytes().removeprefix(codecs.BOM_UTF8), str(path)), str(path))
    lists = [value for value in whole.values() if isinstance(value, list)] if isinstance(whole, dict) else [whole]
    if len(lists) != 1 or not isinstance(lists[0], list):
        raise ConfigurationError(f"{str(path)!r} is no JSON list of rows", mend="write [{...}, ...], or JSONL")
    for number, value in enumerate(lists[0], start=1):
        where = f"{path}, row {number}"
        yield Row(_object(value, where), number, where)


def _json(text: str, where: str) -> Any:
    """A JSON value; whole numbers of any size stay exact."""
    try:
        return json.loads(text, parse_constant=_no_number)
    except (ValueError, RecursionError) as error:
        raise ConfigurationError(f"{where} is not JSON: {error}", mend="one JSON object a row") from None


def _no_number(name: str) -> Any:
    raise ValueError(f"{name} is no JSON number")


def _object(value: Any, where: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ConfigurationError(f"{where} is no object but {type(value).__name__}", mend="one JSON object a row")
    return value


def decoded(line: bytes, where: str) -> str:
    """The line as text. Raises ConfigurationError naming the byte that is not UTF-8."""
    try:
        return line.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ConfigurationError(
            f"{where} is not UTF-8 (byte 0x{line[error.start]:02x} at {error.start + 1})", mend="save the file as UTF-8"
        ) from None


_READERS: dict[str, Callable[[Path], Iterator[Row]]] = {
    ".jsonl": _jsonl_rows,
    ".ndjson": _jsonl_rows,
    ".json": _json_rows,
    ".csv": csv_rows,
    ".tsv": tsv_rows,
    ".parquet": parquet_rows,
}
