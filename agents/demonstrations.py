"""Demonstrations: questions answered with their documents, that stand before a task's own (DRAG, arXiv 2410.04343)."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import orjson
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from phronesis.agents.passages import numbered
from phronesis.core.errors import ConfigurationError
from phronesis.core.retrieval import Passage


class _Value(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ShownPassage(_Value):
    """A passage as a demonstration shows it."""

    text: str = Field(min_length=1)
    title: str = ""
    id: str = ""


def _as_passage(value: Any) -> Any:
    """A plain text is a passage without a title."""
    return {"text": value} if isinstance(value, str) else value


class SubAnswer(_Value):
    """A pair of a trace."""

    query: str = Field(min_length=1)
    """What was searched for."""
    answer: str = Field(min_length=1)
    """What was found out."""


class Demonstration(_Value):
    """One line of a file of demonstrations."""

    question: str = Field(min_length=1)
    passages: tuple[Annotated[ShownPassage, BeforeValidator(_as_passage)], ...] = ()
    """Best first."""
    trace: tuple[SubAnswer, ...] = ()
    """What ``iterdrag`` shows between question and answer."""
    answer: str = Field(min_length=1)
    id: str = ""
    """The task it was made of."""

    def documents(self, k: int | None, *, characters: int) -> str:
        """At most k of its passages by number, in reverse order of rank; None = all."""
        shown = [
            Passage(id=item.id or str(number), text=item.text, title=item.title)
            for number, item in enumerate(self.passages[:k])
        ]
        return numbered(shown, characters=characters, best_last=True)


@dataclass(frozen=True, slots=True)
class Demonstrations:
    """A file of demonstrations, read."""

    path: str
    hash: str
    """16 hex digits over the file's bytes."""
    items: tuple[Demonstration, ...]

    def first(self, m: int) -> tuple[Demonstration, ...]:
        """The first m, in the order of the file. Raises ConfigurationError when there are fewer."""
        if m > len(self.items):
            raise ConfigurationError(
                f"{self.path!r} holds {len(self.items)} demonstrations, and m = {m}",
                mend=f"--set knobs.m={len(self.items)}, or make more: phronesis demos make --help",
            )
        return self.items[:m]


def read_demonstrations(path: str) -> Demonstrations:
    """The demonstrations of a JSONL file; empty lines are passed over. Raises ConfigurationError naming file and line."""
    try:
        whole = Path(path).read_bytes()
    except OSError as error:
        raise ConfigurationError(
            f"cannot read the demonstrations {path!r}: {error.strerror}",
            mend="make some: phronesis demos make RECIPE DATASET --out FILE",
        ) from None
    found = []
    for number, line in enumerate(whole.split(b"\n"), start=1):
        if line.strip():
            found.append(_demonstration(line, f"{path}:{number}"))
    return Demonstrations(path, hashlib.blake2b(whole, digest_size=8).hexdigest(), tuple(found))


def _demonstration(line: bytes, where: str) -> Demonstration:
    try:
        return Demonstration.model_validate(orjson.loads(line))
    except orjson.JSONDecodeError as error:
        raise ConfigurationError(f"{where} is not JSON: {error}", mend="one JSON object a line") from None
    except ValidationError as error:
        first = error.errors()[0]
        named = ".".join(str(part) for part in first["loc"])
        raise ConfigurationError(
            f"{where}: {named}: {first['msg']}" if named else f"{where}: {first['msg']}",
            mend='write {"question": ..., "passages": [...], "trace": [{"query": ..., "answer": ...}], "answer": ...}',
        ) from None


def rendered(
    items: Sequence[Demonstration],
    answered: Callable[[Demonstration], str],
    *,
    k: int | None,
    characters: int,
) -> str:
    """The examples one after another: documents, question, and what ``answered`` makes of the rest."""
    blocks = []
    for number, item in enumerate(items, start=1):
        documents = item.documents(k, characters=characters)
        parts = [f"Example {number}", documents, f"Question: {item.question.strip()}\n{answered(item)}"]
        blocks.append("\n\n".join(part for part in parts if part))
    return "\n\n".join([*blocks, "Now the task."]) if blocks else ""
