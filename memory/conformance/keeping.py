"""What is acknowledged is kept: ids, durability, duplicates, operations, refusals."""

from __future__ import annotations

from phronesis.core.concept import Concept
from phronesis.core.errors import ConceptStoreError, ConfigurationError
from phronesis.memory.conformance.examples import DISCOUNT, PUMPS, ROUTINE, TEXTS, TRAIN, numbered
from phronesis.memory.conformance.expectations import expect, expect_equal, expect_refused
from phronesis.memory.conformance.store import Stores


def ids_are_stable_and_in_order(stores: Stores) -> None:
    """Every concept has an id of its own; ``list`` is in the order of adding; ids mean the same after reopening."""
    made = numbered(12)
    with stores.open() as store:
        ids = [*store.add(made[:5]), *store.add(made[5:6]), *store.add(made[6:])]
        expect_equal(len(set(ids)), 12, "different ids")
        expect_equal([item.id for item in store.list()], ids, "the order of list")
    with stores.open() as store:
        further = store.add([PUMPS])
        expect_equal([item.id for item in store.list()], ids + further, "the order after reopening")
        expect_equal([store.get(id).concept for id in ids], made, "what the ids mean after reopening")


def an_add_is_durable(stores: Stores) -> None:
    """What ``add`` returned is there after reopening, as it was given, and is found."""
    with stores.open() as store:
        ids = store.add([PUMPS, DISCOUNT], status="probation", origin="import")
        before = [store.get(id) for id in ids]
        version = store.version()
    with stores.open() as store:
        expect_equal([store.get(id) for id in ids], before, "the concepts after reopening")
        expect_equal(
            [(item.status, item.origin, item.version) for item in before], [("probation", "import", 1)] * 2, ""
        )
        expect_equal(store.version(), version, "the version after reopening")
        expect_equal([hit.id for hit in store.search("percent off", k=1)], ids[1:], "the nearest concept")


def a_concept_comes_back_whole(stores: Stores) -> None:
    """Every field of a parameterised concept comes back, from ``get``, ``list`` and ``search``."""
    with stores.open() as store:
        (id,) = store.add([ROUTINE])
        found = [store.get(id).concept]
        found += [item.concept for item in store.list()]
        found += [hit.concept for hit in store.search("workers", k=1)]
        expect_equal(found, [ROUTINE] * 3, "the concept")


def every_script_comes_back(stores: Stores) -> None:
    """Texts of any script and with any sign come back as they were given and find themselves."""
    made = [Concept(situation=text, suggestion=f"say: {text}", cues=(text[::-1],)) for text in TEXTS]
    with stores.open() as store:
        ids = store.add(made)
    with stores.open() as store:
        for id, concept in zip(ids, made, strict=True):
            expect_equal(store.get(id).concept, concept, "the text")
            hits = store.search(concept.situation, k=1)
            expect_equal([hit.id for hit in hits], [id], f"what {concept.situation!r} finds")


def an_add_is_all_or_nothing(stores: Stores) -> None:
    """When one concept of several is refused, none is added."""
    huge = Concept(suggestion="far too long " * 100_000)
    with stores.open() as store:
        expect_refused(ConfigurationError, lambda: store.add([PUMPS, huge]), naming="concept 2", what="a huge concept")
        expect_equal((len(store.list()), store.version()), (0, 0), "concepts and version")
        expect_equal(store.add([]), [], "ids of no concepts")


def an_exact_duplicate_is_one_concept(stores: Stores) -> None:
    """The same text, case and spacing aside, keeps its id and changes nothing; inside one ``add`` too."""
    shouted = Concept(
        situation=f"  {PUMPS.situation.upper()} ", suggestion=PUMPS.suggestion.title(), source="elsewhere"
    )
    with stores.open() as store:
        (pumps,) = store.add([PUMPS])
        train, again, third = store.add([TRAIN, shouted, TRAIN])
        expect_equal((again, third), (pumps, train), "ids of duplicates")
        expect_equal([item.concept for item in store.list()], [PUMPS, TRAIN], "what is kept")
        expect_equal(store.version(), 2, "the version")


def an_operation_is_done_once(stores: Stores) -> None:
    """A repeated operation id returns the first outcome and adds nothing, whatever comes with it, also after reopening."""
    with stores.open() as store:
        ids = store.add([PUMPS, TRAIN], operation="import 1")
        expect_equal(store.add([PUMPS, TRAIN], operation="import 1"), ids, "ids of the repeat")
        version = store.version()
    with stores.open() as store:
        expect_equal(store.add([DISCOUNT], operation="import 1"), ids, "ids of the repeat after reopening")
        expect_equal((len(store.list()), store.version()), (2, version), "concepts and version")
        expect(store.add([DISCOUNT], operation="import 2") != ids, "another operation id is another operation")


def the_version_counts_changes(stores: Stores) -> None:
    """The version is 0 at first and rises with each concept; searching, repeats and uses leave it."""
    with stores.open() as store:
        expect_equal(store.version(), 0, "the version of an empty store")
        ids = store.add(numbered(3))
        expect_equal(store.version(), 3, "the version after three concepts")
        store.search("pumps")
        store.add(numbered(3))
        store.record_use(ids, accepted=True, operation="use")
        expect_equal(store.version(), 3, "the version after reading, repeating and using")


def history_tells_how_it_came(stores: Stores) -> None:
    """A concept's history begins with its making, its events rise, and another's events are not among them."""
    with stores.open() as store:
        first, second = store.add([PUMPS, TRAIN])
        for place, id in enumerate((first, second), start=1):
            expect_equal(
                [(event.version, event.kind) for event in store.history(id)], [(place, "created")], "the history"
            )


def unknown_ids_are_named(stores: Stores) -> None:
    """An id that does not exist, or is none, is refused by name."""
    with stores.open() as store:
        store.add([PUMPS])
        for id in ("c77", "77", "", "c1; drop"):
            what = f"an unknown id {id!r}"
            expect_refused(ConceptStoreError, lambda id=id: store.get(id), naming=repr(id), what=what)  # type: ignore[misc]
            expect_refused(ConceptStoreError, lambda id=id: store.history(id), naming=repr(id), what=what)  # type: ignore[misc]


def a_closed_store_says_so(stores: Stores) -> None:
    """After closing every call is refused; closing again does nothing."""
    with stores.open() as store:
        store.add([PUMPS])
        store.close()
        for call in (store.version, store.list, lambda: store.add([TRAIN]), lambda: store.search("x")):
            expect_refused(ConceptStoreError, call, naming="closed", what="a closed store")
        store.close()


def stores_do_not_see_each_other(stores: Stores) -> None:
    """What one store holds, another of another name does not."""
    with stores.open() as one, stores.open(of="-2") as other:
        one.add([PUMPS])
        expect_equal((other.list(), other.search("pumps"), other.version()), ([], [], 0), "the other store")


LAWS = (
    ids_are_stable_and_in_order,
    an_add_is_durable,
    a_concept_comes_back_whole,
    every_script_comes_back,
    an_add_is_all_or_nothing,
    an_exact_duplicate_is_one_concept,
    an_operation_is_done_once,
    the_version_counts_changes,
    history_tells_how_it_came,
    unknown_ids_are_named,
    a_closed_store_says_so,
    stores_do_not_see_each_other,
)
