"""Erasing for good: no byte of the text or of its vectors stays, and the receipt says what could not be reached."""

from __future__ import annotations

import json
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from phronesis.core.concept import Concept, Evidence, Parameter
from phronesis.core.errors import ConceptStoreError, ConfigurationError, Conflict
from phronesis.core.settings import Settings
from phronesis.index.embedders import HashEmbedder
from phronesis.memory.ledger import FILE_NAME
from phronesis.memory.quotations import Quotation
from phronesis.memory.session import Memory

SECRET = Concept(
    situation="the xylophone quorum of Zanzibar meets",
    suggestion='ask "Jabberwocky" for the brillig password',
    name="slithy-toves",
    kind="routine",
    cues=("mimsy borogoves",),
    avoid=("frumious bandersnatch",),
    implementation=("vorpal blade first",),
    parameters=(Parameter(name="n", description="how many tulgey woods"),),
)
LATER = SECRET.model_copy(update={"suggestion": "galumphing back", "cues": ("uffish thought",)})
TRAIN = Concept(situation="a train overtakes a car", suggestion="subtract the speeds")
WORDS = ("xylophone", "zanzibar", "jabberwock", "brillig", "slithy", "mimsy", "bandersnatch", "vorpal", "tulgey",
         "galumph", "uffish", "borogov")  # fmt: skip


@pytest.fixture
def memory(settings: Settings) -> Iterator[Memory]:
    with Memory.open("s", settings=settings) as opened:
        yield opened


def vectors_of(*concepts: Concept) -> list[bytes]:
    rows = [row for concept in concepts for row in HashEmbedder().embed_documents(concept.views)]
    return [np.asarray(row, dtype="<f4").tobytes() for row in rows]


def standing(folder: Path, words: tuple[str, ...] = WORDS, vectors: list[bytes] | None = None) -> list[tuple[str, str]]:
    """(file, word) of everything under the folder that still holds a word, in any case, or a vector."""
    looked_for = [(word, word.encode()) for word in words]
    found = []
    for path in folder.rglob("*"):
        if path.is_file():
            data = path.read_bytes()
            found += [(path.name, word) for word, pattern in looked_for if pattern in data.lower()]
            found += [(path.name, "a vector") for vector in vectors or () if vector in data]
    return found


def fill(memory: Memory) -> None:
    """The secret everywhere a memory can quote it."""
    memory.add([TRAIN])
    memory.add([SECRET])
    evidence = Evidence(run="r", task="t", verdict="accepted", verifier="v/1", note=f"saw {SECRET.suggestion}")
    memory.write([TRAIN], operation="run/1", evidence=evidence)
    near = Concept(situation="a train overtakes a car!", suggestion=SECRET.situation)
    memory.write([near, SECRET], operation="run/2", evidence=evidence)
    memory.update("c2", LATER, reason=f"instead of {SECRET.suggestion}")
    memory.update("c2", SECRET, reason="back")
    memory.update("c2", LATER, reason="and forth")
    memory.forget(["c2"], reason="mimsy borogoves", superseded_by="c1")
    memory.revive("c2", "x")
    memory.propose("update", ids=["c2"], concept=SECRET, reason="frumious bandersnatch here")
    memory.propose("merge", ids=["c1", "c2"], concept=TRAIN.model_copy(update={"name": "m"}), reason="r")
    memory.propose("add", concept=Concept(suggestion=f"first {SECRET.suggestion}"), reason="r")
    memory.propose("forget", ids=["c1"], reason="unrelated")


def test_no_byte_of_text_or_vector_stays(memory: Memory) -> None:
    fill(memory)
    folder = memory.folder
    assert {word for _, word in standing(folder, vectors=vectors_of(SECRET))} == {*WORDS, "a vector"}
    receipt = memory.erase(["c2"])
    assert receipt.complete, receipt
    assert standing(folder, vectors=vectors_of(SECRET, LATER)) == []
    assert (folder / f"{FILE_NAME}-wal").stat().st_size == 0
    counts = {item.place: item.count for item in receipt.reached}
    assert counts["versions"] == 6 and counts["vectors"] >= 6 and counts["proposals"] == 3
    assert counts["outcomes of operations"] == 1 and counts["evidence"] == 3
    assert not any(word in receipt.model_dump_json().lower() for word in WORDS)
    memory.close()
    assert standing(folder, vectors=vectors_of(SECRET, LATER)) == []


def test_what_stays_works_as_before(settings: Settings) -> None:
    with Memory.open("s", settings=settings) as memory:
        fill(memory)
        before = memory.version()
        other = memory.get("c1")
        memory.erase(["c2"])
        assert memory.get("c2").status == "invalid"
        assert memory.get("c2").concept.suggestion == "(erased)"
        assert [item.id for item in memory.list()] == ["c1"]
        assert memory.get("c1").concept == other.concept
        assert [proof.note for proof in memory.get("c1").evidence] == ["(erased)", "(erased)"]
        assert memory.version() == before + 1
        assert memory.versions("c2")[-1].change == "erased"
        assert {item.concept.suggestion for item in memory.versions("c2")} == {"(erased)"}
        assert [item.kind for item in memory.history("c2")][-1] == "erased"
        assert [hit.id for hit in memory.search("train", k=5)] == ["c1"]
        for version in range(before + 1):
            assert "c2" not in [hit.id for hit in memory.search("xylophone quorum", k=9, version=version)]
            assert "c2" not in [item.id for item in memory.list(version=version)]
        assert [item.number for item in memory.proposals()] == [4]
        gone = memory.proposal(1)
        assert (gone.status, gone.reason, gone.concept, gone.outcome) == (
            "rejected",
            "(erased)",
            None,
            "what it said was erased",
        )
        again = memory.write([], operation="run/2")
        assert [(item.outcome, item.id) for item in again] == [("evidence", "c1"), ("duplicate", "c2")]
        assert "(erased)" in (again[0].suggestion, again[1].suggestion)
    with Memory.open("s", settings=settings) as memory:  # a process that fills in missing vectors finds none
        vectors = memory.stats().vectors
        assert "c2" not in [hit.id for hit in memory.search("erased", k=9)]
        assert memory.stats().vectors == vectors
        assert memory.add([SECRET]) == ["c3"], "what was erased may be learned anew"
        for act in (lambda: memory.revive("c2", "x"), lambda: memory.update("c2", TRAIN, reason="x")):
            with pytest.raises(Conflict, match="c2 was erased"):
                act()


def test_several_and_forgotten_concepts_can_be_erased(memory: Memory) -> None:
    memory.add([SECRET, TRAIN, LATER.model_copy(update={"name": "other"})])
    memory.forget(["c1"], reason="x")
    assert memory.erase(["c3", "c1", "c3"]).ids == ("c3", "c1")
    assert standing(memory.folder) == []
    assert [item.id for item in memory.withdrawn()] == ["c1", "c3"]
    assert len({item.concept.content_hash for item in memory.withdrawn()}) == 1


def test_refusals_erase_nothing(memory: Memory) -> None:
    memory.add([SECRET])
    with pytest.raises(ConceptStoreError, match="'c9'"):
        memory.erase(["c1", "c9"])
    with pytest.raises(ConfigurationError, match="no concept"):
        memory.erase([])
    assert memory.get("c1").concept == SECRET


def test_a_plan_counts_and_changes_nothing(memory: Memory) -> None:
    fill(memory)
    before = (memory.folder / FILE_NAME).read_bytes(), memory.version(), memory.get("c2")
    plan = memory.plan_erase(["c2"])
    assert not plan.done and not plan.complete
    assert ((memory.folder / FILE_NAME).read_bytes(), memory.version(), memory.get("c2")) == before
    done = memory.erase(["c2"])
    assert plan.reached == tuple(item for item in done.reached if item.place != "vector index")


def test_a_concept_that_says_the_same_and_other_memories_are_named(settings: Settings, memory: Memory) -> None:
    memory.add([SECRET, Concept(situation=SECRET.situation, suggestion="another way")])
    with Memory.open("twin", settings=settings) as other:
        other.add([TRAIN, SECRET])
        receipt = memory.erase(["c1"])
        assert [(item.session, item.ids) for item in receipt.not_reached] == [("s", ("c2",)), ("twin", ("c2",))]
        assert receipt.not_reached[1].mend == "phronesis memory forget --erase --session twin c2"
        assert not receipt.complete
        assert other.erase(["c2"]).not_reached[0].session == "s"
        assert [item.session for item in memory.erase(["c1"]).not_reached] == ["s"]
        assert memory.erase(["c2"]).complete
        assert memory.erase(["c1"]).complete


def test_copies_beside_the_ledger_are_named(memory: Memory) -> None:
    memory.add([SECRET])
    copy = memory.folder / "before-repair.sqlite3"
    with closing(sqlite3.connect(memory.folder / FILE_NAME)) as source, closing(sqlite3.connect(copy)) as target:
        source.backup(target)
    torn = memory.folder / "torn.part"
    torn.write_bytes(b"\x00\xff" * 700_000 + SECRET.situation.encode() + b"\x00")
    (memory.folder / "notes.txt").write_text("nothing of it")
    receipt = memory.erase(["c1"])
    assert [Path(item.place).name for item in receipt.not_reached] == [copy.name, torn.name]
    copy.unlink()
    torn.unlink()
    assert memory.erase(["c1"]).complete


def test_the_journals_that_quote_it_are_listed_until_they_are_gone(settings: Settings, memory: Memory) -> None:
    memory.add([SECRET, TRAIN])

    def journal(name: str, *lines: str) -> Path:
        folder = settings.runs / name
        folder.mkdir(parents=True)
        (folder / "journal.jsonl").write_text("".join(lines))
        return folder / "journal.jsonl"

    def event(text: str) -> str:
        return json.dumps({"type": "call", "task": "t", "key": "k", "deep": [{"request": {"text": text}}]}) + "\n"

    prompt = f"Solve this.\n- When {SECRET.situation}: {SECRET.suggestion}\nNow."
    quoting = [
        journal("20260101-000000-000001", event("x"), event(prompt)),
        journal("20260101-000000-000002", event(json.dumps({"reply": json.dumps(SECRET.suggestion)}))),
        journal("20260101-000000-000003", event("the XYLOPHONE  quorum\nof Zanzibar meets")),
        journal("20260101-000000-000004", event("x"), event(prompt)[:-40]),
    ]
    journal("20260101-000000-000005", event("a train overtakes a car: subtract the speeds"), event("quorum"))
    assert [item.run for item in memory.plan_erase(["c1"]).journals] == [path.parent.name for path in quoting]
    receipt = memory.erase(["c1"])
    assert [item.path for item in receipt.journals] == [str(path) for path in quoting]
    assert receipt.journals[0].command == "phronesis runs prune 20260101-000000-000001"
    assert not receipt.complete and receipt.not_reached == ()
    for path in quoting[:3]:
        path.unlink()
    assert [item.run for item in memory.erase(["c1"]).journals] == ["20260101-000000-000004"]
    quoting[3].unlink()
    assert memory.erase(["c1"]).complete


HOLD = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("BEGIN")
print(connection.execute("SELECT COUNT(*) FROM concepts").fetchone()[0], flush=True)
sys.stdin.readline()
connection.execute("COMMIT")
print("let go", flush=True)
sys.stdin.readline()
"""


def test_an_older_reader_is_named_and_a_repeat_completes_it(memory: Memory) -> None:
    fill(memory)
    path = memory.folder / FILE_NAME
    reader = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert reader.stdin is not None and reader.stdout is not None
    try:
        assert reader.stdout.readline() == "2\n"
        receipt = memory.erase(["c2"])
        assert [item.place for item in receipt.not_reached] == [f"{path} and its -wal"]
        assert "another process is reading" in receipt.not_reached[0].why
        assert memory.get("c2").concept.suggestion == "(erased)"
        assert standing(memory.folder)
        reader.stdin.write("\n")
        reader.stdin.flush()
        assert reader.stdout.readline() == "let go\n"
        assert memory.erase(["c2"]).complete, "that the other process has the file open does not matter"
        assert standing(memory.folder, vectors=vectors_of(SECRET, LATER)) == []
    finally:
        reader.communicate("\n")


KILLED_AT = """
import os, signal, sys, phronesis
point = sys.argv[1]
def die(statement):
    if point in statement:
        os.kill(os.getpid(), signal.SIGKILL)
def audit(event, arguments):
    if event == "shutil.rmtree" and point == "rmtree":
        os.kill(os.getpid(), signal.SIGKILL)
sys.addaudithook(audit)
with phronesis.Memory.open("s") as memory:
    with memory._ledger.reading() as connection:
        connection.set_trace_callback(die)
    memory.erase(["c2"])
"""


@pytest.mark.parametrize(
    "point",
    ["DELETE FROM texts", "UPDATE events", "'erased'", "rebuild", "COMMIT", "secure_delete = OFF", "VACUUM",
     "wal_checkpoint", "rmtree"],
)  # fmt: skip
def test_an_erasure_killed_anywhere_is_completed_by_the_next(settings: Settings, point: str) -> None:
    quoting = settings.runs / "20260101-000000-000001" / "journal.jsonl"
    quoting.parent.mkdir(parents=True)
    quoting.write_text(json.dumps({"text": SECRET.suggestion}) + "\n")
    with Memory.open("s", settings=settings) as memory:
        fill(memory)
        folder = memory.folder
    (folder / "index" / "g000001").mkdir(parents=True)
    (folder / "index" / "g000001" / "data_level0.bin").write_bytes(vectors_of(LATER)[0])
    child = subprocess.run([sys.executable, "-c", KILLED_AT, point], capture_output=True, text=True)
    assert child.returncode == -signal.SIGKILL, child.stderr
    with Memory.open("s", settings=settings) as memory:
        receipt = memory.erase(["c2"])
        assert receipt.not_reached == ()
        assert [item.run for item in receipt.journals] == [quoting.parent.name], "found by the one that was killed"
        assert standing(folder, vectors=vectors_of(SECRET, LATER)) == []
        assert [item.change for item in memory.versions("c2")].count("erased") == 1
        assert memory.get("c1").concept == TRAIN
        quoting.unlink()
        assert memory.erase(["c2"]).complete


def test_the_index_goes_and_comes_back_without_it(settings: Settings) -> None:
    pytest.importorskip("chromadb")
    with Memory.open("s", settings=settings) as memory:
        fill(memory)
        assert memory.reindex() == "ready"
        with Memory.open("s", settings=settings) as second:
            receipt = second.erase(["c2"])
            assert [item.place for item in receipt.not_reached] == [str(memory.folder / "index")]
            assert "another process holds the index" in receipt.not_reached[0].why
        assert [hit.id for hit in memory.search("xylophone quorum", k=9)] == ["c1"]
        assert memory.erase(["c2"]).complete
        folder = memory.folder
        assert not (folder / "index").exists()
        assert "opened again" in memory.reindex(), "its memory may hold the vector, which would get into the files"
        assert [hit.id for hit in memory.search("train", k=9)] == ["c1"]
        assert not (folder / "index").exists()
    script = "import phronesis\nwith phronesis.Memory.open('s') as m: print(m.reindex(), m.search('train', k=9)[0].id)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "ready c1\n"
    assert list(folder.rglob("*.bin"))
    assert standing(folder, vectors=vectors_of(LATER)) == []


def test_an_open_reader_never_meets_it_again(settings: Settings) -> None:
    with Memory.open("s", settings=settings) as reader, Memory.open("s", settings=settings) as writer:
        writer.add([SECRET, TRAIN])
        pinned = reader.version()
        assert reader.search("xylophone quorum", k=1)[0].id == "c1"
        writer.erase(["c1"])
        assert [hit.id for hit in reader.search("xylophone quorum", k=5)] == ["c2"]
        assert [hit.id for hit in reader.search("xylophone quorum", k=5, version=pinned)] == ["c2"]


def test_vectors_made_while_it_was_erased_are_left_out(settings: Settings) -> None:
    class Slow(HashEmbedder):
        def embed_documents(self, texts):  # type: ignore[no-untyped-def]  # as its base
            if any("xylophone" in text for text in texts):
                with Memory.open("s", settings=settings.model_copy(update={"embedder": "none"})) as other:
                    other.erase(["c1"])
            return super().embed_documents(texts)

    with Memory.open("s", settings=settings.model_copy(update={"embedder": "none"})) as memory:
        memory.add([SECRET, TRAIN])
    with Memory.open("s", settings=settings, embedder=Slow()) as memory:
        assert [hit.id for hit in memory.search("train")] == ["c2"]
        assert memory.stats().vectors == 1
        assert standing(memory.folder, vectors=vectors_of(SECRET)) == []


def test_quotations_are_found_however_they_are_written() -> None:
    quotation = Quotation([SECRET])
    for text in (
        SECRET.situation,
        SECRET.suggestion.upper(),
        f"- [trial] When {SECRET.situation}: {SECRET.suggestion}",
        json.dumps(json.dumps({"a": SECRET.suggestion})),
        "the  xylophone\n quorum of\tZanzibar meets",
        "slithy-toves",
    ):
        assert quotation.in_text(text), text
        assert quotation.may_be_in(text), text
    hidden = "".join(f"\\u{ord(character):04x}" for character in SECRET.situation)
    assert quotation.may_be_in(hidden) and quotation.in_text(hidden)
    assert not quotation.may_be_in("a train overtakes a car")
    for text in ("", "quorum", "the xylophone", "slithy-toves and more", "n"):
        assert not quotation.in_text(text), text
    short = Quotation([Concept(suggestion="wait", situation="red light")])
    assert short.in_text("a\n- wait\nb") and short.in_text("- When red light: wait")
    assert not short.in_text("wait for it, there is a red light ahead")
    assert short.blanked({"status": "wait", "text": "wait", "n": [1, "red light"]}) == {
        "status": "wait", "text": "(erased)", "n": [1, "(erased)"],
    }  # fmt: skip
    accents = Quotation([Concept(suggestion="çà et là, naïvement: 🦊 renard")])
    assert accents.may_be_in(json.dumps("çà et là, naïvement: 🦊 renard").upper().replace("\\U", "\\u"))
    assert accents.in_text(json.dumps({"a": "çà et là, naïvement: 🦊 renard"}))
