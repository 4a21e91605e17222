"""Runs queries on a database that they cannot change, and compares what they bring. The text of this file is also run
in a child process, after ``tools/sqlite_reading``: beside it, it imports the standard library only."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

from phronesis.tools.sqlite_reading import open_database, rows_of

_MOST_ROWS = 100_000
"""Rows of a gold result; more are not compared."""
_MOST_COLUMNS = 6
"""Columns whose order is tried."""


def carry_out(job: dict[str, Any]) -> dict[str, Any]:
    """``job``: ``dump`` or ``path``, ``gold``, ``predicted``, ``ordered``, ``any_order`` of columns, ``seconds`` a
    query.

    Returns ``same``, ``rows`` (of the prediction, no more than one past the gold's) and ``error`` of the prediction; an
    error of the gold query stands under ``gold_error``."""
    connection = open_database(job["dump"], job["path"])
    try:
        gold = rows_of(connection, job["gold"], job["seconds"], _MOST_ROWS)
    except Exception as error:
        return {"same": False, "rows": 0, "error": "", "gold_error": f"{type(error).__name__}: {error}"[:300]}
    try:
        found = rows_of(connection, job["predicted"], job["seconds"], len(gold) + 1)
    except Exception as error:
        return {"same": False, "rows": 0, "error": f"{type(error).__name__}: {error}"[:300]}
    return {
        "same": same_result(gold, found, ordered=job["ordered"], any_order=job["any_order"]),
        "rows": len(found),
        "error": "",
    }


def same_result(gold: list[tuple[Any, ...]], found: list[tuple[Any, ...]], *, ordered: bool, any_order: bool) -> bool:
    """Whether two results hold the same rows: as lists, or as multisets. Floats count to nine digits, and 1 equals 1.0.

    ``any_order``: some order of the columns must do, where there are no more than six."""
    if len(gold) != len(found):
        return False
    if not gold:
        return True
    left, right = [_plain(row) for row in gold], [_plain(row) for row in found]
    width = len(left[0])
    if width != len(right[0]):
        return False
    orders = _orders(left, right, width) if any_order and width <= _MOST_COLUMNS else iter([tuple(range(width))])
    for order in orders:
        turned = [tuple(row[column] for column in order) for row in right]
        if turned == left if ordered else Counter(turned) == Counter(left):
            return True
    return False


def _orders(left: list[tuple[Any, ...]], right: list[tuple[Any, ...]], width: int) -> Iterator[tuple[int, ...]]:
    """Orders of the right side's columns in which each holds the values of the left side's column at its place."""
    wanted = [Counter(row[column] for row in left) for column in range(width)]
    given = [Counter(row[column] for row in right) for column in range(width)]
    fits = [[at for at in range(width) if given[at] == wanted[column]] for column in range(width)]

    def further(chosen: tuple[int, ...]) -> Iterator[tuple[int, ...]]:
        if len(chosen) == width:
            yield chosen
            return
        for at in fits[len(chosen)]:
            if at not in chosen:
                yield from further((*chosen, at))

    return further(())


def _plain(row: tuple[Any, ...]) -> tuple[Any, ...]:
    return tuple(float(f"{value:.9g}") if isinstance(value, float) else value for value in row)
