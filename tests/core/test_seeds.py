"""Seeds: figures that no process, hash seed or version may change."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from phronesis.core.chat import request_hash
from phronesis.core.seeds import derive, generator
from phronesis.core.task import Task

SHOW = """
from phronesis.core.chat import request_hash
from phronesis.core.seeds import derive, generator
from phronesis.core.task import Task
print(derive(0), derive(0, "t", "r1.c0#solver.0", 3), derive(7, "素", 0), generator(1, "a").random(),
      request_hash({"b": 1, "a": [None, "素"]}), Task(messages="What is 1 + 1?").id)
"""
PINNED = "937703582 2069888794 518137632 0.2932950116718366 953abf24735a4249 t3276ccbef79a"


def test_the_figures_are_pinned() -> None:
    shown = (
        f"{derive(0)} {derive(0, 't', 'r1.c0#solver.0', 3)} {derive(7, '素', 0)} {generator(1, 'a').random()} "
        f"{request_hash({'a': [None, '素'], 'b': 1})} {Task(messages='What is 1 + 1?').id}"
    )
    assert shown == PINNED, "recorded runs cannot be resumed when these change"


@pytest.mark.parametrize("hash_seed", ["0", "1", "12345"])
def test_every_process_has_the_same_figures(hash_seed: str) -> None:
    env = {**os.environ, "PYTHONHASHSEED": hash_seed}
    done = subprocess.run([sys.executable, "-c", SHOW], capture_output=True, text=True, env=env, timeout=30, check=True)
    assert done.stdout.strip() == PINNED


def test_every_part_counts_and_parts_do_not_run_together() -> None:
    paths: list[tuple[str | int, ...]] = [
        (), ("",), ("a",), ("ab",), ("a", "b"), ("b", "a"), ("a", 1), ("a", "1"), (1,), (11,), (1, 1), ("a\x00b",), (-1,)
    ]  # fmt: skip
    assert len({derive(0, *path) for path in paths}) == len(paths)
    assert len({derive(seed, "a") for seed in range(1000)}) == 1000


def test_seeds_fit_every_server() -> None:
    found = [derive(seed, "x", index) for seed in (-5, 0, 2**40) for index in range(300)]
    assert all(0 <= seed < 2**31 for seed in found) and len(set(found)) == len(found)


def test_a_generator_is_its_own() -> None:
    first, second = generator(3, "a"), generator(3, "b")
    assert [generator(3, "a").random() for _ in range(2)] == [first.random()] * 2
    assert first.random() != second.random()
