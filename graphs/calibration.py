"""Reward statistics that outlive a run, so that a z-score means the same for the first question as for the thousandth.

Only the first chain of each task counts (MAgICoRe, code annotate.py). A run reads them once when it starts, writes what it
read into its journal, and adds its own when it ends; adding the same task of the same run twice changes nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from phronesis.graphs.policies.reward import RewardStatistics, statistics_of
from phronesis.graphs.statistics_file import statistics_file

_TABLE = """CREATE TABLE IF NOT EXISTS first_rewards (
    family TEXT NOT NULL, run TEXT NOT NULL, task TEXT NOT NULL, reward REAL NOT NULL,
    PRIMARY KEY (family, run, task)) WITHOUT ROWID"""


class Calibration:
    """The rewards seen on this machine, in one SQLite file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def read(self) -> dict[str, RewardStatistics]:
        """Statistics by family (model, scorers, answer format). Empty when nothing was ever recorded."""
        if not self.path.is_file():
            return {}
        rewards: dict[str, list[float]] = {}
        with statistics_file(self.path, _TABLE) as connection:
            query = "SELECT family, reward FROM first_rewards ORDER BY family, run, task"
            for family, reward in connection.execute(query):
                rewards.setdefault(family, []).append(reward)
        return {family: statistics_of(found) for family, found in rewards.items()}

    def commit(self, run: str, rewards: Iterable[tuple[str, Mapping[str, float]]]) -> None:
        """Adds (task, {family: reward}) pairs of a finished run, once."""
        rows = [(family, run, task, reward) for task, found in rewards for family, reward in found.items()]
        if not rows:
            return
        with statistics_file(self.path, _TABLE) as connection:
            connection.executemany("INSERT OR IGNORE INTO first_rewards VALUES (?, ?, ?, ?)", rows)
