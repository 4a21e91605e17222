"""Concepts of a file, added in batches: what ``phronesis memory add --file`` does."""

from __future__ import annotations

import codecs
import sys
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import orjson
import typer
from pydantic import ValidationError

from phronesis.cli.plain import plain
from phronesis.core.concept import Concept
from phronesis.core.errors import ConfigurationError
from phronesis.memory.session import Memory
from phronesis.memory.writing import check_sizes

BATCH = 100
"""Concepts per transaction; their ids are printed once it is durable."""


def add_file(memory: Memory, path: Path, *, json: bool) -> int:
    """Adds the concepts of a JSONL file and prints an id a line, in the order of the lines; how many lines were bad.

    Bad lines (no JSON, no concept, too large) are named and left out. Raises ConfigurationError for a file that cannot be
    read."""
    try:
        lines = path.read_bytes().removeprefix(codecs.BOM_UTF8).split(b"\n")
    except OSError as error:
        raise ConfigurationError(f"cannot read {str(path)!r}: {error}", mend="check the path") from None
    bad: list[int] = []
    concepts = _concepts(path, lines, bad)
    added = 0
    while batch := list(islice(concepts, BATCH)):
        for name in memory.add(batch):
            typer.echo(orjson.dumps({"id": name}).decode() if json else name)
        added += len(batch)
        if sys.stderr.isatty() and not sys.stdout.isatty():  # on a terminal the ids show how far it is
            print(f"\r\x1b[K{added} of {len(lines)} lines", end="", file=sys.stderr, flush=True)
    if added and sys.stderr.isatty() and not sys.stdout.isatty():
        print(file=sys.stderr)
    return len(bad)


def _concepts(path: Path, lines: list[bytes], bad: list[int]) -> Iterator[Concept]:
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            found = orjson.loads(line)
            if not isinstance(found, dict):
                raise TypeError("the line is no JSON object")
            concept = Concept.model_validate({"source": "user", **found})
            check_sizes([concept])
        except (ConfigurationError, ValidationError, ValueError, TypeError) as error:
            typer.echo(f"phronesis: {path}:{number}: {_reason(error)}; the line is left out", err=True)
            bad.append(number)
            continue
        yield concept


def _reason(error: Exception) -> str:
    if isinstance(error, ConfigurationError):
        return error.message.replace("concept 1", "the concept", 1)
    if not isinstance(error, ValidationError):
        return plain(str(error), 300)
    first = error.errors()[0]
    return plain(": ".join([*map(str, first["loc"]), first["msg"]]), 300)
