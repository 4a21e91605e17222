"""Examples as rows that are read back as the same examples."""

from __future__ import annotations

import json
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

from phronesis.bench.dataset import Example
from phronesis.core.errors import ConfigurationError, JournalUnwritable
from phronesis.core.lines import FULL


def row_of(example: Example) -> dict[str, Any]:
    """The row of an example; ``own_example`` gives the example back."""
    task = example.task
    row: dict[str, Any] = {"id": task.id}
    if len(task.messages) == 1:
        row["question"] = task.messages[0].content
    else:
        row["messages"] = [message.model_dump() for message in task.messages]
    optional = {
        "context": task.context,
        "answer_format": task.answer_format,
        "grader": example.grader,
        "group": example.group,
        "cluster": example.cluster,
    }
    return {**row, "gold": example.gold, **{k: v for k, v in optional.items() if v}, "facts": dict(example.facts)}


def write_rows(examples: Iterable[Example], path: Path) -> None:
    """Writes a JSONL file, whole or not at all. Raises JournalUnwritable when the disk is full, else ConfigurationError."""
    new = path.with_name(f".{path.name}.new")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with new.open("w", encoding="utf-8", newline="\n") as file:
            for example in examples:
                file.write(json.dumps(row_of(example), ensure_ascii=False, default=str) + "\n")
        new.replace(path)
    except OSError as error:
        with suppress(OSError):
            new.unlink()
        if error.errno in FULL:
            raise JournalUnwritable(f"the disk is full: {str(path)!r}", mend="free some space") from None
        raise ConfigurationError(f"cannot write {str(path)!r}: {error.strerror}", mend="choose another --out") from None
