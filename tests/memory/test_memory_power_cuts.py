"""Every place at which the power can fail: the ledger is reopened from each beginning of its write-ahead log.

The log is only appended to between checkpoints, so what a power cut leaves is the database file as it was and a beginning of
the log, at worst torn inside a frame.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from phronesis.core.concept import Concept, Evidence
from phronesis.core.settings import Settings
from phronesis.memory.ledger import FILE_NAME
from phronesis.memory.session import Memory

HEADER, FRAME = 32, 4096 + 24
"""Bytes of the log's header and of a frame, with SQLite's default page size."""
PROOF = Evidence(run="r", task="t", verdict="accepted", verifier="agreement/1", score=0.9)


def concept(n: int, words: str = "") -> Concept:
    return Concept(
        situation=f"situation{n} number{n * 7} {words}", suggestion=f"do {n}", cues=(f"sign{n} mark{n * 3}",)
    )


SCRIPT: tuple[Callable[[Memory], object], ...] = (
    lambda memory: memory.add([concept(1), concept(2)], operation="import"),
    lambda memory: memory.write([concept(3), concept(4)], operation="run 1", evidence=PROOF),
    lambda memory: memory.write([concept(3, "!")], operation="run 2", recalled=["c3"], evidence=PROOF),
    lambda memory: memory.record_use(["c1", "c3"], accepted=True, operation="use 1"),
    lambda memory: memory.record_use(["c3", "c4"], accepted=True, operation="use 2"),
    lambda memory: memory.update("c2", concept(20), reason="clearer", expect_version=1, operation="update"),
    lambda memory: memory.forget(["c1", "c4"], reason="wrong", superseded_by="c3", operation="forget"),
    lambda memory: memory.snapshot("here"),
    lambda memory: memory.revive("c1", "right after all"),
    lambda memory: memory.add([concept(n) for n in range(30, 36)]),
    lambda memory: memory.restore(4, operation="restore"),
)


def state(memory: Memory) -> dict[str, Any]:
    """All that was acknowledged."""
    stats = memory.stats()
    known = [f"c{number}" for number in range(1, stats.count + stats.invalid + 1)]
    return {
        "version": memory.version(),
        "concepts": [memory.get(id) for id in known],
        "history": [[event.kind for event in memory.history(id)] for id in known],
        "snapshots": memory.snapshots(),
    }


def reopened(settings: Settings, folder: Path, database: bytes, log: bytes) -> dict[str, Any]:
    """What is there after a power cut that left these files; sound, and open for writing."""
    home = settings.model_copy(update={"home": folder})
    (home.memory / "s").mkdir(parents=True)
    (home.memory / "s" / FILE_NAME).write_bytes(database)
    (home.memory / "s" / f"{FILE_NAME}-wal").write_bytes(log)
    with Memory.open("s", settings=home) as memory:
        found = state(memory)
        report = memory.verify()
        assert report.sound, report.problems
        for item in memory.list():
            assert memory.search(item.concept.views[0], k=1)[0].id == item.id
        return found


@pytest.fixture
def recorded(settings: Settings) -> tuple[bytes, bytes, list[tuple[int, dict[str, Any]]]]:
    """The database file, which no step touches, the whole log, and its length and the state after each step."""
    with Memory.open("s", settings=settings) as memory:
        database, log = memory.folder / FILE_NAME, memory.folder / f"{FILE_NAME}-wal"
        before = database.read_bytes()
        steps = [(log.stat().st_size, state(memory))]
        for step in SCRIPT:
            step(memory)
            steps.append((log.stat().st_size, state(memory)))
        assert database.read_bytes() == before, "a checkpoint came between: the cuts below would not be those of a disk"
        assert [size for size, _ in steps] == sorted(size for size, _ in steps)
        return before, log.read_bytes(), steps


def test_a_power_cut_anywhere_keeps_what_was_acknowledged_and_nothing_half(
    settings: Settings, tmp_path: Path, recorded: tuple[bytes, bytes, list[tuple[int, dict[str, Any]]]]
) -> None:
    database, log, steps = recorded
    frames = range(steps[0][0], len(log) + 1, FRAME)
    assert (len(log) - HEADER) % FRAME == 0 and len(frames) > 100
    for number, size in enumerate(frames):
        torn = size + FRAME // 2 if number % 3 == 0 else size
        found = reopened(settings, tmp_path / f"cut {size}", database, log[:torn])
        done = max(place for place, (length, _) in enumerate(steps) if length <= size)
        allowed = [told for _, told in steps[done : done + 2]]
        assert found in allowed, f"cut at {torn} of {len(log)}, after step {done}"


def test_a_power_cut_while_the_ledger_is_made_leaves_an_empty_memory(settings: Settings, tmp_path: Path) -> None:
    with Memory.open("s", settings=settings) as memory:
        database = (memory.folder / FILE_NAME).read_bytes()
        log = (memory.folder / f"{FILE_NAME}-wal").read_bytes()
    for size in [0, *range(HEADER, len(log) + 1, FRAME)]:
        found = reopened(settings, tmp_path / f"cut {size}", database, log[:size])
        assert (found["version"], found["concepts"]) == (0, [])


def test_a_power_cut_while_the_log_is_moved_into_the_database_loses_nothing(
    settings: Settings, tmp_path: Path, recorded: tuple[bytes, bytes, list[tuple[int, dict[str, Any]]]]
) -> None:
    """A checkpoint that stopped half-way: some pages are new, the log is still there."""
    database, log, steps = recorded
    whole = tmp_path / FILE_NAME
    whole.write_bytes(database)
    Path(f"{whole}-wal").write_bytes(log)
    with closing(sqlite3.connect(whole)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        after = whole.read_bytes()
    pages = len(after) // 4096
    old = database.ljust(len(after), b"\0")
    for half in (1, pages // 2, pages - 1):
        for mixed in (after[: half * 4096] + old[half * 4096 :], old[: half * 4096] + after[half * 4096 :]):
            found = reopened(settings, tmp_path / f"{half} {mixed[:half] == after[:half]} {hash(mixed)}", mixed, log)
            assert found == steps[-1][1]
