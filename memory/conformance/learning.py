"""What runs do with a store: write on probation, give evidence, count uses, promote."""

from __future__ import annotations

from phronesis.core.concept import Concept, Evidence
from phronesis.core.errors import ConceptStoreError
from phronesis.memory.conformance.examples import PUMPS, PUMPS_AGAIN, TRAIN
from phronesis.memory.conformance.expectations import expect, expect_equal, expect_refused
from phronesis.memory.conformance.store import ConceptStore, Stores


def outcomes(store: ConceptStore, concepts: list[Concept], operation: str) -> list[tuple[str, str | None]]:
    return [(item.outcome, item.id) for item in store.write(concepts, operation=operation)]


def what_a_run_writes_is_on_probation(stores: Stores) -> None:
    """A new concept is written on probation, as a run's, is found at once and survives reopening."""
    with stores.open() as store:
        ((outcome, id),) = outcomes(store, [PUMPS], "run 1")
        expect_equal(outcome, "written", "the outcome")
        expect(id is not None, "no id")
        hits = store.search(PUMPS.situation)
        expect_equal([(hit.id, hit.status) for hit in hits], [(id, "probation")], "what is found")
    with stores.open() as store:
        expect_equal([(item.id, item.status, item.origin) for item in store.list()], [(id, "probation", "run")], "list")


def what_is_known_is_evidence(stores: Stores) -> None:
    """Word for word the same is a duplicate, nearly the same of the same kind is evidence; neither is a new concept."""
    with stores.open() as store:
        (pumps,) = store.add([PUMPS])
        expect_equal(outcomes(store, [PUMPS], "1"), [("duplicate", pumps)], "word for word")
        expect_equal(outcomes(store, [PUMPS_AGAIN], "2"), [("evidence", pumps)], "in other words")
        expect_equal([item.concept for item in store.list()], [PUMPS], "what is kept")
        expect_equal([event.kind for event in store.history(pumps)], ["created", "evidence"], "history")


def another_kind_is_no_evidence(stores: Stores) -> None:
    """What not to do in a situation is news beside what to do in it."""
    with stores.open() as store:
        store.add([PUMPS])
        pitfall = Concept(kind="pitfall", situation=PUMPS.situation, suggestion="adding the times")
        expect_equal([outcome for outcome, _ in outcomes(store, [pitfall], "1")], ["written"], "a pitfall")
        expect_equal(len(store.list()), 2, "concepts")


def what_was_recalled_is_compared_first(stores: Stores) -> None:
    """What a run wrote after it recalled a concept is evidence for that one, though another is as near."""
    situation = "two pumps fill one large round tank together with a third pump over many hours of the day number"
    with stores.open() as store:
        first, second = store.add(
            [Concept(situation=f"{situation} 1", suggestion="a"), Concept(situation=f"{situation} 2", suggestion="b")]
        )
        new = Concept(situation=f"{situation} 1", suggestion="c")
        expect_equal(outcomes(store, [new], "1"), [("evidence", first)], "the nearest")
        (found,) = store.write([new], operation="2", recalled=[second])
        expect_equal((found.outcome, found.id), ("evidence", second), "the recalled one")


def alike_in_one_write_become_one(stores: Stores) -> None:
    """Concepts of one write are compared with each other as well."""
    with stores.open() as store:
        found = outcomes(store, [PUMPS, PUMPS_AGAIN, PUMPS, TRAIN], "1")
        expect_equal([outcome for outcome, _ in found], ["written", "evidence", "duplicate", "written"], "outcomes")
        expect_equal(len({id for _, id in found}), 2, "ids")


def a_write_is_done_once(stores: Stores) -> None:
    """A repeated operation returns what was recorded, also after reopening and whatever comes with it."""
    with stores.open() as store:
        first = store.write([PUMPS, TRAIN], operation="run/1")
        version = store.version()
    with stores.open() as store:
        expect_equal(store.write([PUMPS, TRAIN], operation="run/1"), first, "the repeat")
        expect_equal(store.write([], operation="run/1"), first, "the repeat without concepts")
        expect_equal((store.version(), len(store.list())), (version, 2), "version and concepts")


def evidence_stays_with_its_concept(stores: Stores) -> None:
    """Evidence stands with the concept it speaks for, oldest first, once per operation, and a later run may add to it."""
    first, second = (
        Evidence(run=f"r{n}", task="t", verdict="accepted", verifier="agreement/1", score=0.5 + n / 10) for n in (1, 2)
    )
    with stores.open() as store:
        (written,) = store.write([PUMPS], operation="r1", evidence=first)
        store.write([PUMPS], operation="r1", evidence=first)
        store.write([PUMPS], operation="r2", evidence=second)
    with stores.open() as store:
        expect_equal(store.get(written.id or "").evidence, (first, second), "the evidence")


def uses_count_once(stores: Stores) -> None:
    """A use counts once per operation and concept; whether the run was accepted says if it helped or harmed."""
    with stores.open() as store:
        (id,) = store.add([PUMPS])
        for operation, accepted in (("a", False), ("b", True), ("b", True), ("b", False)):
            store.record_use([id, id], accepted=accepted, operation=operation)
    with stores.open() as store:
        found = store.get(id)
        expect_equal((found.recalled, found.helped, found.harmed), (2, 1, 1), "recalled, helped, harmed")
        expect(found.last_used is not None, "last_used is None")
        store.record_use([id], accepted=True, operation="b")
        expect_equal(store.get(id).recalled, 2, "recalled, after a repeat of an old operation")


def helping_twice_promotes(stores: Stores) -> None:
    """A concept on probation becomes active with the second accepted run that had it in the prompt; that is a change of
    the version. Runs that were not accepted do not promote."""
    with stores.open() as store:
        ((_, id),) = outcomes(store, [PUMPS], "w")
        name = id or ""
        for operation, accepted in (("1", False), ("2", True), ("3", False)):
            store.record_use([name], accepted=accepted, operation=operation)
            expect_equal(store.get(name).status, "probation", f"the status after use {operation}")
        before = store.version()
        store.record_use([name], accepted=True, operation="4")
        found = store.get(name)
        expect_equal((found.status, found.version, found.helped), ("active", 2, 2), "status, version, helped")
        expect_equal(store.version(), before + 1, "the version")
        expect_equal([event.kind for event in store.history(name)], ["created", "promoted"], "history")
        expect_equal([hit.status for hit in store.search(PUMPS.situation)], ["active"], "the status of the hit")


def a_use_of_an_unknown_id_counts_nothing(stores: Stores) -> None:
    """When one id of several is unknown, no use is counted and the operation is not spent."""
    with stores.open() as store:
        (id,) = store.add([PUMPS])
        call = lambda: store.record_use([id, "c99"], accepted=True, operation="a")  # noqa: E731
        expect_refused(ConceptStoreError, call, naming="'c99'", what="an unknown id")
        expect_equal(store.get(id).recalled, 0, "uses")
        store.record_use([id], accepted=True, operation="a")
        expect_equal(store.get(id).recalled, 1, "uses, with the operation again")


LAWS = (
    what_a_run_writes_is_on_probation,
    what_is_known_is_evidence,
    another_kind_is_no_evidence,
    what_was_recalled_is_compared_first,
    alike_in_one_write_become_one,
    a_write_is_done_once,
    evidence_stays_with_its_concept,
    uses_count_once,
    helping_twice_promotes,
    a_use_of_an_unknown_id_counts_nothing,
)
