"""Loading the examples that a request names: a known set, a generator, a file or a folder."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from pydantic import ValidationError

from phronesis.bench.dataset import DataSet, Example, check_ids
from phronesis.bench.sets.adapter import Adapter, Source
from phronesis.bench.sets.choosing import choose
from phronesis.bench.sets.files import data_file, read_rows
from phronesis.bench.sets.generated import find_generator, generator_names
from phronesis.bench.sets.known import FOR_VERIFIERS, KNOWN
from phronesis.bench.sets.own_rows import check_columns, own_example
from phronesis.bench.sets.places import known_rows
from phronesis.bench.sets.request import SetRequest
from phronesis.bench.sets.row import Row, nearest
from phronesis.core.errors import ConfigurationError
from phronesis.core.named import NamedSpec
from phronesis.core.settings import Settings


@dataclass(frozen=True, slots=True)
class _Found:
    rows: Sequence[Row]
    adapter: Adapter | None
    """None = rows of one's own."""
    folder: Path | None = None


def load_set(request: SetRequest, settings: Settings) -> DataSet:
    """The examples of a request, chosen and in order.

    Raises ConfigurationError that names file, row and field; only chosen rows are looked into."""
    found = _find(request, settings)
    if found.adapter is not None and request.columns:
        raise ConfigurationError(
            f"the columns of {request.spec!r} are known, and {next(iter(request.columns))!r} is named",
            mend="leave the columns out, or give the path of its file",
        )
    if found.adapter is None:
        check_columns(request.columns, found.rows, f"the set {request.spec!r}")
    examples = []
    places: dict[str, str] = {}
    for row in choose(found.rows, request):
        example = _example(row, found.adapter, request)
        if example.task.id in places:
            raise ConfigurationError(
                f"{row.where}: the id {example.task.id!r} stands at {places[example.task.id]} too",
                mend="give each row its own id",
            )
        places[example.task.id] = row.where
        examples.append(replace(example, grader=request.grader) if request.grader else example)
    check_ids(examples, f"the set {request.title!r}")
    return DataSet(request.title, tuple(examples), found.folder)


def _find(request: SetRequest, settings: Settings) -> _Found:
    path = Path(request.spec)
    spec = _named(request)
    if spec is not None and spec.name in FOR_VERIFIERS and not path.exists():
        raise ConfigurationError(
            f"{spec.name} {FOR_VERIFIERS[spec.name]}; no recipe answers it", mend=f"choose among {', '.join(KNOWN)}"
        )
    if spec is not None and spec.name in KNOWN and not (spec.options and spec.name in generator_names()):
        known = KNOWN[spec.name]
        options = spec.checked(known.options, what="set")
        rows, folder = known_rows(spec.name, settings)
        return _Found(rows, known.prepare(Source(rows, folder), options), folder)
    if spec is not None and spec.name in generator_names():
        entry = find_generator(spec.name)
        return _Found(entry.rows(spec.checked(entry.options, what="generator")), entry.adapter)
    if not path.exists():
        like_a_path = len(path.parts) > 1 or path.suffix
        hint = "check the path" if like_a_path else nearest(request.spec, [*KNOWN, *generator_names()])
        raise ConfigurationError(
            f"there is no data set {request.spec!r}: no known name, no generator, no file or folder", mend=hint
        )
    if request.options:
        raise ConfigurationError(f"the file {request.spec!r} takes no options", mend="leave the options out")
    file = data_file(path)
    return _Found(read_rows(file), None, file.parent)


def _named(request: SetRequest) -> NamedSpec | None:
    """The spec as a name with options; None when it can only be a path. Raises ConfigurationError for options twice."""
    head = request.spec.split("(")[0].strip()
    if not re.fullmatch(r"\w+", head, re.ASCII):
        return None
    known = head in KNOWN or head in FOR_VERIFIERS or head in generator_names()
    if not known and Path(request.spec).exists():
        return None
    spec = NamedSpec.parse(request.spec, what="data set")
    double = next((name for name in request.options if name in spec.options), None)
    if double is not None:
        raise ConfigurationError(f"{request.spec!r} and its options both set {double}", mend="leave one of them out")
    return NamedSpec(spec.name, {**spec.options, **request.options})


def _example(row: Row, adapter: Adapter | None, request: SetRequest) -> Example:
    if adapter is None:
        return own_example(row, request.columns, request.format)
    try:
        return adapter(row.fields)
    except ValidationError as error:
        said = error.errors()[0]["msg"]
    except KeyError as error:
        said = f"{error.args[0]!r} is missing"
    except (ValueError, TypeError) as error:
        said = str(error)
    raise ConfigurationError(
        f"{row.where}: {said}", mend=f"correct the row, or take another copy of {request.spec.split('(')[0]}"
    )
