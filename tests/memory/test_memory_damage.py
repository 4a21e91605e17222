"""Files cut, flipped, emptied, deleted; a full disk; a folder that cannot be written. Never a traceback, nothing lost that
can be rebuilt, and what is lost is named."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from phronesis.core.concept import Concept
from phronesis.core.errors import ConceptStoreError, PhronesisError, SetupError
from phronesis.core.settings import Settings
from phronesis.index.embedders import HashEmbedder
from phronesis.memory.ledger import FILE_NAME
from phronesis.memory.session import Memory
from phronesis.memory.upkeep import repair_folder, verify_folder

COUNT = 400


def fill(settings: Settings, count: int = COUNT) -> Path:
    """A ledger of some hundred pages, closed; its path."""
    with Memory.open("s", settings=settings) as memory:
        for start in range(0, count, 100):
            memory.add(
                [Concept(situation=f"case {n} of {n % 7}", suggestion=f"do {n}") for n in range(start, start + 100)]
            )
        memory.record_use(["c3"], accepted=True, operation="u")
    return settings.memory / "s" / FILE_NAME


def ids(settings: Settings) -> dict[str, str]:
    with Memory.open("s", settings=settings) as memory:
        return {concept.id: concept.concept.situation for concept in memory.list()}


def zero(path: Path) -> None:
    path.write_bytes(b"")


def garbage(path: Path) -> None:
    path.write_bytes(bytes(range(256)) * 400)


def delete(path: Path) -> None:
    path.unlink()


def cut(path: Path) -> None:
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size * 3 // 5 // 4096 * 4096 + 100)


def lose_head(path: Path) -> None:
    with path.open("r+b") as file:
        file.write(b"\xff" * 4096)


def flip(path: Path) -> None:
    """Overwrites a page in every ten, the first ones apart."""
    size = path.stat().st_size // 4096
    with path.open("r+b") as file:
        for page in range(60, size, 10):
            file.seek(page * 4096)
            file.write(b"\xaa" * 4096)


@pytest.mark.parametrize("damage", [zero, garbage, delete, cut, lose_head, flip])
def test_a_damaged_ledger_is_named_with_its_mend_and_never_taken_for_a_new_one(
    settings: Settings, damage: Callable[[Path], None]
) -> None:
    path = fill(settings)
    damage(path)
    report = verify_folder(settings, "s")
    assert not report.sound
    assert report.problems[0].mend
    told = report.problems[0].what
    if damage in (zero, garbage, delete, lose_head):
        assert str(path) in told
        for create in (True, False):
            with pytest.raises(ConceptStoreError, match="ledger") as refused:
                Memory.open("s", settings=settings, create=create)
            assert str(path) in refused.value.message
            assert refused.value.mend
    else:
        assert "--salvage" in report.problems[0].mend
    repaired = repair_folder(settings, "s")
    assert not repaired.sound
    assert repaired.left[0].mend


@pytest.mark.parametrize("damage", [zero, delete])
def test_what_is_not_there_cannot_be_salvaged_and_nothing_is_put_in_its_place(
    settings: Settings, damage: Callable[[Path], None]
) -> None:
    path = fill(settings, 100)
    damage(path)
    before = sorted(path.parent.iterdir())
    report = repair_folder(settings, "s", salvage=True)
    assert (report.sound, report.left[0].where) == (False, "file")
    assert sorted(path.parent.iterdir()) == before


def test_garbage_is_left_as_it_is(settings: Settings) -> None:
    path = fill(settings, 100)
    garbage(path)
    before = path.read_bytes()
    with pytest.raises(ConceptStoreError, match="nothing can be read") as refused:
        repair_folder(settings, "s", salvage=True)
    assert "copy" in str(refused.value.mend)
    assert path.read_bytes() == before
    assert not (path.parent / ".salvage").exists()


@pytest.mark.parametrize(("damage", "least"), [(cut, 0.3), (flip, 0.5), (lose_head, 1.0)])
def test_salvage_saves_what_can_be_read_and_says_what_is_lost(
    settings: Settings, damage: Callable[[Path], None], least: float
) -> None:
    path = fill(settings)
    before = ids(settings)
    damage(path)
    broken = path.read_bytes()
    report = repair_folder(settings, "s", salvage=True, embedder=HashEmbedder())
    assert report.kept is not None
    assert Path(report.kept).read_bytes() == broken
    after = ids(settings)
    assert least * len(before) <= len(after)
    assert after.items() <= before.items()
    lost = [f"c{n}" for n in range(1, COUNT + 1) if f"c{n}" not in after]
    if lost:
        told = next(line for line in report.lost if "wholly" in line)
        assert told == f"{len(lost)} concept(s), wholly: {', '.join(lost)}"
    assert report.sound, report.left
    again = repair_folder(settings, "s", salvage=True, embedder=HashEmbedder())
    assert (again.sound, again.mended, again.kept) == (True, (), None)
    with Memory.open("s", settings=settings) as memory:
        assert memory.verify().sound
        name = next(iter(after))
        assert memory.search(after[name], k=1)[0].concept.situation == after[name]
        # Numbers of lost concepts are not given again.
        assert memory.add([Concept(suggestion="a new one")]) == [f"c{COUNT + 1}"]


def test_an_open_memory_is_salvaged_in_place(settings: Settings) -> None:
    path = fill(settings)
    flip(path)
    with Memory.open("s", settings=settings) as memory:
        assert any(problem.where == "pages" for problem in memory.verify().problems)
        report = memory.repair(salvage=True)
        assert report.sound, report.left
        assert memory.search("case 3")
        memory.add([Concept(suggestion="another")])
        assert memory.verify().sound


def test_salvage_waits_for_nobody_who_has_the_memory_open(settings: Settings) -> None:
    path = fill(settings)
    script = "import phronesis\nm = phronesis.Memory.open('s')\nm.stats()\nprint('open', flush=True)\ninput()"
    child = subprocess.Popen([sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    assert child.stdout.readline() == "open\n"
    flip(path)
    before = path.read_bytes()
    try:
        with pytest.raises(ConceptStoreError, match="another process has the memory 's' open"):
            repair_folder(settings, "s", salvage=True)
        assert path.read_bytes() == before
    finally:
        child.communicate("\n")


def test_every_single_flipped_page_ends_in_a_report_and_never_in_a_traceback(
    settings: Settings, tmp_path: Path
) -> None:
    path = fill(settings, 100)
    whole = path.read_bytes()
    for page in range(0, len(whole) // 4096, 7):
        here = settings.model_copy(update={"home": tmp_path / f"page {page}"})
        broken = bytearray(whole)
        broken[page * 4096 + 8 : page * 4096 + 1500] = bytes(1492)
        copy = here.memory / "s" / FILE_NAME
        copy.parent.mkdir(parents=True)
        copy.write_bytes(broken)
        verify_folder(here, "s")
        try:
            with Memory.open("s", settings=here) as memory:
                memory.search("case 3")
                memory.list()
                memory.add([Concept(suggestion="new")])
        except PhronesisError as error:
            assert error.mend
        try:
            report = repair_folder(here, "s", salvage=True, embedder=HashEmbedder())
            assert report.sound or report.left
        except ConceptStoreError as error:
            assert error.mend


INDEX_DAMAGE = {
    "deleted": lambda folder: shutil.rmtree(folder),
    "cut": lambda folder: [os.truncate(path, 900) for path in folder.rglob("*.bin")],
    "flipped": lambda folder: [
        path.write_bytes(bytes(255 - byte for byte in path.read_bytes())) for path in folder.rglob("*.bin")
    ],
    "database scribbled over": lambda folder: [
        path.write_bytes(b"scribble" * 500) for path in folder.rglob("chroma.sqlite3")
    ],
    "seal deleted": lambda folder: [path.unlink() for path in folder.rglob("sealed.json")],
}


@pytest.mark.parametrize("damage", INDEX_DAMAGE)
def test_a_damaged_index_is_named_and_made_again(settings: Settings, damage: str) -> None:
    fill(settings, 200)
    with Memory.open("s", settings=settings) as memory:
        memory.reindex()
        expected = memory.search("case 150 of 3")
        folder = memory.folder / "index"
    INDEX_DAMAGE[damage](folder)
    report = verify_folder(settings, "s")
    if damage == "deleted":
        assert (report.sound, report.index) == (True, "none yet")
    else:
        assert [problem.where for problem in report.problems] == ["index"]
        assert report.index == "damaged"
    repaired = repair_folder(settings, "s")
    assert repaired.sound
    assert len(repaired.mended) == (damage != "deleted")
    assert repair_folder(settings, "s").mended == ()
    with Memory.open("s", settings=settings) as memory:
        assert memory.reindex() == "ready"
        assert memory.stats().indexed == 200
        assert memory.search("case 150 of 3") == expected


FULL = """
import json, resource, sys
import phronesis
from phronesis.core.errors import SetupError
with phronesis.Memory.open("s") as memory:
    memory.add([phronesis.Concept(suggestion="first")])
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_500_000, resource.RLIM_INFINITY))
    done = 0
    try:
        for n in range(10_000):
            memory.add([phronesis.Concept(situation=f"case {n}", suggestion="x" * 500)])
            done += 1
    except SetupError as error:
        found = len(memory.list()), bool(memory.search("case 1"))
        print(json.dumps({"done": done, "listed": found[0], "found": found[1], "told": str(error)}))
"""


def test_a_full_disk_loses_nothing_that_was_acknowledged(settings: Settings) -> None:
    """No file of the process grows past a limit: what a full disk does, without one."""
    done = subprocess.run([sys.executable, "-c", FULL], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["done"] > 3
    assert told["listed"] == told["done"] + 1
    assert told["found"]
    assert "cannot write the ledger" in told["told"]
    assert "mend:" in told["told"]
    assert len(ids(settings)) == told["done"] + 1
    assert verify_folder(settings, "s").sound


READ_ONLY = """
import sys
sys.path.insert(0, sys.argv[1])
from privileges import permissions_hold
import phronesis
from phronesis.core.errors import SetupError
from phronesis.core.settings import load_settings
from phronesis.memory.upkeep import verify_folder
with permissions_hold():
    try:
        with phronesis.Memory.open("s") as memory:
            memory.add([phronesis.Concept(suggestion="x")])
    except SetupError as error:
        print("refused:", error)
    report = verify_folder(load_settings(), "s")
    print(report.sound, report.counts["concepts"], report.index)
"""


def test_a_folder_that_cannot_be_written_is_named_and_can_be_looked_through(settings: Settings) -> None:
    path = fill(settings, 100)
    for file in path.parent.iterdir():
        file.chmod(0o444)
    path.parent.chmod(0o555)
    try:
        here = str(Path(__file__).parent.parent)
        done = subprocess.run([sys.executable, "-c", READ_ONLY, here], capture_output=True, text=True)
    finally:
        path.parent.chmod(0o755)
    assert done.returncode == 0, done.stderr
    refused, _, rest = done.stdout.partition("  mend:")
    assert refused.startswith(f"refused: cannot write the ledger {str(path)!r}")
    assert "True 100 not looked at: cannot write" in rest


def test_a_database_of_something_else_is_refused(settings: Settings) -> None:
    path = settings.memory / "s" / FILE_NAME
    path.parent.mkdir(parents=True)
    with closing(sqlite3.connect(path)) as other:
        other.execute("CREATE TABLE theirs (x)")
    report = verify_folder(settings, "s")
    assert "not a phronesis ledger" in report.problems[0].what
    assert not repair_folder(settings, "s").sound
    with closing(sqlite3.connect(path)) as other:
        assert other.execute("SELECT COUNT(*) FROM theirs").fetchone() == (0,)


def test_a_memory_that_is_not_there_is_no_damage(settings: Settings) -> None:
    for look in (verify_folder, repair_folder):
        with pytest.raises(ConceptStoreError, match="there is no memory 'nowhere'"):
            look(settings, "nowhere")


def test_setup_errors_exit_with_three() -> None:
    assert SetupError("x").exit_code == 3
