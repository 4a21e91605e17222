"""Looking through a memory, mending what follows from the ledger, the lease of its index, older schemas."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
import time
from contextlib import closing

import pytest

from phronesis.core.concept import Concept, Evidence
from phronesis.core.settings import Settings
from phronesis.memory.ledger import FILE_NAME
from phronesis.memory.migrations import APPLICATION_ID, MIGRATIONS
from phronesis.memory.session import Memory
from phronesis.memory.upkeep import repair_folder, verify_folder

PROOF = Evidence(run="r1", task="t1", verdict="accepted", verifier="exact/1", score=1.0)
STAYS = "DROP TRIGGER events_stay; DROP TRIGGER events_remain;"


def fill(settings: Settings, count: int = 12) -> None:
    with Memory.open("s", settings=settings) as memory:
        memory.add([Concept(situation=f"pump case {n}", suggestion=f"do {n}", cues=("cue",)) for n in range(count)])
        memory.write([Concept(situation="train", suggestion="meet")], operation="w", evidence=PROOF)
        memory.record_use(["c1"], accepted=True, operation="u")


def told(settings: Settings) -> tuple[object, ...]:
    with Memory.open("s", settings=settings) as memory:
        return (
            memory.list(),
            memory.search("pump case 7", k=5),
            memory.search("pump case 7", k=5, mode="lexical"),
            [memory.history(f"c{n}")[0].payload["version"] for n in range(1, 13)],
        )


def change(settings: Settings, statements: str) -> None:
    with closing(sqlite3.connect(settings.memory / "s" / FILE_NAME)) as connection:
        connection.executescript(statements)


def test_a_sound_memory_has_no_problems_and_needs_no_repair(settings: Settings) -> None:
    fill(settings)
    with Memory.open("s", settings=settings) as memory:
        report = memory.verify()
        assert (report.sound, report.problems, report.index) == (True, (), "none yet")
        assert (report.counts["concepts"], report.counts["vectors"]) == (13, 25)
        assert memory.reindex() == "ready"
        assert memory.verify().index == "sound"
        repaired = memory.repair()
        assert (repaired.sound, repaired.mended, repaired.left) == (True, (), ())
    assert verify_folder(settings, "s").index == "sound"
    assert verify_folder(settings, "s").sound


@pytest.mark.parametrize(
    ("statements", "where", "mended"),
    [
        ("UPDATE concepts SET status = 'invalid', version = 7 WHERE number = 3", "concepts", "c3"),
        ("DELETE FROM concepts WHERE number IN (1, 2)", "concepts", "c1, c2"),
        ("UPDATE concepts SET content_hash = 'x' WHERE number = 2", "concepts", "c2"),
        ("UPDATE concept_versions SET content_hash = 'x' WHERE concept = 2", "bodies", "c2 version 1"),
        ("DELETE FROM texts WHERE rowid = 4", "texts", "13 text"),
        ("UPDATE texts SET suggestion = 'other words' WHERE rowid = 4", "texts", "13 text"),
        ("INSERT INTO texts (rowid, suggestion) VALUES (99, 'ghost')", "texts", "13 text"),
        ("DELETE FROM texts_data WHERE id > 10", "texts", "13 text"),
        ("DELETE FROM vectors WHERE concept = 5 AND view = 1", "vectors", "2 vector"),
        ("DELETE FROM vectors WHERE concept = 5", "vectors", "2 vector"),
        ("UPDATE vectors SET vector = x'0011' WHERE concept = 5 AND view = 1", "vectors", "2 vector"),
        ("UPDATE vectors SET vector = zeroblob(1024) WHERE concept = 5 AND view = 0", "vectors", "2 vector"),
        (f"{STAYS} DELETE FROM events WHERE version = 3", "events", "c3 version 1"),
        ("INSERT INTO uses VALUES (77, 'x', 1, 't')", "references", "1 row(s) of uses"),
        (
            "INSERT INTO vectors (fingerprint, concept, version, view, vector) VALUES (9, 1, 1, 0, x'00')",
            "references",
            "1 row(s) of vectors",
        ),
        ("INSERT INTO concepts VALUES (88, 1, 'active', 'h', 't', 't', 'run')", "concepts", "c88"),
        ("INSERT INTO operations VALUES ('add', 'broken', 1, 't', 'no json')", "operations", "broken"),
    ],
)
def test_what_follows_from_the_ledger_is_found_wrong_and_made_again(
    settings: Settings, statements: str, where: str, mended: str
) -> None:
    fill(settings)
    before = told(settings)
    change(settings, statements)
    with Memory.open("s", settings=settings) as memory:
        report = memory.verify()
        assert not report.sound
        assert where in {problem.where for problem in report.problems}
        assert all(problem.mend for problem in report.problems)
        repaired = memory.repair()
        assert (repaired.sound, repaired.left) == (True, ())
        assert mended in " ".join(repaired.mended)
        assert memory.repair().mended == ()
    assert told(settings) == before


def test_a_text_that_was_changed_is_named_and_left(settings: Settings) -> None:
    fill(settings)
    change(settings, "UPDATE concept_versions SET body = replace(body, 'do 3', 'do 4444') WHERE concept = 4")
    change(settings, "UPDATE concept_versions SET body = '{' WHERE concept = 5")
    report = repair_folder(settings, "s")
    assert not report.sound
    text = " ".join(problem.what for problem in report.left if problem.where == "bodies")
    assert "c4 version 1" in text
    assert "c5 version 1" in text


def test_vectors_that_nobody_can_make_here_are_left_to_a_later_search(settings: Settings) -> None:
    fill(settings)
    change(settings, "UPDATE vectors SET vector = zeroblob(1024) WHERE concept = 5 AND view = 0")
    report = repair_folder(settings, "s")
    assert [problem.where for problem in report.left] == ["vectors"]
    assert "c5" in report.left[0].what
    with Memory.open("s", settings=settings) as memory:
        memory.search("pump")
        assert memory.verify().sound


def test_an_erased_concept_is_no_problem(settings: Settings) -> None:
    fill(settings)
    with Memory.open("s", settings=settings) as memory:
        memory.erase(["c2"])
        assert memory.verify().problems == ()
        memory.repair()
        assert not [hit for hit in memory.search("erased", mode="lexical") if hit.id == "c2"]


HOLD = """
import phronesis, sys
with phronesis.Memory.open("s") as memory:
    print(memory.reindex(), flush=True)
    sys.stdin.readline()
"""


@pytest.mark.parametrize("end", ["close", "kill"])
def test_the_index_goes_on_in_another_process_when_its_holder_ends(settings: Settings, end: str) -> None:
    with Memory.open("s", settings=settings) as memory:
        memory.add([Concept(situation=f"pump case {n}", suggestion="x") for n in range(2100)])
        expected = [(hit.id, hit.score) for hit in memory.search("pump case 77")]
        child = subprocess.Popen([sys.executable, "-c", HOLD], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert child.stdin is not None
        assert child.stdout is not None
        assert child.stdout.readline() == "ready\n"
        deadline = time.monotonic() + 60
        while memory.stats().index != "another process holds the index" and time.monotonic() < deadline:
            memory.search("pump")
            time.sleep(0.02)
        assert memory.verify().index == "not looked at: another process holds the index"
        if end == "kill":
            child.kill()
        child.communicate("\n" if end == "close" else None)
        while memory.stats().index != "ready" and time.monotonic() < deadline:
            memory.search("pump")
            time.sleep(0.02)
        assert memory.stats().indexed == 2100
        assert [(hit.id, hit.score) for hit in memory.search("pump case 77")] == expected


def test_a_ledger_of_the_first_schema_is_brought_up_to_date_and_keeps_everything(settings: Settings) -> None:
    fill(settings)
    now = told(settings)
    folder = settings.memory / "s"
    with closing(sqlite3.connect(folder / FILE_NAME)) as new, closing(sqlite3.connect(folder / "old")) as old:
        for statement in MIGRATIONS[0].statements:
            old.execute(statement)
        old.execute("INSERT INTO migrations VALUES (1, 'first', 't')")
        for table in (
            "meta",
            "events",
            "concepts",
            "concept_versions",
            "operations",
            "fingerprints",
            "vectors",
            "uses",
        ):
            columns = ", ".join(row[1] for row in old.execute(f"PRAGMA table_info({table})"))
            rows = new.execute(f"SELECT {columns} FROM {table}").fetchall()
            old.executemany(f"INSERT INTO {table} ({columns}) VALUES ({', '.join('?' * len(rows[0]))})", rows)
        old.execute("DELETE FROM meta WHERE key = 'id'")
        for row in new.execute("SELECT rowid, name, situation, suggestion, cues FROM texts"):
            old.execute("INSERT INTO texts (rowid, name, situation, suggestion, cues) VALUES (?, ?, ?, ?, ?)", row)
        old.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        old.execute("PRAGMA user_version = 1")
        old.commit()
    for path in folder.glob(f"{FILE_NAME}*"):
        path.unlink()
    (folder / "old").rename(folder / FILE_NAME)
    with Memory.open("s", settings=settings) as memory:
        assert memory.verify().problems == ()
        assert [concept.origin for concept in memory.list()] == ["user"] * 12 + ["run"]
        assert memory.get("c1").helped == 1
        # Evidence came with the second schema.
        assert memory.get("c13").evidence == ()
        assert memory.write([Concept(situation="else", suggestion="x")], operation="w")[0].id == "c13"
    before = [concept.model_copy(update={"evidence": ()}) for concept in now[0]]  # type: ignore[attr-defined]
    after = told(settings)
    assert (after[0], *after[1:]) == (before, *now[1:])


def test_stats_and_reports_are_json(settings: Settings) -> None:
    fill(settings)
    report = verify_folder(settings, "s")
    assert json.loads(report.model_dump_json())["sound"] is True
    assert json.loads(repair_folder(settings, "s").model_dump_json())["mended"] == []
