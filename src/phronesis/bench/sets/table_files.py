"""Rows of tables: CSV, TSV, Parquet."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path

from phronesis.bench.sets.row import Row
from phronesis.core.errors import ConfigurationError, SetupError


def csv_rows(path: Path) -> Iterator[Row]:
    """Rows of comma-separated values under a line of names; empty cells are left out."""
    return _separated(path, ",")


def tsv_rows(path: Path) -> Iterator[Row]:
    """The same with tabs."""
    return _separated(path, "\t")


def _separated(path: Path, delimiter: str) -> Iterator[Row]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.reader(file, delimiter=delimiter, strict=True)
        line = 1
        try:
            names = [name.strip() for name in next(reader, [])]
            _check_names(names, path)
            line = reader.line_num + 1
            for cells in reader:
                if cells:
                    where = f"{path}:{line}"
                    if len(cells) != len(names):
                        raise ConfigurationError(
                            f"{where} has {len(cells)} cells under {len(names)} names", mend="quote cells with a comma"
                        )
                    fields = {name: cell for name, cell in zip(names, cells, strict=True) if cell != ""}
                    yield Row(fields, line, where)
                line = reader.line_num + 1
        except csv.Error as error:
            raise ConfigurationError(
                f"{path}:{line} is malformed: {error}", mend='write "" for a quote inside quotes, or use JSONL'
            ) from None
        except UnicodeDecodeError as error:
            raise ConfigurationError(
                f"{path}, in or after line {line}, is not UTF-8 (byte 0x{error.object[error.start]:02x})",
                mend="save the file as UTF-8",
            ) from None


def _check_names(names: list[str], path: Path) -> None:
    double = next((name for name in names if names.count(name) > 1), None)
    if double is not None:
        raise ConfigurationError(f"{path}:1 names two columns {double!r}", mend="give each column its own name")


def parquet_rows(path: Path) -> Iterator[Row]:
    """Rows of a Parquet file, batch by batch; empty cells are left out. Raises SetupError without pyarrow."""
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError:
        raise SetupError(
            f"{str(path)!r} is a Parquet file and pyarrow is not installed", mend="pip install 'phronesis[bench]'"
        ) from None
    number = 0
    try:
        with parquet.ParquetFile(path) as file:
            for batch in file.iter_batches():
                for fields in batch.to_pylist():
                    number += 1
                    kept = {str(name): value for name, value in fields.items() if value is not None}
                    yield Row(kept, number, f"{path}, row {number}")
    except pyarrow.ArrowException as error:
        first = str(error).splitlines()[0]
        raise ConfigurationError(
            f"{str(path)!r} is no Parquet file that can be read (after row {number}): {first}",
            mend="write it again, or use JSONL",
        ) from None
