"""What a memory could do about itself: the plan, and what the ledger does with its steps."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from phronesis.core.concept import Concept, Evidence, Parameter
from phronesis.core.settings import Settings
from phronesis.memory.consolidating import Job
from phronesis.memory.deciding import Applied, Decision
from phronesis.memory.planning import Plan, PlanKnobs, Step, near_pairs
from phronesis.memory.session import Memory


@pytest.fixture
def memory(settings: Settings) -> Iterator[Memory]:
    with Memory.open("s", settings=settings) as opened:
        yield opened


def learn(memory: Memory, *concepts: Concept, helped: int = 0, harmed: int = 0) -> list[str]:
    ids = memory.add(concepts, origin="run")
    for use in range(helped + harmed):
        memory.record_use(ids, accepted=use < helped, operation=f"{ids[0]} {use}")
    return ids


def near(text: str, number: int) -> list[Concept]:
    """So many concepts whose situations differ in punctuation alone."""
    return [Concept(situation=text + "!" * mark, suggestion=f"way {mark} of {text}") for mark in range(number)]


def told(plan: Plan) -> list[tuple[str, tuple[str, ...]]]:
    return [(step.kind, tuple(pinned.id for pinned in step.concepts)) for step in plan.steps]


def begun(memory: Memory, plan: Plan, name: str = "job") -> Job:
    return memory.begin_job(name, plan)


def carry(memory: Memory, job: Job, step: Step, decision: Decision) -> Applied:
    return memory.apply(step, decision, job=job, operation=f"{job.id}/{step.id}")


SAME = Decision(verdict="same", reason="they are the same")


def test_an_empty_memory_has_no_plan(memory: Memory) -> None:
    assert memory.plan().steps == () and memory.plan().calls == (0, 0)


def test_what_was_used_twice_and_has_two_items_is_compressed(memory: Memory) -> None:
    learn(memory, Concept(situation="one", suggestion="x", cues=("a", "b")), helped=2)
    learn(memory, Concept(situation="another", suggestion="x", implementation=("a", "b")), helped=2)
    learn(memory, Concept(situation="third", suggestion="x", cues=("a",), implementation=("b",)), helped=2)
    learn(memory, Concept(situation="fourth", suggestion="x", cues=("a", "b")), helped=1, harmed=1)
    plan = memory.plan()
    assert told(plan) == [("compress", ("c1",)), ("compress", ("c2",))]
    assert plan.calls == (2, 4)


def test_near_duplicates_of_a_kind_form_clusters(memory: Memory) -> None:
    learn(memory, *near("two pumps fill a tank", 3))
    learn(memory, Concept(situation="trains overtake cars", suggestion="x"))
    learn(memory, Concept(situation="two pumps fill a tank", suggestion="not so", kind="pitfall"))
    plan = memory.plan()
    assert told(plan) == [("merge", ("c1", "c2", "c3"))]
    assert plan.steps[0].asks
    assert memory.plan(knobs=PlanKnobs(merge_above=1.0)).steps == plan.steps


def test_large_clusters_are_cut(memory: Memory) -> None:
    learn(memory, *near("two pumps fill a tank", 15))
    plan = memory.plan()
    sizes = [len(step.concepts) for step in plan.steps]
    assert max(sizes) <= 6 and sum(sizes) >= 12
    assert memory.plan() == plan
    assert max(len(step.concepts) for step in memory.plan(knobs=PlanKnobs(cluster_most=2)).steps) == 2


def test_parameterised_concepts_of_one_name_need_no_model(memory: Memory) -> None:
    learn(memory, Concept(name="Invert", kind="routine", suggestion="turn over"))
    learn(memory, Concept(name="invert", kind="routine", suggestion="flip"))
    learn(memory, Concept(name="invert", kind="structure", suggestion="a mirror"))
    plan = memory.plan()
    assert told(plan) == [("merge", ("c1", "c2"))] and not plan.steps[0].asks and plan.calls == (0, 0)


def test_a_concept_is_in_one_step_at_most(memory: Memory) -> None:
    learn(memory, Concept(situation="pumps", suggestion="x", cues=("a", "b")), helped=2)
    learn(memory, Concept(situation="pumps!", suggestion="y", cues=("a", "b")), helped=2)
    learn(memory, Concept(situation="pumps?", suggestion="z", cues=("a", "b")), harmed=6)
    assert told(memory.plan()) == [("retire", ("c3",)), ("merge", ("c1", "c2"))]


def test_time_retires(memory: Memory) -> None:
    memory.write([Concept(situation="new", suggestion="x")], operation="w")
    assert memory.plan().steps == ()
    later = datetime.now(UTC) + timedelta(days=91)
    assert told(memory.plan(now=later)) == [("retire", ("c1",))]


def test_without_vectors_only_names_are_compared(settings: Settings) -> None:
    with Memory.open("s", settings=settings.model_copy(update={"embedder": "none"})) as memory:
        learn(memory, *near("two pumps fill a tank", 3))
        learn(memory, *[Concept(name="n", kind="routine", suggestion=text) for text in "ab"])
        plan = memory.plan()
        assert told(plan) == [("merge", ("c4", "c5"))] and "no embedder" in plan.note
        assert carry(memory, begun(memory, plan), plan.steps[0], SAME).outcome == "done"
    with Memory.open("s", settings=settings) as memory:
        assert told(memory.plan()) == [("merge", ("c1", "c2", "c3"))]
        assert memory.search("a", k=9, version=None)[0].id


def test_planning_changes_nothing_and_repeats_itself(memory: Memory) -> None:
    learn(memory, *near("two pumps fill a tank", 2), helped=2)
    before = memory.version()
    assert memory.plan() == memory.plan() and memory.version() == before


def test_ten_thousand_concepts_are_planned_in_blocks() -> None:
    random = np.random.default_rng(1)
    table = random.standard_normal((3000, 32)).astype(np.float32)
    table[2500:] = table[:500] + 0.01 * random.standard_normal((500, 32)).astype(np.float32)
    table /= np.linalg.norm(table, axis=1, keepdims=True)
    pairs = near_pairs(table, above=0.99, partners=12)
    assert {(one, two) for _, one, two in pairs} == {(row, row + 2500) for row in range(500)}
    every = table.astype(np.float64) @ table.T.astype(np.float64)
    assert all(abs(every[one, two] - cosine) < 1e-5 for cosine, one, two in pairs)
    dense = np.tile(table[:1], (2000, 1))
    assert len(near_pairs(dense, above=0.9, partners=12)) <= 12 * 2000


def test_an_applied_step_is_applied_once(memory: Memory) -> None:
    one, two = learn(memory, *near("two pumps fill a tank", 2))
    plan = memory.plan()
    job = begun(memory, plan)
    first = carry(memory, job, plan.steps[0], SAME)
    version = memory.version()
    assert first.outcome == "done"
    assert carry(memory, job, plan.steps[0], Decision(verdict="different")) == first
    assert memory.applied(f"job/{plan.steps[0].id}") == first and memory.applied("job/other") is None
    assert memory.version() == version
    assert memory.plan().steps == ()
    assert memory.get(two).superseded_by == one


def test_what_was_brought_back_is_not_merged_again(memory: Memory) -> None:
    learn(memory, *near("two pumps fill a tank", 2))
    plan = memory.plan()
    job = begun(memory, plan)
    carry(memory, job, plan.steps[0], SAME)
    memory.restore("before-job")
    assert memory.stats().invalid == 0
    assert memory.plan().steps == ()


def test_a_changed_concept_makes_its_step_stale(memory: Memory) -> None:
    learn(memory, *near("two pumps fill a tank", 2))
    plan = memory.plan()
    job = begun(memory, plan)
    with memory._ledger.writing() as transaction:
        transaction.change_status(2, "probation", kind="doubted", operation="", reason="")
    version = memory.version()
    assert memory.changed(plan.steps[0]) == "c2 was changed since"
    assert carry(memory, job, plan.steps[0], SAME).outcome == "stale"
    assert memory.version() == version


def test_the_merged_concept_has_what_all_had(memory: Memory) -> None:
    evidence = Evidence(run="r", task="t", verdict="accepted", verifier="v/1")
    first = Concept(
        name="invert", kind="routine", suggestion="turn over", parameters=(Parameter(name="x", typing="rate"),)
    )
    second = Concept(
        name="Invert",
        kind="routine",
        suggestion="flip",
        parameters=(Parameter(name="x", description="it"),),
        parts=("p",),
    )
    memory.write([first], operation="r1", evidence=evidence)
    learn(memory, Concept(situation="unrelated matter entirely", suggestion="z"))
    memory.add([second], origin="run")
    memory.record_use(["c1", "c3"], accepted=True, operation="both")
    memory.record_use(["c3"], accepted=False, operation="one")
    plan = memory.plan()
    applied = carry(memory, begun(memory, plan), plan.steps[0], SAME)
    made = memory.get(applied.after[0].id)
    assert made.concept.parameters == (Parameter(name="x", typing="rate", description="it"),)
    assert (made.concept.name, made.concept.suggestion, made.concept.parts) == ("invert", "turn over", ("p",))
    assert (made.recalled, made.helped, made.harmed, made.evidence) == (2, 1, 1, (evidence,))
    assert (made.status, made.origin) == ("active", "merge")
    assert memory.get("c1").evidence == (evidence,) and memory.get("c1").helped == 1


def test_two_of_a_persons_concepts_are_only_proposed(memory: Memory) -> None:
    ids = memory.add(near("two pumps fill a tank", 2))
    plan = memory.plan()
    applied = carry(memory, begun(memory, plan), plan.steps[0], SAME)
    assert applied.outcome == "proposed"
    assert [memory.get(id).status for id in ids] == ["active", "active"]
    assert memory.plan().steps == ()


def test_a_wording_that_another_concept_has_already_changes_nothing(memory: Memory) -> None:
    learn(memory, *near("two pumps fill a tank", 2))
    learn(memory, Concept(situation="dice are thrown", suggestion="count the cases"))
    plan = memory.plan()
    decision = Decision(verdict="same", situation="dice are thrown", suggestion="count the cases")
    applied = carry(memory, begun(memory, plan), plan.steps[0], decision)
    assert (applied.outcome, memory.stats().active) == ("failed", 3) and applied.reason.startswith("c3 says that")


def test_some_of_a_cluster_may_be_the_same(memory: Memory) -> None:
    learn(memory, *near("two pumps fill a tank", 3))
    plan = memory.plan()
    decision = Decision(verdict="same", numbers=(1, 3), suggestion="one way")
    applied = carry(memory, begun(memory, plan), plan.steps[0], decision)
    assert [told.id for told in applied.before] == ["c1", "c3"]
    assert [item.id for item in memory.list()] == ["c2", applied.after[0].id]
    assert applied.after[0].concept.situation == "two pumps fill a tank"


def test_concepts_too_large_together_stay_apart(memory: Memory) -> None:
    long = ["x" * 30_000 + str(number) for number in range(4)]
    learn(
        memory,
        *[Concept(name="n", kind="routine", suggestion=f"s{a}", cues=(long[a],), avoid=(long[a + 1],)) for a in (0, 2)],
    )
    plan = memory.plan()
    applied = carry(memory, begun(memory, plan), plan.steps[0], SAME)
    assert (applied.outcome, memory.stats().active) == ("failed", 2)
    assert "65,536 bytes" in applied.reason


def test_a_job_is_begun_once(memory: Memory) -> None:
    learn(memory, *near("two pumps fill a tank", 2))
    job = begun(memory, memory.plan(), "first")
    assert begun(memory, memory.plan(), "second") == job
    assert memory.open_job() == job
    memory.end_job("first", "done")
    assert memory.open_job() is None
    assert [snapshot.name for snapshot in memory.snapshots()] == ["before-first"]
