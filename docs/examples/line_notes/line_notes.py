"""Line notes: a retriever over one text file, a passage a line. It finds the lines that share the most words with a query."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from phronesis.core.errors import ConfigurationError
from phronesis.core.retrieval import Passage, RetrieverEntry, SearchRequest
from phronesis.core.settings import Settings

_WORD = re.compile(r"\w+")


class LineNotesOptions(BaseModel):
    """What can be set."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    file: Path
    """A text file, UTF-8."""


def _words(text: str) -> set[str]:
    return set(_WORD.findall(text.casefold()))


@dataclass(frozen=True)
class LineNotes:
    """The lines of a file, as they were when it was opened."""

    passages: tuple[Passage, ...]
    fingerprint: str
    """Another one when a line changed: a run is not continued over other notes."""
    name: str = "line_notes"

    async def search(self, requests: Sequence[SearchRequest]) -> tuple[tuple[Passage, ...], ...]:
        return tuple(self._one(request) for request in requests)

    async def close(self) -> None:
        pass

    def _one(self, request: SearchRequest) -> tuple[Passage, ...]:
        asked = _words(request.query)
        scored = [
            passage.model_copy(update={"score": float(len(asked & _words(passage.text)))})
            for passage in self.passages
            if all(str(passage.facts.get(fact)) in allowed for fact, allowed in request.where.items())
        ]
        found = sorted((hit for hit in scored if hit.score), key=lambda hit: (-hit.score, hit.id))
        return tuple(found[: request.k])


def open_line_notes(options: LineNotesOptions, settings: Settings) -> LineNotes:
    try:
        text = options.file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(
            f"cannot read the notes {str(options.file)!r}: {error}", mend="check the path"
        ) from None
    passages, start, seen = [], 0, set[str]()
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip() and line not in seen:
            seen.add(line)
            place = {"source": options.file.name, "start": start, "end": start + len(line)}
            passages.append(Passage(id=f"line{number:05}", text=line, facts={"line": number}, **place))
        start += len(line) + 1
    return LineNotes(tuple(passages), hashlib.blake2b(text.encode(), digest_size=8).hexdigest())


ENTRY = RetrieverEntry(
    name="line_notes",
    summary="the lines of a text file that share the most words with the query",
    options=LineNotesOptions,
    open=open_line_notes,
)
