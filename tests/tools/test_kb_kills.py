"""kill -9 in the middle of adding, and several processes that add at once: the knowledge base is whole."""

from __future__ import annotations

import random
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from kb_files import jsonl, written

from phronesis.core.settings import Settings
from phronesis.tools.knowledge.base import KnowledgeBase
from phronesis.tools.knowledge.names import knowledge_base_folder

SCRIPT = str(Path(__file__).parent / "kb_kill_target.py")
FILES, ROWS = 40, 2500


@pytest.fixture
def docs(tmp_path: Path) -> Path:
    folder = tmp_path / "docs"
    for number in range(FILES):
        written(folder / f"n{number:02}.txt", f"Note {number} about pumps. " * 60)
    jsonl(folder / "rows.jsonl", *({"id": f"p{n}", "text": f"row {n} of tank{n * 7}"} for n in range(ROWS)))
    return folder


def start(docs: Path) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, SCRIPT, str(docs)], stdout=subprocess.PIPE, text=True)


def check_whole(settings: Settings) -> None:
    """Everything is there once, with its vector, and a search works."""
    with sqlite3.connect(knowledge_base_folder(settings, "kb") / "kb.sqlite3") as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        chunks, documents, vectors = (
            connection.execute(f"SELECT COUNT(*) FROM {table}").fetchone()[0]
            for table in ("chunks", "documents", "vectors")
        )
    connection.close()
    assert documents == FILES + ROWS and vectors == chunks
    with KnowledgeBase.open("kb", settings=settings) as base:
        assert base.degraded() is None
        assert base.search("tank7 row 1", 1, mode="lexical")[0].id == "p1"


@pytest.mark.parametrize("seed", range(4))
def test_what_was_told_survives_a_kill_and_the_rest_follows(settings: Settings, docs: Path, seed: int) -> None:
    rng = random.Random(seed)
    told: set[str] = set()
    for _ in range(3):
        with start(docs) as child:
            assert child.stdout is not None
            for _ in range(rng.randint(1, FILES + 6)):
                if (line := child.stdout.readline()).startswith(("added", "changed", "unchanged")):
                    told.add(line.split()[1])
            child.send_signal(signal.SIGKILL)
            rest = child.stdout.readlines()
            told |= {line.split()[1] for line in rest if line.startswith("added") and line.endswith("\n")}
        with KnowledgeBase.open("kb", settings=settings) as base:
            assert told <= {file.source for file in base.list()}
    with start(docs) as child:
        out, _ = child.communicate()
    assert child.returncode == 0 and out.splitlines()[-1].startswith("done")
    check_whole(settings)


def test_three_processes_add_the_same_at_once(settings: Settings, docs: Path) -> None:
    children = [start(docs) for _ in range(3)]
    outs = [child.communicate()[0].splitlines() for child in children]
    assert [child.returncode for child in children] == [0, 0, 0]
    assert all(out[-1].endswith(" 0") for out in outs), "no problems"
    check_whole(settings)
