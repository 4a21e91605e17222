"""Export and import: round trips, repeats, and archives that mean harm."""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import signal
import stat
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from phronesis.core.concept import Concept, Evidence, Parameter, StoredConcept, tidy
from phronesis.core.errors import ConceptStoreError, ConfigurationError, PhronesisError, SetupError
from phronesis.core.settings import Settings, load_settings
from phronesis.memory.archive_file import CONCEPTS, FORMAT, MANIFEST, MOST_LINE
from phronesis.memory.archives import preview
from phronesis.memory.session import Memory, names

PUMPS = Concept(situation="two pumps fill a tank together", suggestion="add the rates, not the times")
TRAIN = Concept(situation="a train overtakes a car", suggestion="subtract the speeds")
LINES = Concept(
    name="zeile_ändern",
    kind="routine",
    subtype="grid",
    typing="grid",
    situation="каждая строка меняется",
    suggestion="行ごとに直す",
    parameters=(Parameter(name="rows", typing="list of rows"),),
    cues=("Zeilen",),
    avoid=("spalten",),
    parts=("zelle",),
    implementation=("one row at a time",),
)
PROOF = Evidence(run="r1", task="t1", verdict="accepted", verifier="agreement/1", score=0.75, note="agreed")


@pytest.fixture
def memory(settings: Settings) -> Iterator[Memory]:
    with Memory.open("s", settings=settings) as opened:
        yield opened


@pytest.fixture
def full(settings: Settings) -> Iterator[Memory]:
    """Three concepts with evidence and uses; the second of four was replaced by the first."""
    with Memory.open("full", settings=settings) as opened:
        opened.add([PUMPS, Concept(suggestion="add the times")])
        opened.forget(["c2"], reason="wrong", superseded_by="c1")
        opened.write([TRAIN], operation="run", evidence=PROOF)
        opened.add([LINES])
        opened.record_use(["c1"], accepted=True, operation="use")
        yield opened


def timeless(item: StoredConcept) -> StoredConcept:
    cleared = {"id": "", "created": "", "recalled": 0, "helped": 0, "harmed": 0, "last_used": None, "origin": "import"}
    return item.model_copy(update={**cleared, "version": 1})


@pytest.mark.parametrize("name", ["a.phronesis-memory.zip", "a.jsonl"])
def test_what_goes_out_comes_in(full: Memory, settings: Settings, tmp_path: Path, name: str) -> None:
    told = full.export(tmp_path / name)
    assert (told.concepts, told.invalid, told.version) == (3, 0, full.version())
    assert told.bytes == (tmp_path / name).stat().st_size
    with Memory.open("copy", settings=settings) as copy:
        done = copy.import_(tmp_path / name, status="archived")
        assert (done.added, done.duplicates, done.repeated) == (3, 0, False)
        assert [(item.archived, item.id) for item in done.concepts] == [("c1", "c1"), ("c3", "c2"), ("c4", "c3")]
        assert [timeless(item) for item in copy.list()] == [timeless(item) for item in full.list()]
        assert {item.origin for item in copy.list()} == {"import"}
        assert copy.get("c2").evidence == (PROOF,)
        assert copy.search(PUMPS.situation, k=1)[0].score == pytest.approx(1.0)
        assert copy.stats().vectors == full.stats().vectors - 1


def test_trust_is_not_imported(full: Memory, memory: Memory, tmp_path: Path) -> None:
    full.export(tmp_path / "a.zip")
    memory.import_(tmp_path / "a.zip")
    assert {(item.status, item.recalled) for item in memory.list()} == {("probation", 0)}


def test_status_can_be_said(full: Memory, memory: Memory, tmp_path: Path) -> None:
    full.export(tmp_path / "a.zip", include_invalid=True)
    memory.import_(tmp_path / "a.zip", status="active")
    assert [item.status for item in memory.list()] == ["active"] * 3


def test_importing_twice_changes_nothing(full: Memory, memory: Memory, tmp_path: Path) -> None:
    full.export(tmp_path / "a.zip")
    first = memory.import_(tmp_path / "a.zip")
    version = memory.version()
    second = memory.import_(tmp_path / "a.zip")
    assert (second.repeated, second.added, second.duplicates) == (True, 0, 3)
    assert second.concepts == first.concepts
    full.export(tmp_path / "same.jsonl")
    assert memory.import_(tmp_path / "same.jsonl").repeated, "the same concepts under another wrapping"
    assert memory.version() == version
    assert memory.get("c2").evidence == (PROOF,)


def test_a_restore_takes_an_import_back_and_it_can_be_made_again(full: Memory, memory: Memory, tmp_path: Path) -> None:
    full.export(tmp_path / "a.zip")
    memory.import_(tmp_path / "a.zip")
    memory.restore(0)
    assert memory.list() == []
    done = memory.import_(tmp_path / "a.zip")
    assert (done.added, done.repeated) == (3, False)
    assert len(memory.list()) == 3


def test_a_duplicate_keeps_its_id_and_gains_evidence(full: Memory, memory: Memory, tmp_path: Path) -> None:
    memory.add([TRAIN])
    full.export(tmp_path / "a.zip")
    planned = memory.import_(tmp_path / "a.zip", dry_run=True)
    assert [(item.outcome, item.id) for item in planned.concepts] == [
        ("added", None),
        ("duplicate", "c1"),
        ("added", None),
    ]
    assert (memory.version(), memory.get("c1").evidence) == (1, ())
    done = memory.import_(tmp_path / "a.zip")
    assert [item.outcome for item in done.concepts] == [item.outcome for item in planned.concepts]
    found = memory.get("c1")
    assert (found.status, found.evidence, found.origin) == ("active", (PROOF,), "user")
    before = full.version()
    full.import_(tmp_path / "a.zip")
    assert full.version() == before, "nothing in its own archive is new to a memory"
    assert full.get("c3").evidence == (PROOF,)


def test_invalid_concepts_travel_when_asked_for(full: Memory, memory: Memory, tmp_path: Path) -> None:
    memory.add([Concept(suggestion="something first")])
    told = full.export(tmp_path / "a.zip", include_invalid=True)
    assert (told.concepts, told.invalid) == (3, 1)
    done = memory.import_(tmp_path / "a.zip")
    old = next(item for item in done.concepts if item.archived == "c2")
    heir = next(item for item in done.concepts if item.archived == "c1")
    assert old.id is not None
    found = memory.get(old.id)
    assert (found.status, found.superseded_by) == ("invalid", heir.id)
    assert "add the times" not in [item.concept.suggestion for item in memory.list()]
    assert memory.verify().problems == ()
    assert "add the times" not in [hit.concept.suggestion for hit in memory.search("add the times", k=9)]


def test_an_older_version_goes_out_as_it_was(full: Memory, memory: Memory, tmp_path: Path) -> None:
    full.export(tmp_path / "a.zip", version=2)
    memory.import_(tmp_path / "a.zip")
    assert [item.concept.suggestion for item in memory.list()] == [PUMPS.suggestion, "add the times"]
    with pytest.raises(ConfigurationError, match="no version 99"):
        full.export(tmp_path / "b.zip", version=99)


def test_equal_content_makes_equal_bytes(full: Memory, tmp_path: Path) -> None:
    for name in ("a.zip", "a.jsonl"):
        one, two = full.export(tmp_path / name), full.export(tmp_path / f"again-{name}")
        assert one.sha256 == two.sha256
        assert (tmp_path / name).read_bytes() == (tmp_path / f"again-{name}").read_bytes()


def test_a_file_is_not_overwritten_unless_asked_for(full: Memory, tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    path.write_bytes(b"precious")
    with pytest.raises(ConfigurationError, match="exists"):
        full.export(path)
    assert path.read_bytes() == b"precious"
    full.export(path, overwrite=True)
    assert zipfile.is_zipfile(path)
    assert [item.name for item in tmp_path.glob("*.zip*")] == ["a.zip"]
    with pytest.raises(ConfigurationError, match="format"):
        full.export(tmp_path / "a.tar")
    with pytest.raises(SetupError, match="cannot write"):
        full.export(tmp_path / "no such folder" / "a.zip")


def test_plain_concepts_a_line_are_imported_too(memory: Memory, tmp_path: Path) -> None:
    path = tmp_path / "mine.jsonl"
    path.write_bytes(
        b'\xef\xbb\xbf{"suggestion": "draw it"}\n\n{"suggestion": "try n = 1", "situation": "a claim for all n"}'
    )
    done = memory.import_(path)
    assert [(item.archived, item.id) for item in done.concepts] == [("line 1", "c1"), ("line 3", "c2")]


def test_without_an_embedder_vectors_come_later(full: Memory, settings: Settings, tmp_path: Path) -> None:
    full.export(tmp_path / "a.zip")
    with Memory.open("s", settings=settings.model_copy(update={"embedder": "none"})) as memory:
        memory.import_(tmp_path / "a.zip")
        assert memory.search("pumps", k=1)[0].concept == PUMPS
    with Memory.open("s", settings=settings) as memory:
        assert memory.search(PUMPS.situation, k=1)[0].score == pytest.approx(1.0)


def test_a_preview_needs_no_memory(full: Memory, settings: Settings, tmp_path: Path) -> None:
    full.export(tmp_path / "a.zip")
    told = preview(tmp_path / "a.zip", "absent")
    assert (told.dry_run, told.added, told.version) == (True, 3, 0)
    assert "absent" not in names(settings)


WORDS = st.text(max_size=30)
ANY_CONCEPT = st.builds(
    Concept,
    suggestion=WORDS.filter(lambda text: bool(tidy(text))),
    situation=WORDS,
    cues=st.lists(WORDS, max_size=2).map(tuple),
    kind=st.sampled_from(["lesson", "pitfall"]),
)


@hypothesis_settings(max_examples=25, deadline=None)
@given(concepts=st.lists(ANY_CONCEPT, max_size=6), packed=st.booleans())
def test_a_round_trip_keeps_everything_but_ids_and_times(concepts: list[Concept], packed: bool) -> None:
    suffix = "zip" if packed else "jsonl"
    with tempfile.TemporaryDirectory() as folder:
        settings = load_settings().model_copy(update={"home": Path(folder)})
        one, two = Path(folder) / f"one.{suffix}", Path(folder) / f"two.{suffix}"
        with Memory.open("one", settings=settings) as first, Memory.open("two", settings=settings) as second:
            first.add(concepts)
            first.export(one)
            second.import_(one, status="archived")
            second.export(two)
            assert [timeless(item) for item in second.list()] == [timeless(item) for item in first.list()]
            third = second.import_(two)
            assert third.added == 0


# Archives that mean harm. Whatever is wrong, nothing is imported and nothing is written beside the ledger.


def manifest(lines: bytes, **changed: object) -> bytes:
    told = {
        "format": FORMAT,
        "phronesis": "0.1.0",
        "namespace": "x",
        "version": 1,
        "created": "",
        "concepts": 1,
        "invalid": 0,
        "embedder": None,
        "sha256": {CONCEPTS: hashlib.sha256(lines).hexdigest()},
    }
    return json.dumps({**told, **changed}).encode()


def stored_line(id: str = "c1", **changed: object) -> bytes:
    told = {"id": id, "version": 1, "concept": {"suggestion": f"do {id}"}, "status": "active", "created": ""}
    return json.dumps({**told, **changed}).encode() + b"\n"


GOOD = stored_line("c1")


def archive(*members: tuple[str | zipfile.ZipInfo, bytes]) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as made:
        for name, content in members:
            made.writestr(name, content)
    return file.getvalue()


def of_lines(*lines: bytes) -> bytes:
    text = b"".join(lines)
    return archive((MANIFEST, manifest(text)), (CONCEPTS, text))


def with_member(name: str, mode: int = 0o644) -> bytes:
    info = zipfile.ZipInfo(name)
    info.external_attr = mode << 16
    return archive((MANIFEST, manifest(GOOD)), (CONCEPTS, GOOD), (info, b"../../etc/passwd"))


def linked() -> bytes:
    info = zipfile.ZipInfo(CONCEPTS)
    info.external_attr = (stat.S_IFLNK | 0o777) << 16
    return archive((MANIFEST, manifest(GOOD)), (info, GOOD))


def twice() -> bytes:
    with pytest.warns(UserWarning, match="Duplicate name"):
        return archive((MANIFEST, manifest(GOOD)), (CONCEPTS, GOOD), (CONCEPTS, GOOD))


def understated() -> bytes:
    """8 MB that the directory and the header call 10 bytes."""
    text = b" " * 2**23
    made = bytearray(archive((MANIFEST, manifest(text)), (CONCEPTS, text)))
    size = len(text).to_bytes(4, "little")
    assert made.count(size) == 2
    return bytes(made.replace(size, (10).to_bytes(4, "little")))


def overstated() -> bytes:
    made = archive((MANIFEST, manifest(GOOD)), (CONCEPTS, GOOD))
    size = len(GOOD).to_bytes(4, "little")
    return made.replace(size, (2**31).to_bytes(4, "little"))


def lzma() -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_LZMA) as made:
        made.writestr(MANIFEST, manifest(GOOD))
        made.writestr(CONCEPTS, GOOD)
    return file.getvalue()


HOSTILE: dict[str, tuple[Callable[[], bytes], str]] = {
    "traversal": (lambda: with_member("../../evil"), "unexpected member '../../evil'"),
    "absolute": (lambda: with_member("/etc/evil"), "unexpected member '/etc/evil'"),
    "drive": (lambda: with_member("C:evil"), "unexpected member 'C:evil'"),
    "backslash": (lambda: with_member("..\\evil"), "unexpected member"),
    "unknown": (lambda: with_member("README"), "unexpected member 'README'"),
    "folder": (lambda: with_member("x/"), "unexpected member 'x/'"),
    "same behind a NUL": (lambda: with_member("concepts.jsonl/../x"), "unexpected member"),
    "symlink": (linked, "unexpected member 'concepts.jsonl'"),
    "duplicate member": (twice, "twice"),
    "bomb": (lambda: of_lines(b" " * 2**25), "ZIP bomb"),
    "understated bomb": (understated, "no readable ZIP archive"),
    "overstated": (overstated, "unpacked"),
    "other packing": (lzma, "method 14"),
    "no manifest": (lambda: archive((CONCEPTS, GOOD)), "'manifest.json' is missing"),
    "no concepts": (lambda: archive((MANIFEST, manifest(GOOD))), "'concepts.jsonl' is missing"),
    "empty": (lambda: b"", "no readable ZIP"),
    "no zip": (lambda: b"PK but nothing more", "no readable ZIP"),
    "truncated": (lambda: of_lines(GOOD)[:-40], "no readable ZIP"),
    "truncated in front": (lambda: of_lines(GOOD)[60:], "no readable ZIP|sha256"),
    "newer format": (
        lambda: archive((MANIFEST, manifest(GOOD, format="phronesis/memory/2", more=1)), (CONCEPTS, GOOD)),
        "format 'phronesis/memory/2'; this phronesis reads phronesis/memory/1\n  mend: upgrade",
    ),
    "manifest is a list": (lambda: archive((MANIFEST, b"[]"), (CONCEPTS, GOOD)), "manifest.json"),
    "manifest is no JSON": (lambda: archive((MANIFEST, b"\xff"), (CONCEPTS, GOOD)), "manifest.json"),
    "manifest lacks a key": (
        lambda: archive((MANIFEST, f'{{"format": "{FORMAT}"}}'.encode()), (CONCEPTS, GOOD)),
        "manifest.json: phronesis",
    ),
    "wrong sha256": (lambda: archive((MANIFEST, manifest(b"other")), (CONCEPTS, GOOD)), "sha256"),
    "no sha256": (lambda: archive((MANIFEST, manifest(GOOD, sha256={})), (CONCEPTS, GOOD)), "sha256"),
    "invalid UTF-8": (lambda: of_lines(GOOD, b'{"suggestion": "\xff\xfe"}\n'), "line 2"),
    "lone surrogate": (lambda: of_lines(GOOD, b'{"suggestion": "\\ud800"}\n'), "line 2"),
    "no JSON": (lambda: of_lines(GOOD, b"hello\n"), "line 2"),
    "a number": (lambda: of_lines(GOOD, b"7\n"), "line 2: no JSON object"),
    "deep nesting": (lambda: of_lines(GOOD, b"[" * 100_000 + b"]" * 100_000 + b"\n"), "ZIP bomb|line 2"),
    "no concept": (lambda: of_lines(GOOD, b'{"answer": 42}\n'), "line 2: suggestion Field required"),
    "empty concept": (lambda: of_lines(GOOD, b'{"suggestion": " \\u0000 "}\n'), "line 2: suggestion"),
    "unknown key": (lambda: of_lines(GOOD, b'{"suggestion": "x", "run": "rm"}\n'), "line 2: run Extra"),
    "strange id": (lambda: of_lines(GOOD, stored_line("../c2")), "line 2: '../c2' is not the id"),
    "duplicate id": (lambda: of_lines(GOOD, stored_line("c2"), GOOD), "line 3: the id 'c1' stands in line 1"),
    "strange status": (lambda: of_lines(GOOD, stored_line("c2", status="trusted")), "line 2: status"),
    "NaN": (
        lambda: of_lines(GOOD, stored_line("c2", evidence=[PROOF.model_dump() | {"score": float("nan")}])),
        "line 2",
    ),
    "infinite score": (
        lambda: of_lines(GOOD, stored_line("c2", evidence=[PROOF.model_dump()]).replace(b"0.75", b"1e999")),
        "line 2",
    ),
    "score out of range": (
        lambda: of_lines(GOOD, stored_line("c2", evidence=[PROOF.model_dump() | {"score": 7}])),
        "line 2: the score 7",
    ),
    "large concept": (lambda: of_lines(GOOD, b'{"suggestion": "' + b"word " * 20_000 + b'"}\n'), "line 2: the concept"),
    "huge concept": (
        lambda: of_lines(GOOD, b'{"suggestion": "' + os.urandom(5 * 2**20).hex().encode() + b'"}\n'),
        f"line 2 is longer than {MOST_LINE:,} bytes",
    ),
}


@pytest.mark.parametrize("name", list(HOSTILE))
def test_a_hostile_archive_is_refused_whole(memory: Memory, tmp_path: Path, name: str) -> None:
    make, message = HOSTILE[name]
    folder = tmp_path / "in"
    folder.mkdir()
    path = folder / "a.phronesis-memory.zip"
    path.write_bytes(make())
    for dry_run in (True, False):
        with pytest.raises(ConceptStoreError) as caught:
            memory.import_(path, dry_run=dry_run)
        assert re.search(message, str(caught.value))
        assert str(path) in str(caught.value)
        assert caught.value.mend
    assert memory.version() == 0
    assert memory.list() == []
    assert [item.name for item in folder.iterdir()] == [path.name], "nothing is ever extracted"


def test_a_plain_file_meets_the_same_checks(memory: Memory, tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    for lines, message in (
        (GOOD + b"hello\n", "line 2"),
        (GOOD + GOOD, "line 2: the id 'c1'"),
        (GOOD + b"\xff\n", "line 2"),
        (GOOD + b'{"suggestion": "' + b"x" * MOST_LINE + b'"}', "line 2 is longer"),
    ):
        path.write_bytes(lines)
        with pytest.raises(ConceptStoreError, match=message):
            memory.import_(path)
    with pytest.raises(ConfigurationError, match="cannot read"):
        memory.import_(tmp_path / "absent.jsonl")
    with pytest.raises(PhronesisError, match="cannot read"):
        memory.import_(tmp_path / "absent.zip")
    assert memory.version() == 0


IMPORT = """
import phronesis, sys
with phronesis.Memory.open("s") as memory:
    print("ready", flush=True)
    memory.import_(sys.argv[1])
"""


def test_a_kill_imports_all_or_nothing(settings: Settings, tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(b"".join(stored_line(f"c{n}") for n in range(1, 801)))
    for kill in range(6):
        script = [sys.executable, "-c", IMPORT, str(path)]
        with subprocess.Popen(script, stdout=subprocess.PIPE, text=True) as child:
            assert child.stdout is not None
            child.stdout.readline()
            time.sleep(0.03 * kill)
            child.send_signal(signal.SIGKILL)
        with Memory.open("s", settings=settings) as memory:
            assert memory.stats().count in (0, 800)
    with Memory.open("s", settings=settings) as memory:
        memory.import_(path)
        assert memory.stats().count == 800


def test_processes_that_import_one_archive_at_once_import_it_once(settings: Settings, tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(b"".join(stored_line(f"c{n}", evidence=[PROOF.model_dump()]) for n in range(1, 101)))
    script = [sys.executable, "-c", IMPORT, str(path)]
    children = [subprocess.Popen(script, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    for child in children:
        child.communicate()
    assert [child.returncode for child in children] == [0, 0, 0]
    with Memory.open("s", settings=settings) as memory:
        assert (memory.version(), memory.stats().count) == (100, 100)
        assert memory.get("c50").evidence == (PROOF,)
