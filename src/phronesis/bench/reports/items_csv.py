"""Every item as a line of a CSV file, for spreadsheets and data frames."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence

from phronesis.bench.reports.svg import visible
from phronesis.bench.running.item import Item

COLUMNS = (
    "set", "arm", "repeat", "task", "group", "status", "correct", "score", "parsed", "answer", "gold", "attempts", "stop",
    "depth", "calls", "prompt_tokens", "tokens", "sequential_tokens", "seconds", "run",
)  # fmt: skip


def items_csv(items: Sequence[Item]) -> str:
    """The file's text. Answers that a spreadsheet would run as a formula have an apostrophe before them."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(COLUMNS)
    for item in items:
        writer.writerow(
            [
                _safe(item.set),
                item.arm,
                item.repeat,
                _safe(item.task),
                _safe(item.group),
                item.status,
                int(item.correct),
                item.score,
                int(item.parsed),
                _safe(item.answer or ""),
                _safe(item.gold),
                len(item.attempts),
                item.stop,
                item.depth,
                item.model_calls,
                item.prompt_tokens,
                item.total_tokens,
                item.sequential_tokens,
                item.seconds,
                item.run_id,
            ]
        )
    return out.getvalue()


def _safe(text: str) -> str:
    """Text without control characters that no spreadsheet takes for a formula; numbers stay numbers."""
    line = visible(text)
    if not line.startswith(("=", "+", "-", "@", "\t", "\r")):
        return line
    try:
        float(line)
    except ValueError:
        return "'" + line
    return line
