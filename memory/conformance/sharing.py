"""One store, opened twice or used by threads."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

from phronesis.core.concept import Concept
from phronesis.core.errors import Conflict
from phronesis.memory.conformance.examples import PUMPS, TRAIN, numbered
from phronesis.memory.conformance.expectations import expect, expect_equal
from phronesis.memory.conformance.store import ConceptStore, Stores

THREADS = 6


def _side_by_side(work: Callable[[int], object]) -> None:
    """Runs the work in threads that begin together; the first failure comes out."""
    begin = threading.Barrier(THREADS)

    def one(number: int) -> None:
        begin.wait(30)
        work(number)

    with ThreadPoolExecutor(THREADS) as pool:
        for future in [pool.submit(one, number) for number in range(THREADS)]:
            future.result()


def an_add_is_seen_by_every_handle(stores: Stores) -> None:
    """What one handle adds, writes or promotes is in the next search of any other, and so are the versions."""
    with stores.open() as reader, stores.open() as writer:
        expect_equal(reader.search("pumps"), [], "before")
        for n, concept in enumerate(numbered(12)):
            (id,) = writer.add([concept])
            expect_equal([hit.id for hit in reader.search(concept.situation, k=1)], [id], f"search after add {n}")
            expect_equal(reader.version(), n + 1, "the version")
        (written,) = writer.write([TRAIN], operation="w")
        hits = reader.search(TRAIN.situation, k=1)
        expect_equal([(hit.id, hit.status) for hit in hits], [(written.id, "probation")], "search after a write")
        for use in ("a", "b"):
            reader.record_use([written.id or ""], accepted=True, operation=use)
        hits = writer.search(TRAIN.situation, k=1)
        expect_equal([hit.status for hit in hits], ["active"], "search after a promotion")


def identical_facts_become_one(stores: Stores) -> None:
    """Threads that add the same concepts at once, through handles of their own, end with one each, and agree on the ids."""
    made = numbered(12)
    found: dict[int, Sequence[str]] = {}
    with stores.open() as store:

        def work(number: int) -> None:
            order = made[number:] + made[:number]
            with stores.open() as mine:
                ids = {concept.situation: mine.add([concept])[0] for concept in order}
            found[number] = [ids[concept.situation] for concept in made]

        _side_by_side(work)
        expect_equal(len({tuple(ids) for ids in found.values()}), 1, "different answers about the ids")
        expect_equal((len(store.list()), store.version()), (12, 12), "concepts and version")


def a_handle_is_safe_in_threads(stores: Stores) -> None:
    """Threads may add, write, use and search through one handle; every one sees its own adds, and nothing is lost."""
    with stores.open() as store:

        def work(number: int) -> None:
            for n in range(6):
                text = f"thread {number} words{number}x{n} alone{n}y{number}"
                (id,) = store.add([Concept(situation=text, suggestion="x")], operation=f"{number} {n}")
                store.record_use([id], accepted=True, operation=f"use {number} {n}")
                expect_equal([hit.id for hit in store.search(text, k=1)], [id], "the thread's own add")

        _side_by_side(work)
        concepts = store.list()
        expect_equal(len({item.concept.situation for item in concepts}), 6 * THREADS, "concepts")
        expect_equal({item.recalled for item in concepts}, {1}, "uses")


def a_pinned_version_stands_still(stores: Stores) -> None:
    """While others add, a search of a pinned version answers the same each time."""
    with stores.open() as store:
        store.add(numbered(20))
        pinned = store.version()
        wanted = [(hit.id, hit.score) for hit in store.search("tank case", k=8, version=pinned)]

        def work(number: int) -> None:
            for n in range(5):
                if number % 2:
                    store.add([Concept(situation=f"tank case {number} of {n}", suggestion="x")])
                else:
                    hits = store.search("tank case", k=8, version=pinned)
                    expect_equal([(hit.id, hit.score) for hit in hits], wanted, "the pinned answer")

        _side_by_side(work)
        expect_equal(len(store.list()), 20 + 5 * THREADS // 2, "concepts")


def no_update_is_lost(stores: Stores) -> None:
    """Threads that count in one concept by compare-and-swap, each through a handle of its own, lose no step."""
    steps = 4

    def count(store: ConceptStore, id: str) -> None:
        while True:
            now = store.get(id)
            number = int(now.concept.implementation[0]) + 1
            text = now.concept.model_copy(update={"implementation": (str(number),)})
            try:
                store.update(id, text, reason="counted", expect_version=now.version)
            except Conflict:
                continue
            return

    with stores.open() as store:
        (id,) = store.add([PUMPS.model_copy(update={"implementation": ("0",)})])

        def work(number: int) -> None:
            with stores.open() as mine:
                for _ in range(steps):
                    count(mine, id)

        _side_by_side(work)
        found = store.get(id)
        expect_equal(found.concept.implementation, (str(steps * THREADS),), "what was counted")
        expect_equal(found.version, 1 + steps * THREADS, "the concept's version")
        expect(len(store.history(id)) == 1 + steps * THREADS, "the history has a gap")


LAWS = (
    an_add_is_seen_by_every_handle,
    identical_facts_become_one,
    a_handle_is_safe_in_threads,
    a_pinned_version_stands_still,
    no_update_is_lost,
)
