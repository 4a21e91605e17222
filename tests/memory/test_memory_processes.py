"""Many processes on one memory, all at once; memories side by side; models that think long."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from crowd_member import COUNTER, WRITES, fact

from phronesis.core.concept import Concept, StoredConcept
from phronesis.core.errors import Conflict
from phronesis.core.ports import Vectors
from phronesis.core.settings import Settings
from phronesis.index.embedders import HashEmbedder
from phronesis.memory.findings import VerifyReport
from phronesis.memory.ledger import FILE_NAME
from phronesis.memory.session import Memory

MEMBERS = 8
ROUNDS = WRITES // 5
COLD = "c2"
OPEN_AND_SEARCH = """
import time
from phronesis.memory.session import Memory
start = time.perf_counter()
with Memory.open("crowd", create=False) as memory:
    hits = memory.search("the counter", k=1)
    print(hits[0].id, time.perf_counter() - start)
"""
CONSOLIDATE = f"""
import time
from phronesis.core.concept import Concept
from phronesis.core.errors import Conflict
from phronesis.memory.session import Memory
with Memory.open("crowd", create=False) as memory:
    hot, cold = memory.get("{COUNTER}"), memory.get("{COLD}")
    print("read", flush=True)
    while memory.get("{COUNTER}").version < hot.version + 20:
        time.sleep(0.005)
    for id, seen in (("{COUNTER}", hot), ("{COLD}", cold)):
        try:
            merged = Concept(situation="merged " + id, suggestion="merged")
            memory.update(id, merged, reason="merged", expect_version=seen.version, operation="merge " + id)
        except Conflict as error:
            print("conflict", id)
        else:
            print("merged", id)
"""


def start(*command: str) -> subprocess.Popen[str]:
    pipe = subprocess.PIPE
    return subprocess.Popen([sys.executable, *command], stdin=pipe, stdout=pipe, stderr=pipe, text=True)


class Crowd:
    """What the processes did, and what is left."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.unseen: list[str] = []
        """Adds that the next search of another process did not find."""
        self.members: list[dict[str, Any]] = []
        self.errors: list[str] = []
        """Standard error of every process."""
        with Memory.open("crowd", settings=settings) as memory:
            memory.add([Concept(situation="the counter", suggestion="0"), Concept(situation="cold", suggestion="cold")])
            self._run(memory)
        with Memory.open("crowd", settings=settings) as memory:
            self.concepts: Sequence[StoredConcept] = memory.list()
            self.counter = memory.get(COUNTER)
            self.counter_events = [event.kind for event in memory.history(COUNTER)]
            self.cold = memory.get(COLD)
            self.report: VerifyReport = memory.verify()

    def _run(self, memory: Memory) -> None:
        script = str(Path(__file__).parent / "crowd_member.py")
        children = [start(script, str(number)) for number in range(MEMBERS)]
        for child in children:
            assert child.stdout is not None
            assert child.stdout.readline() == "ready\n", child.communicate()
        consolidation = start("-c", CONSOLIDATE)
        assert consolidation.stdout is not None
        assert consolidation.stdout.readline() == "read\n"
        halfway = threading.Semaphore(0)

        def follow(child: subprocess.Popen[str]) -> dict[str, Any]:
            """Searches for each add the moment it was acknowledged."""
            assert child.stdout is not None
            for number, line in enumerate(child.stdout):
                told: dict[str, Any] = json.loads(line)
                if "added" not in told:
                    return told
                if told["added"] not in [hit.id for hit in memory.search(told["situation"], k=1)]:
                    self.unseen.append(told["added"])
                if number == ROUNDS // 3:
                    halfway.release()
            return {}

        with ThreadPoolExecutor(MEMBERS) as pool:
            following = [pool.submit(follow, child) for child in children]
            for child in children:
                assert child.stdin is not None
                child.stdin.write("go\n")
                child.stdin.flush()
            halfway.acquire(timeout=120)
            opener = start("-c", OPEN_AND_SEARCH)
            self.opened, opened_errors = opener.communicate(timeout=120)
            self.members = [future.result() for future in following]
        self.consolidated, consolidated_errors = consolidation.communicate(timeout=120)
        self.errors = [opened_errors, consolidated_errors]
        for child in children:
            self.errors.append(child.communicate(timeout=60)[1])
        self.exits = [child.returncode for child in (*children, consolidation, opener)]


@pytest.fixture(scope="module")
def crowd(tmp_path_factory: pytest.TempPathFactory) -> Crowd:
    """Run once for the tests below."""
    home = tmp_path_factory.mktemp("crowd")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PHRONESIS_HOME", str(home))
        patch.setenv("PHRONESIS_EMBEDDER", "hash")
        patch.setenv("PYTHONPATH", str(Path(__file__).parent))
        return Crowd(Settings(home=home, embedder="hash"))


def test_no_process_fails_and_none_hears_of_locks(crowd: Crowd) -> None:
    assert crowd.exits == [0] * (MEMBERS + 2), crowd.errors
    assert [text for text in crowd.errors if "locked" in text or "Traceback" in text] == []
    assert crowd.report.sound, crowd.report.problems


def test_identical_facts_are_one_row_and_overlapping_lessons_one_concept(crowd: Crowd) -> None:
    assert len({json.dumps(member["ids"], sort_keys=True) for member in crowd.members}) == 1, "they disagree about ids"
    situations = [item.concept.situation.rstrip("!") for item in crowd.concepts]
    assert len(situations) == len(set(situations)) == 2 + 2 * ROUNDS + MEMBERS * ROUNDS
    ids = crowd.members[0]["ids"]
    kept = {item.id: item for item in crowd.concepts}
    for n in range(0, WRITES, 5):
        found = kept[ids[f"fact {n}"]]
        assert found.concept == fact(n)
        assert (found.recalled, found.helped, found.harmed) == (MEMBERS, MEMBERS // 2, MEMBERS // 2)


def test_no_update_is_lost(crowd: Crowd) -> None:
    assert crowd.counter.concept.suggestion == str(MEMBERS * ROUNDS)
    assert crowd.counter.version == 1 + MEMBERS * ROUNDS
    assert crowd.counter_events == ["created", *["updated"] * MEMBERS * ROUNDS]


def test_a_slow_consolidation_changes_what_nobody_changed_and_nothing_else(crowd: Crowd) -> None:
    assert crowd.consolidated.split("\n")[:2] == [f"conflict {COUNTER}", f"merged {COLD}"]
    assert (crowd.cold.concept.suggestion, crowd.cold.version) == ("merged", 2)


def test_an_add_is_visible_to_the_next_search_of_another_process(crowd: Crowd) -> None:
    assert crowd.unseen == []


def test_a_second_opener_is_ready_while_the_others_write(crowd: Crowd) -> None:
    """The bound that the architecture states: the first search answered within two seconds."""
    name, seconds = crowd.opened.split()
    assert name == COUNTER
    assert float(seconds) < 2.0


def test_memories_never_block_each_other(settings: Settings) -> None:
    """A writer that keeps one memory's lock holds up that memory's writers, nobody's readers and no other memory."""
    concept = Concept(situation="pumps", suggestion="add the rates")
    with Memory.open("one", settings=settings) as one, Memory.open("other", settings=settings) as other:
        one.add([concept])
        with closing(sqlite3.connect(one.folder / FILE_NAME, isolation_level=None)) as lock:
            lock.execute("BEGIN IMMEDIATE")
            assert other.add([concept]) == ["c1"]
            assert [hit.id for hit in one.search("pumps")] == ["c1"]
            with Memory.open("one", settings=settings) as second:
                assert [hit.id for hit in second.search("pumps")] == ["c1"]
            with ThreadPoolExecutor(1) as pool, Memory.open("one", settings=settings) as waiting:
                added = pool.submit(waiting.add, [Concept(situation="trains", suggestion="x")])
                assert other.add([Concept(situation="trains", suggestion="x")]) == ["c2"]
                assert not added.done()
                lock.execute("COMMIT")
                assert added.result(timeout=60) == ["c2"]


class Thinking(HashEmbedder):
    """Takes as long over one text as the test wants."""

    def __init__(self) -> None:
        self.asked, self.answer = threading.Event(), threading.Event()

    def embed_documents(self, texts: Sequence[str]) -> Vectors:
        if "think about this" in texts:
            self.asked.set()
            assert self.answer.wait(60)
        return super().embed_documents(texts)


def test_a_model_that_thinks_long_keeps_nobody_waiting(settings: Settings) -> None:
    """While it works others write; what they changed meanwhile is not overwritten."""
    slow = Thinking()
    text = Concept(situation="think about this", suggestion="slow")
    with Memory.open("s", settings=settings) as fast, Memory.open("s", settings=settings, embedder=slow) as thinking:
        fast.add([Concept(situation="pumps", suggestion="add the rates")])
        with ThreadPoolExecutor(1) as pool:
            late = pool.submit(thinking.update, "c1", text, reason="slow", expect_version=1)
            assert slow.asked.wait(60)
            fast.update("c1", Concept(situation="pumps", suggestion="faster"), reason="fast", expect_version=1)
            assert fast.add([Concept(situation="trains", suggestion="x")]) == ["c2"]
            slow.answer.set()
            with pytest.raises(Conflict, match="c1 is at version 2, not 1"):
                late.result(timeout=60)
        assert fast.get("c1").concept.suggestion == "faster"
        assert thinking.update("c1", text, reason="again", expect_version=2).version == 3
