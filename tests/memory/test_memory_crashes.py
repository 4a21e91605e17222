"""Kills, power cuts and processes side by side."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from phronesis.core.concept import Concept
from phronesis.core.settings import Settings
from phronesis.memory.session import Memory

ADD_FOREVER = """
import phronesis, sys
with phronesis.Memory.open("s") as memory:
    for n in range(100000):
        concept = phronesis.Concept(situation=f"{sys.argv[1]} situation {n}", suggestion=f"do {n}")
        print(memory.add([concept])[0], n, flush=True)
"""

ADD_FIFTY = """
import json, phronesis, sys
ids = {}
with phronesis.Memory.open("s") as memory:
    print("ready", flush=True)
    sys.stdin.readline()
    for n in range(50):
        name = f"shared {n}" if n % 2 else f"{sys.argv[1]} {n}"
        ids[name] = memory.add([phronesis.Concept(situation=name, suggestion="x")])[0]
        assert memory.search(name, k=1)[0].id == ids[name]
print(json.dumps(ids))
"""


def start(script: str, name: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", script, name], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )


def test_a_killed_process_loses_nothing_it_printed(settings: Settings) -> None:
    printed: dict[str, str] = {}
    for kill in range(10):
        with start(ADD_FOREVER, f"kill {kill}") as child:
            assert child.stdout is not None
            lines = [child.stdout.readline() for _ in range(3)]
            time.sleep(0.003 * kill)
            child.send_signal(signal.SIGKILL)
            lines += child.stdout.readlines()
        for line in lines:
            if line.endswith("\n"):
                name, n = line.split()
                assert name not in printed
                printed[name] = f"kill {kill} situation {n}"
    with Memory.open("s", settings=settings) as memory:
        for name, situation in printed.items():
            assert memory.get(name).concept.situation == situation
        # At most the one being added at each kill may be there unprinted.
        assert len(printed) <= memory.stats().count <= len(printed) + 10
        name, situation = next(reversed(printed.items()))
        assert memory.search(situation, k=1)[0].id == name


def test_two_processes_write_side_by_side(settings: Settings) -> None:
    children = [start(ADD_FIFTY, name) for name in ("one", "two")]
    for child in children:
        assert child.stdout is not None
        assert child.stdout.readline() == "ready\n"
    outputs = []
    for child in children:
        assert child.stdin is not None
        child.stdin.write("go\n")
        child.stdin.flush()
    for child in children:
        outputs.append(json.loads(child.communicate()[0]))
        assert child.returncode == 0
    one, two = outputs
    assert all(one[f"shared {n}"] == two[f"shared {n}"] for n in range(1, 50, 2))
    with Memory.open("s", settings=settings) as memory:
        assert memory.stats().count == 75
        assert memory.version() == 75
        for name, number in {**one, **two}.items():
            assert memory.get(number).concept.situation == name


def test_an_add_is_visible_to_the_next_search_of_another_process(settings: Settings) -> None:
    with Memory.open("s", settings=settings) as reader, Memory.open("s", settings=settings) as writer:
        assert reader.search("pumps") == []
        for n in range(5):
            (name,) = writer.add([Concept(situation=f"pumps number {n}", suggestion="x")])
            assert name in [hit.id for hit in reader.search(f"pumps number {n}", k=2)]
        writer.write([Concept(situation="trains", suggestion="x")], operation="w")
        assert reader.search("trains", k=1)[0].status == "probation"


@pytest.mark.parametrize("step", range(1, 7))
def test_a_power_cut_after_any_write_keeps_exactly_what_was_acknowledged(
    settings: Settings, tmp_path: Path, step: int
) -> None:
    """The files as they are on disk after each write, opened elsewhere without the first process closing them."""
    with Memory.open("s", settings=settings) as memory:
        acknowledged: list[str] = []
        for n in range(step):
            if n % 2:
                outcomes = memory.write(
                    [Concept(situation=f"topic{n}{n}{n}", suggestion=f"way {n}")], operation=f"run {n}"
                )
                acknowledged += [outcome.id or "" for outcome in outcomes]
                memory.record_use([acknowledged[-1]], accepted=True, operation=f"use {n}")
            else:
                acknowledged += memory.add([Concept(situation=f"subject{n}{n}", suggestion=f"way {n}")])
        version = memory.version()
        copy = settings.model_copy(update={"home": tmp_path / "after the cut"})
        shutil.copytree(memory.folder, copy.memory / "s")
    with Memory.open("s", settings=copy) as memory:
        assert [stored.id for stored in memory.list()] == acknowledged
        assert memory.version() == version
        for n in range(1, step, 2):
            assert memory.get(f"c{n + 1}").helped == 1
            again = memory.write([Concept(situation="ignored", suggestion="ignored")], operation=f"run {n}")
            assert [outcome.id for outcome in again] == [f"c{n + 1}"]
        assert memory.version() == version
