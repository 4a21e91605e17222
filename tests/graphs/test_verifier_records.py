"""What is remembered of tests of verifiers, and what runs say of it; files of an older version are read and renewed."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

import pytest

from phronesis.core.settings import Settings, load_settings
from phronesis.graphs.scorer_records import ScorerRecord, ScorerRecords, scored_by

JUDGE = "generative(votes=1)"
YES = "accepts 98 % of the wrong attempts: it says yes to nearly everything"
OLD = """CREATE TABLE scorer_tests (
    model TEXT NOT NULL, scorer TEXT NOT NULL, format TEXT NOT NULL, auroc REAL, low REAL, high REAL,
    attempts INTEGER NOT NULL, questions INTEGER NOT NULL, day TEXT NOT NULL, run TEXT NOT NULL,
    PRIMARY KEY (model, scorer, format)) WITHOUT ROWID"""


@pytest.fixture
def settings() -> Settings:
    return load_settings()


def records(settings: Settings) -> ScorerRecords:
    return ScorerRecords(settings.home / "statistics.sqlite3")


def of_test(scorer: str = JUDGE, **more: Any) -> ScorerRecord:
    fields: dict[str, Any] = {"model": "fake", "format": "number", "auroc": 0.7, "low": 0.6, "high": 0.8}
    fields |= {"attempts": 64, "questions": 16, "day": "2026-01-01", "run": "20260101-000000-abcdef"}
    fields |= {"accept": 0.5, "balanced": 0.51, "balanced_low": 0.45, "balanced_high": 0.57, "unknown": 0.0}
    return ScorerRecord(scorer=scorer, **{**fields, **more})


def warned(settings: Settings, **more: Any) -> list[str]:
    models = {"solver": "fake", "verifier": "fake"}
    return records(settings).warnings(models, (JUDGE,), "number", **{"verifier": JUDGE, **more})


class TestOldFiles:
    def write(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        connection = sqlite3.connect(path)
        connection.execute(OLD)
        row = ("fake", "judge", "number", 0.42, 0.3, 0.5, 64, 16, "2026-01-01", "20260101-000000-abcdef")
        connection.execute(f"INSERT INTO scorer_tests VALUES ({', '.join('?' * len(row))})", row)
        connection.commit()
        connection.close()

    def test_an_old_file_is_read_as_it_is(self, settings: Settings) -> None:
        kept = records(settings)
        self.write(kept.path)
        before = kept.path.read_bytes()
        (found,) = kept.latest()
        assert (found.auroc, found.given, found.balanced, found.sameness) == (0.42, "", None, "")
        assert "AUROC 0.42" in found.text and "balanced" not in found.text
        assert kept.warnings({"solver": "fake"}, ("judge",), "number", verifier="judge")
        assert kept.path.read_bytes() == before

    def test_it_is_renewed_when_something_is_saved_and_keeps_its_tests(self, settings: Settings) -> None:
        kept = records(settings)
        self.write(kept.path)
        kept.save([of_test(), of_test(given="processbench")])
        kept.save([of_test("judge", auroc=0.9)])
        found = {(item.scorer, item.given): item for item in kept.latest()}
        assert set(found) == {("judge", ""), (JUDGE, ""), (JUDGE, "processbench")}
        assert found["judge", ""].auroc == 0.9

    def test_an_old_test_survives_another_scorers(self, settings: Settings) -> None:
        kept = records(settings)
        self.write(kept.path)
        kept.save([of_test()])
        assert {item.scorer: item.auroc for item in kept.latest()} == {"judge": 0.42, JUDGE: 0.7}


class TestWarnings:
    def test_a_verifier_that_always_says_the_same(self, settings: Settings) -> None:
        records(settings).save([of_test(sameness=YES, given="processbench")])
        (said,) = warned(settings)
        assert said.startswith(f"the verifier {JUDGE} {YES}: AUROC 0.70")
        assert (
            "balanced accuracy 0.51 [0.45, 0.57] at 0.5 on 16 number questions of processbench, scored by fake" in said
        )

    def test_as_a_scorer_that_ranks_it_is_not_named(self, settings: Settings) -> None:
        records(settings).save([of_test(sameness=YES)])
        assert warned(settings, verifier="") == []

    @pytest.mark.parametrize(("accept", "said"), [(None, 1), (0.5, 1), (0.8, 0)])
    def test_another_threshold_was_not_tested(self, settings: Settings, accept: float | None, said: int) -> None:
        records(settings).save([of_test(sameness=YES)])
        assert len(warned(settings, accept=accept)) == said

    def test_both_things_are_said(self, settings: Settings) -> None:
        records(settings).save([of_test(sameness=YES, auroc=0.5)])
        chance, same = warned(settings)
        assert "no better than chance" in chance and "says yes" in same

    def test_given_attempts_count_for_the_model_that_scored_them(self, settings: Settings) -> None:
        records(settings).save([of_test(model="large", given="llmbar", auroc=0.4)])
        kept = records(settings)
        assert kept.warnings({"solver": "fake", "verifier": "large"}, (JUDGE,), "number")
        assert not kept.warnings({"solver": "large", "verifier": "fake"}, (JUDGE,), "number")

    def test_a_scorer_that_asks_nobody_is_the_same_for_every_model(self, settings: Settings) -> None:
        assert scored_by({"solver": "fake"}, "arithmetic") == ""
        records(settings).save([of_test("arithmetic", model="", given="processbench", auroc=0.5)])
        (said,) = records(settings).warnings({"solver": "any"}, ("arithmetic",), "number")
        assert "scored by" not in said
