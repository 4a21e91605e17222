"""One process of the crowd in test_memory_processes.py: writes to one memory what the others write too, as fast as it can.

Argument: its number. Waits for a line on standard input, tells of its own adds while it works and prints at the end what came
out.
"""

from __future__ import annotations

import hashlib
import json
import sys

from phronesis.core.concept import Concept
from phronesis.core.errors import Conflict
from phronesis.memory.session import Memory

WRITES = 200
COUNTER = "c1"


def words(text: str) -> str:
    """Eight words that no other text has, so that only the same text is near."""
    digest = hashlib.blake2b(text.encode(), digest_size=32).hexdigest()
    return " ".join(digest[start : start + 8] for start in range(0, 64, 8))


def fact(n: int) -> Concept:
    """The same in every process."""
    return Concept(situation=words(f"fact {n}"), suggestion="do it")


def lesson(n: int, who: int) -> Concept:
    """The same situation in every process, the advice in other words."""
    return Concept(situation=words(f"lesson {n}") + "!" * (who % 3), suggestion=words(f"advice {n} of {who}"))


def count(memory: Memory) -> int:
    """Adds one to the counter by compare-and-swap; how often somebody was faster."""
    conflicts = 0
    while True:
        now = memory.get(COUNTER)
        text = Concept(situation="the counter", suggestion=str(int(now.concept.suggestion) + 1))
        try:
            memory.update(COUNTER, text, reason="counted", expect_version=now.version)
        except Conflict:
            conflicts += 1
        else:
            return conflicts


def main(who: int) -> None:
    ids: dict[str, str | None] = {}
    conflicts = 0
    with Memory.open("crowd", create=False) as memory:
        print("ready", flush=True)
        sys.stdin.readline()
        for n in range(0, WRITES, 5):
            (id,) = memory.add([fact(n)], operation=f"{who} fact {n}")
            ids[f"fact {n}"] = id
            (outcome,) = memory.write([lesson(n, who)], operation=f"{who} lesson {n}")
            assert outcome.outcome in ("written", "evidence"), outcome
            ids[f"lesson {n}"] = outcome.id
            own = words(f"own {n} of {who}")
            (mine,) = memory.add([Concept(situation=own, suggestion="x")])
            print(json.dumps({"added": mine, "situation": own}), flush=True)
            memory.record_use([id], accepted=bool(who % 2), operation=f"{who} use {n}")
            conflicts += count(memory)
    print(json.dumps({"ids": ids, "conflicts": conflicts}), flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]))
