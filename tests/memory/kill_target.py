"""The process that test_memory_kills.py kills: changes a memory without end and prints each change once it is durable.

Arguments: a seed, and what it does: ``write``, ``index`` as well, or ``bulk``: add many at first, so that indexing
takes long.
"""

from __future__ import annotations

import json
import random
import sys
from typing import Any

from phronesis.core.concept import Concept
from phronesis.memory.session import Memory

COUNTER, USED = "c1", "c2"
BULK = 700


def say(**told: Any) -> None:
    print(json.dumps(told), flush=True)


def numbered(seed: int, n: int) -> Concept:
    return Concept(
        situation=f"seed{seed}x case{n}y words{seed * 31 + n * 7}z", suggestion=f"do {n}", cues=(f"sign {n}",)
    )


def main(seed: int, what: str) -> None:
    rng = random.Random(seed)
    with Memory.open("s", create=False) as memory:
        if what == "bulk":
            memory.add([numbered(seed, 10_000 + n) for n in range(BULK)], operation=f"bulk {seed}")
            say(did="bulk")
        own: list[str] = []
        for n in range(10_000):
            verb = rng.choice(["add", "add", "write", "use", "count", "forget"])
            if verb == "add":
                (id,) = memory.add([numbered(seed, n)])
                own.append(id)
                say(did="add", id=id, situation=numbered(seed, n).situation)
            elif verb == "write":
                (outcome,) = memory.write([numbered(seed, n)], operation=f"{seed} {n}")
                say(did="add", id=outcome.id, situation=numbered(seed, n).situation)
            elif verb == "use":
                memory.record_use([USED], accepted=True, operation=f"{seed} use {n}")
                say(did="use")
            elif verb == "count":
                now = memory.get(COUNTER)
                text = Concept(situation="the counter", suggestion=str(int(now.concept.suggestion) + 1))
                memory.update(COUNTER, text, reason="counted", expect_version=now.version)
                say(did="count", to=text.suggestion)
            elif own:
                memory.forget([own[-1]], reason="not needed")
                say(did="forget", id=own.pop())
            if what != "write" and n % 5 == 0:
                memory.reindex()
                say(did="index", state=memory.stats().index)


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2])
