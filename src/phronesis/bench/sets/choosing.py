"""Which rows of a set are used, and in what order."""

from __future__ import annotations

import random
from collections.abc import Sequence

from phronesis.bench.sets.request import SetRequest
from phronesis.bench.sets.row import Row, nearest, shown
from phronesis.core.errors import ConfigurationError
from phronesis.core.seeds import generator


def choose(rows: Sequence[Row], request: SetRequest) -> list[Row]:
    """The rows that ``where``, ``sample`` and ``limit`` leave, in their order or shuffled.

    Raises ConfigurationError for a field that no row has, with the nearest, and for a value that leaves nothing."""
    kept = list(rows)
    for name, values in request.where.items():
        kept = _with_value(kept, name, values)
    if request.sample is not None and request.sample < len(kept):
        chosen = sorted(random.Random(request.seed).sample(range(len(kept)), request.sample))
        kept = [kept[index] for index in chosen]
    if request.shuffle is not None:
        generator(request.shuffle, "shuffle").shuffle(kept)
    return kept[: request.limit]


def _with_value(rows: list[Row], name: str, values: Sequence[str]) -> list[Row]:
    known = {key for row in rows for key in row.fields}
    if name not in known:
        raise ConfigurationError(f"where: no row has the field {name!r}", mend=nearest(name, sorted(known)))
    kept = [row for row in rows if shown(row.fields.get(name)) in values]
    if not kept:
        there = sorted({shown(row.fields.get(name)) for row in rows})
        more = ", ..." if len(there) > 10 else ""
        raise ConfigurationError(
            f"where: no row has {name} = {' or '.join(values)}", mend=f"it has {', '.join(there[:10])}{more}"
        )
    return kept
