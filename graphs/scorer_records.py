"""How scorers tested on this machine: the latest test of each (model, scorer, answer format, labelled attempts), in the
statistics file.

A run looks its scorers up when it starts. It says so when one ranked no better than chance, and when its verifier said the
same to nearly everything.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from phronesis.agents.scorers.table import choose_scorer
from phronesis.graphs.statistics_file import statistics_file

_COLUMNS = """model TEXT NOT NULL, scorer TEXT NOT NULL, format TEXT NOT NULL, auroc REAL, low REAL, high REAL,
    attempts INTEGER NOT NULL, questions INTEGER NOT NULL, day TEXT NOT NULL, run TEXT NOT NULL,
    given TEXT NOT NULL DEFAULT '', accept REAL, balanced REAL, balanced_low REAL, balanced_high REAL, unknown REAL,
    sameness TEXT NOT NULL DEFAULT '',
    PRIMARY KEY (model, scorer, format, given)"""
_TABLE = f"CREATE TABLE IF NOT EXISTS scorer_tests ({_COLUMNS}) WITHOUT ROWID"


@dataclass(frozen=True, slots=True, kw_only=True)
class ScorerRecord:
    """One test."""

    model: str
    """The model whose attempts were scored; of given attempts the one that scored them, empty where none was asked."""
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
    given: str = ""
    """Name of the labelled attempts; empty = the model drew them."""
    accept: float | None = None
    """Figure from which the verdicts below count as accepted; None = they are not known."""
    balanced: float | None = None
    """Balanced accuracy of the verdicts; None without both right and wrong attempts."""
    balanced_low: float | None = None
    balanced_high: float | None = None
    unknown: float | None = None
    """Share of the attempts without a verdict."""
    sameness: str = ""
    """In words, where nearly all verdicts are the same."""

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
        interval = _interval(self.low, self.high)
        verdicts = ""
        if self.balanced is not None and self.accept is not None:
            within = _interval(self.balanced_low, self.balanced_high)
            verdicts = f", balanced accuracy {self.balanced:.2f}{within} at {self.accept:g}"
        scored = f", scored by {self.model}" if self.given and self.model else ""
        of = f"of {self.given or self.model}{scored}"
        return f"{area}{interval}{verdicts} on {self.questions} {self.format} questions {of}, {self.day}"

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
        """Every recorded test, by model, scorer, format and labelled attempts. Empty when there is none; what an older
        version wrote has fewer figures."""
        if not self.path.is_file():
            return []
        with statistics_file(self.path, _TABLE) as connection:
            there = _names(connection)
            names = [name for name in ScorerRecord.__slots__ if name in there]
            order = ", ".join(name for name in ("model", "scorer", "format", "given") if name in there)
            rows = connection.execute(f"SELECT {', '.join(names)} FROM scorer_tests ORDER BY {order}")
            return [ScorerRecord(**dict(zip(names, row, strict=True))) for row in rows]

    def save(self, records: Sequence[ScorerRecord]) -> None:
        """Puts each in the place of the earlier test of the same model, scorer, format and labelled attempts."""
        names = ScorerRecord.__slots__
        marks = ", ".join("?" * len(names))
        rows = [tuple(getattr(record, name) for name in names) for record in records]
        with statistics_file(self.path, _TABLE) as connection:
            _renew(connection)
            connection.executemany(f"INSERT OR REPLACE INTO scorer_tests ({', '.join(names)}) VALUES ({marks})", rows)

    def warnings(
        self,
        models: Mapping[str, str],
        scorers: Sequence[str],
        format: str,
        *,
        verifier: str = "",
        accept: float | None = None,
    ) -> list[str]:
        """What a run with these models, by role, and scorers must say: one sentence for each test at or below chance, and one
        for each in which its verifier said the same to nearly everything. ``accept``: the run's own threshold, which such
        a test says nothing of unless it was the same; None = the verifier's."""
        tested = [item for item in self.latest() if item.format == format]
        tested = [
            item
            for scorer in dict.fromkeys(scorers)
            for item in tested
            if item.scorer == scorer
            and item.model == (scored_by(models, scorer) if item.given else models.get("solver", ""))
        ]
        chance = [
            f"the scorer {item.scorer} ranks no better than chance here: {item.text}"
            for item in tested
            if item.at_chance
        ]
        return chance + [
            f"the verifier {item.scorer} {item.sameness}: {item.text}"
            for item in tested
            if item.scorer == verifier and item.sameness and accept in (None, item.accept)
        ]


def scored_by(models: Mapping[str, str], scorer: str) -> str:
    """The model, of those by role, that a scorer asks; empty where it asks none."""
    return next((models[role] for role in choose_scorer(scorer).roles if role in models), "")


def _names(connection: sqlite3.Connection) -> list[str]:
    return [str(row[1]) for row in connection.execute("PRAGMA table_info(scorer_tests)")]


def _renew(connection: sqlite3.Connection) -> None:
    """Gives the table of an older version the columns of this one; the tests in it stay. Begins a transaction."""
    connection.execute("BEGIN IMMEDIATE")
    there = _names(connection)
    if "given" in there:
        return
    names = ", ".join(there)
    connection.execute("ALTER TABLE scorer_tests RENAME TO scorer_tests_before")
    connection.execute(_TABLE)
    connection.execute(f"INSERT INTO scorer_tests ({names}) SELECT {names} FROM scorer_tests_before")
    connection.execute("DROP TABLE scorer_tests_before")


def _interval(low: float | None, high: float | None) -> str:
    return f" [{low:.2f}, {high:.2f}]" if low is not None and high is not None else ""


def today() -> str:
    """The day in UTC."""
    return time.strftime("%Y-%m-%d", time.gmtime())
