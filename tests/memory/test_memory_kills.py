"""kill -9, again and again, of a process that writes and indexes: the memory it leaves is whole."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from kill_target import BULK, COUNTER, USED
from ties import assert_same_but_for_ties

from phronesis.core.concept import Concept
from phronesis.core.settings import Settings
from phronesis.memory.session import Memory

MOST_BULKS = 5


class Acknowledged:
    """What killed processes had printed."""

    def __init__(self) -> None:
        self.added: dict[str, str] = {}
        self.forgotten: set[str] = set()
        self.uses = 0
        self.counted = 0
        self.unprinted = 0
        """At most so many changes were made and not printed."""

    def take(self, lines: list[str]) -> None:
        for line in lines:
            if not line.endswith("\n"):
                continue  # torn by the kill
            told = json.loads(line)
            if told["did"] == "add":
                self.added[told["id"]] = told["situation"]
            elif told["did"] == "forget":
                self.forgotten.add(told["id"])
            elif told["did"] == "count":
                self.counted = int(told["to"])
            self.uses += told["did"] == "use"
        self.unprinted += 1


def kill_one(seed: int, what: str, rng: random.Random) -> list[str]:
    """The lines of a process that was killed after a random one of them, and a random moment."""
    script = str(Path(__file__).parent / "kill_target.py")
    with subprocess.Popen([sys.executable, script, str(seed), what], stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        lines = [child.stdout.readline() for _ in range(rng.randint(1, 30))]
        time.sleep(rng.uniform(0, 0.01 if what == "write" else 0.25))
        child.send_signal(signal.SIGKILL)
        lines += child.stdout.readlines()
    assert child.returncode == -signal.SIGKILL, "it ended by itself"
    return lines


@pytest.mark.parametrize(
    "kills", [10, pytest.param(200, marks=[pytest.mark.soak, pytest.mark.timeout(3000)])], ids=["ten", "two hundred"]
)
def test_kill_9_leaves_a_whole_memory(settings: Settings, kills: int) -> None:
    rng = random.Random(kills)
    acknowledged = Acknowledged()
    with Memory.open("s", settings=settings) as memory:
        memory.add([Concept(situation="the counter", suggestion="0"), Concept(situation="used", suggestion="use it")])
    bulks = 0
    for kill in range(kills):
        what = ("write", "bulk" if bulks < MOST_BULKS else "index")[kill % 2]
        acknowledged.take(kill_one(kill, what, rng))
        bulks += what == "bulk"
        with Memory.open("s", settings=settings) as memory:
            check(memory, acknowledged, bulks=bulks)
            if what != "write":
                check_index(memory, settings)


def check(memory: Memory, acknowledged: Acknowledged, *, bulks: int) -> None:
    """Everything printed is there, nothing is half there, and at most one change per kill was not printed."""
    problems = memory.verify().problems
    # An index that was not closed is not trusted and made anew; the ledger is whole.
    assert [problem for problem in problems if problem.where != "index"] == []
    for id, situation in acknowledged.added.items():
        found = memory.get(id)
        assert found.concept.situation == situation
        if id in acknowledged.forgotten:
            assert found.status == "invalid"
    stats = memory.stats()
    everything = 2 + len(acknowledged.added) + BULK * bulks
    assert everything <= stats.count + stats.invalid <= everything + acknowledged.unprinted
    assert acknowledged.uses <= memory.get(USED).recalled <= acknowledged.uses + acknowledged.unprinted
    counted = int(memory.get(COUNTER).concept.suggestion)
    assert acknowledged.counted <= counted <= acknowledged.counted + acknowledged.unprinted
    assert memory.get(COUNTER).version == counted + 1
    last = [id for id in acknowledged.added if id not in acknowledged.forgotten][-3:]
    for id in last:
        if memory.get(id).status != "invalid":  # a forgetting that was not printed
            assert memory.search(acknowledged.added[id], k=1)[0].id == id


def check_index(memory: Memory, settings: Settings) -> None:
    """Brought up to date by itself, the index holds every vector and finds what exact search finds."""
    assert memory.reindex() == "ready"
    assert memory.stats().indexed == memory.stats().vectors
    report = memory.verify()
    assert report.sound, report.problems
    with Memory.open("s", settings=settings) as exact:
        for query in ("case10005y", "words12z sign 3", "the counter"):
            found = [[(hit.id, hit.score) for hit in store.search(query, k=5)] for store in (memory, exact)]
            assert_same_but_for_ties(*found, missed=1)
