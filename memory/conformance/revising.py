"""Changes: new text by compare-and-swap, forgetting with history, coming back."""

from __future__ import annotations

from collections.abc import Callable

from phronesis.core.concept import Concept
from phronesis.core.errors import ConceptStoreError, Conflict
from phronesis.memory.conformance.examples import DISCOUNT, PUMPS, TRAIN
from phronesis.memory.conformance.expectations import expect, expect_equal, expect_refused
from phronesis.memory.conformance.store import ConceptStore, Stores

BETTER = Concept(situation="several taps fill one basin", suggestion="add what each fills in an hour")


def _state(store: ConceptStore) -> object:
    return store.version(), store.list()


def an_update_replaces_the_text(stores: Stores) -> None:
    """From an update on the concept says the new text under the old id, with the next version, and is found by it alone;
    an older version still says the old one."""
    with stores.open() as store:
        pumps, train = store.add([PUMPS, TRAIN])
        then = store.version()
        expect_equal(store.update(pumps, BETTER, reason="clearer"), store.get(pumps), "what update returns")
    with stores.open() as store:
        found = store.get(pumps)
        expect_equal((found.concept, found.version, found.status), (BETTER, 2, "active"), "text, version, status")
        expect(store.version() > then, "an update is a change of the version")
        expect_equal([hit.id for hit in store.search(BETTER.situation, k=1)], [pumps], "found by the new text")
        hits = store.search(PUMPS.situation, k=2)
        expect(all(hit.score < 0.99 for hit in hits), f"still found by the old text: {hits}")
        old = store.search(PUMPS.situation, k=1, version=then)
        expect_equal([(hit.id, hit.concept) for hit in old], [(pumps, PUMPS)], "the older version")
        expect_equal([item.id for item in store.list()], [pumps, train], "list")
        expect_equal([event.kind for event in store.history(pumps)], ["created", "updated"], "history")


def an_update_of_another_version_is_a_conflict(stores: Stores) -> None:
    """Who expects a version that the concept no longer has changes nothing and is told by a Conflict."""
    with stores.open() as store:
        (id,) = store.add([PUMPS])
        store.update(id, BETTER, reason="first", expect_version=1)
        before = _state(store)
        call = lambda: store.update(id, TRAIN, reason="second", expect_version=1)  # noqa: E731
        expect_refused(Conflict, call, naming=id, what="an update of an older version")
        expect_equal(_state(store), before, "what the conflict left")
        store.update(id, TRAIN, reason="third", expect_version=2)
        expect_equal(store.get(id).concept, TRAIN, "an update of the version that is")


def no_two_say_the_same(stores: Stores) -> None:
    """An update to what another concept says word for word is a Conflict and changes nothing."""
    with stores.open() as store:
        pumps, _ = store.add([PUMPS, TRAIN])
        before = _state(store)
        call = lambda: store.update(pumps, TRAIN, reason="the same")  # noqa: E731
        expect_refused(Conflict, call, naming="word for word", what="an update to another's text")
        expect_equal(_state(store), before, "what the conflict left")


def the_forgotten_is_hidden_and_kept(stores: Stores) -> None:
    """A forgotten concept is found and listed no more, but stays under its id as invalid, with its history, and in older
    versions; what took its place is named."""
    with stores.open() as store:
        pumps, train, heir = store.add([PUMPS, TRAIN, DISCOUNT])
        then = store.version()
        store.forget([pumps], reason="said better elsewhere", superseded_by=heir)
        expect_equal(store.forget([pumps, train], reason="wrong"), [train], "the ids that were valid until now")
    with stores.open() as store:
        expect_equal([item.id for item in store.list()], [heir], "list")
        expect_equal([hit.id for hit in store.search(PUMPS.situation, k=5)], [heir], "search")
        found = store.get(pumps)
        expect_equal((found.concept, found.status, found.superseded_by), (PUMPS, "invalid", heir), "text, status, heir")
        expect_equal(store.get(train).superseded_by, None, "the heir of the other")
        expect_equal([event.kind for event in store.history(pumps)], ["created", "forgotten"], "history")
        hits = store.search(PUMPS.situation, k=1, version=then)
        expect_equal([hit.id for hit in hits], [pumps], "the older version")
        expect_equal([item.id for item in store.list(version=then)], [pumps, train, heir], "the older list")


def the_forgotten_may_be_learned_again(stores: Stores) -> None:
    """What was forgotten is no duplicate: added again it is a new concept."""
    with stores.open() as store:
        (first,) = store.add([PUMPS])
        store.forget([first], reason="wrong")
        (again,) = store.add([PUMPS])
        expect(again != first, f"{first} came back")
        expect_equal([hit.id for hit in store.search(PUMPS.situation, k=5)], [again], "search")


def forgetting_is_all_or_nothing(stores: Stores) -> None:
    """When one id of several is unknown, nothing is forgotten."""
    with stores.open() as store:
        (id,) = store.add([PUMPS])
        before = _state(store)
        refusals: dict[str, Callable[[], object]] = {
            "forget": lambda: store.forget([id, "c99"], reason="x"),
            "update": lambda: store.update("c99", TRAIN, reason="x"),
            "revive": lambda: store.revive("c99", "x"),
        }
        for what, call in refusals.items():
            expect_refused(ConceptStoreError, call, naming="c99", what=f"{what} of an unknown id")
        expect_equal(_state(store), before, "what the refusals left")


def the_forgotten_comes_back(stores: Stores) -> None:
    """A revived concept has its id and text, is valid and is found by its vectors again; versions between keep it away."""
    with stores.open() as store:
        pumps, _ = store.add([PUMPS, TRAIN])
        store.forget([pumps], reason="wrong")
        between = store.version()
        store.revive(pumps, "right after all")
    with stores.open() as store:
        found = store.get(pumps)
        expect_equal(
            (found.concept, found.status != "invalid", found.version), (PUMPS, True, 3), "text, valid, version"
        )
        hits = store.search(PUMPS.situation, k=1)
        expect_equal([(hit.id, round(hit.score, 3)) for hit in hits], [(pumps, 1.0)], "search")
        expect_equal(len(store.search(PUMPS.situation, k=5, version=between)), 1, "the version between")


def reviving_a_second_of_a_kind_is_a_conflict(stores: Stores) -> None:
    """A concept whose text another one says by now cannot come back."""
    with stores.open() as store:
        (first,) = store.add([PUMPS])
        store.forget([first], reason="wrong")
        store.add([PUMPS])
        before = _state(store)
        expect_refused(Conflict, lambda: store.revive(first, "x"), naming="word for word", what="a second of a kind")
        expect_equal(_state(store), before, "what the conflict left")


def a_change_is_done_once(stores: Stores) -> None:
    """A repeated operation of update or forget changes nothing more, also where its expectations no longer hold."""
    with stores.open() as store:
        pumps, train = store.add([PUMPS, TRAIN])
        store.update(pumps, BETTER, reason="x", expect_version=1, operation="u")
        store.forget([train], reason="x", operation="f")
        before = _state(store)
    with stores.open() as store:
        store.update(pumps, BETTER, reason="x", expect_version=1, operation="u")
        store.forget([train], reason="x", operation="f")
        expect_equal(_state(store), before, "what the repeats left")


LAWS = (
    an_update_replaces_the_text,
    an_update_of_another_version_is_a_conflict,
    no_two_say_the_same,
    the_forgotten_is_hidden_and_kept,
    the_forgotten_may_be_learned_again,
    forgetting_is_all_or_nothing,
    the_forgotten_comes_back,
    reviving_a_second_of_a_kind_is_a_conflict,
    a_change_is_done_once,
)
