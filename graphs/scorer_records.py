"""How scorers tested on this machine: the latest test of each (model, scorer, answer format), in the statistics file.

A run looks its scorers up when it starts and says so when one ranked no better than chance.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from phronesis.graphs.statistics_file import statistics_file

_TABLE = """CREATE TABLE IF NOT EXISTS scorer_tests (
    model TEXT NOT NULL, scorer TEXT NOT NULL, format TEXT NOT NULL, auroc REAL, low REAL, high REAL,
    attempts INTEGER NOT NULL, questions INTEGER NOT NULL, day TEXT NOT NULL, run TEXT NOT NULL,
    PRIMARY KEY (model, scorer, format)) WITHOUT ROWID"""


@dataclass(frozen=True, slots=True, kw_only=True)
class ScorerRecord:
    """One test."""

    model: str
    """The model whose attempts were scored."""
    scorer: str
    """As it was written, options included."""
    format: str
    """Answer format of the tasks."""
    auroc: float | None
    """Within a question, or pooled where no question had both right and wrong attempts; None when neither is known."""
    low: float | None
    high: float | None
    attempts: int
    questions: int
    day: str
    """UTC, year-month-day."""
    run: str
    """The scoring run."""

    @property
    def name(self) -> str:
        return self.scorer.partition("(")[0].strip()

    @property
    def at_chance(self) -> bool:
        return self.auroc is not None and self.auroc <= 0.5

    @property
    def text(self) -> str:
        """The test in words."""
        area = "right and wrong attempts were not both seen" if self.auroc is None else f"AUROC {self.auroc:.2f}"
        interval = f" [{self.low:.2f}, {self.high:.2f}]" if self.low is not None and self.high is not None else ""
        return f"{area}{interval} on {self.questions} {self.format} questions of {self.model}, {self.day}"

    def to_json(self) -> dict[str, Any]:
        return {
            **{name: getattr(self, name) for name in self.__slots__},
            "at_chance": self.at_chance,
            "text": self.text,
        }


class ScorerRecords:
    """The tests, in one SQLite file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def latest(self) -> list[ScorerRecord]:
        """Every recorded test, by model, scorer and format. Empty when there is none."""
        if not self.path.is_file():
            return []
        names = ScorerRecord.__slots__
        with statistics_file(self.path, _TABLE) as connection:
            rows = connection.execute(f"SELECT {', '.join(names)} FROM scorer_tests ORDER BY model, scorer, format")
            return [ScorerRecord(**dict(zip(names, row, strict=True))) for row in rows]

    def save(self, records: Sequence[ScorerRecord]) -> None:
        """Puts each in the place of the earlier test of the same model, scorer and format."""
        names = ScorerRecord.__slots__
        marks = ", ".join("?" * len(names))
        rows = [tuple(getattr(record, name) for name in names) for record in records]
        with statistics_file(self.path, _TABLE) as connection:
            connection.executemany(f"INSERT OR REPLACE INTO scorer_tests ({', '.join(names)}) VALUES ({marks})", rows)

    def warnings(self, model: str, scorers: Sequence[str], format: str) -> list[str]:
        """What a run with these scorers must say: one sentence for each that tested at or below chance."""
        found = {(item.model, item.scorer, item.format): item for item in self.latest()}
        tested = [found.get((model, scorer, format)) for scorer in dict.fromkeys(scorers)]
        return [
            f"the scorer {item.scorer} ranks no better than chance here: {item.text}"
            for item in tested
            if item is not None and item.at_chance
        ]


def today() -> str:
    """The day in UTC."""
    return time.strftime("%Y-%m-%d", time.gmtime())
