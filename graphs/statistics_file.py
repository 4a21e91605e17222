"""The file of statistics in the home folder: SQLite, opened for one question or one change."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from phronesis.core.errors import ConceptStoreError, PhronesisError, SetupError

_UNWRITABLE = ("full", "disk I/O", "readonly", "unable to open")


@contextmanager
def statistics_file(path: Path, table: str) -> Iterator[sqlite3.Connection]:
    """A connection to a file that has the table; changes are kept, all of them, when the block ends well.

    Raises SetupError where the file cannot be written, ConceptStoreError where it is locked or damaged."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with closing(sqlite3.connect(path, timeout=10)) as connection, connection:
            connection.execute(table)
            yield connection
    except sqlite3.Error as error:
        raise _explained(path, str(error)) from None
    except OSError as error:
        raise SetupError(f"cannot create {str(path.parent)!r}: {error}", mend="set PHRONESIS_HOME") from None


def _explained(path: Path, text: str) -> PhronesisError:
    if any(word in text for word in _UNWRITABLE):
        return SetupError(
            f"cannot write the statistics {str(path)!r}: {text}",
            mend="check space and rights of the folder, or set PHRONESIS_HOME",
        )
    if "locked" in text:
        return ConceptStoreError(f"another process is writing to {str(path)!r}", mend="try again")
    return ConceptStoreError(
        f"cannot read the statistics {str(path)!r}: {text}", mend="delete the file; it is filled again as runs end"
    )
