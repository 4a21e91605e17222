"""Parameterised concepts by name: ArcMemo's update rules through Memory.write, under races and without an embedder."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence

import pytest

from phronesis.core.concept import Concept, Parameter
from phronesis.core.ports import Vectors
from phronesis.core.settings import Settings
from phronesis.index.embedders import HashEmbedder
from phronesis.memory import writing
from phronesis.memory.session import Memory

SPLIT = Concept(
    name="split in proportion",
    kind="routine",
    suggestion="shares a total by given parts",
    parameters=(Parameter(name="total", typing="amount"),),
    cues=("a total is shared in unequal parts",),
    implementation=("work out one part first",),
    source="t1",
)
MORE = Concept(
    name="Split in Proportion",
    kind="structure",
    suggestion="another wording",
    typing="list of amounts",
    parameters=(Parameter(name="parts"), Parameter(name="total", description="what is shared")),
    cues=("a total is shared in unequal parts", "a ratio is given"),
    implementation=("work out one part first", "check the sum"),
    source="t2",
)


@pytest.fixture(params=["hash", "none"])
def memory(settings: Settings, request: pytest.FixtureRequest) -> Iterator[Memory]:
    with Memory.open("m", settings=settings.model_copy(update={"embedder": request.param})) as opened:
        yield opened


def test_a_known_name_is_extended_and_nothing_said_is_overwritten(memory: Memory) -> None:
    """Specification invariant 3."""
    assert memory.write([SPLIT], operation="1")[0].outcome == "written"
    (outcome,) = memory.write([MORE], operation="2")
    assert (outcome.outcome, outcome.id, outcome.name) == ("updated", "c1", "Split in Proportion")
    assert "1 parameter, 1 cue, 1 note, a type" in outcome.reason
    stored = memory.get("c1")
    assert (stored.version, stored.status, stored.concept.kind) == (2, "probation", "routine")
    assert stored.concept.suggestion == SPLIT.suggestion and stored.concept.name == "split in proportion"
    assert [item.name for item in stored.concept.parameters] == ["total", "parts"]
    assert stored.concept.parameters[0] == Parameter(name="total", typing="amount", description="what is shared")
    assert stored.concept.cues == ("a total is shared in unequal parts", "a ratio is given")
    assert [event.kind for event in memory.history("c1")] == ["created", "updated"]
    assert memory.search("a ratio is given", k=1)[0].id == "c1"


def test_the_same_twice_changes_nothing(memory: Memory) -> None:
    """Specification invariant 2."""
    memory.write([SPLIT], operation="1")
    memory.write([MORE], operation="2")
    before = memory.get("c1")
    (again,) = memory.write([MORE], operation="3")
    assert (again.outcome, again.id) == ("evidence", "c1")
    assert memory.get("c1").concept == before.concept and memory.get("c1").version == before.version
    assert memory.write([before.concept], operation="4")[0].outcome == "duplicate"
    (bare,) = memory.write([SPLIT.model_copy(update={"cues": (), "implementation": ()})], operation="5")
    assert bare.outcome == "evidence" and memory.get("c1").concept == before.concept


def test_one_name_twice_in_one_write_is_one_concept(memory: Memory) -> None:
    first, second = memory.write([SPLIT, MORE], operation="1")
    assert (first.outcome, second.outcome, first.id, second.id) == ("written", "written", "c1", "c1")
    assert "same write" in second.reason
    assert memory.get("c1").concept.typing == "list of amounts" and memory.stats().count == 1


def test_a_withdrawn_name_begins_anew(memory: Memory) -> None:
    memory.write([SPLIT], operation="1")
    with memory._ledger.writing() as transaction:
        transaction.change_status(1, "invalid", kind="forgotten", operation="", reason="wrong")
    (outcome,) = memory.write([MORE], operation="2")
    assert (outcome.outcome, outcome.id) == ("written", "c2")
    assert memory.get("c2").concept.suggestion == "another wording"


def test_a_concept_may_not_grow_without_end(memory: Memory) -> None:
    big = SPLIT.model_copy(update={"implementation": ("x" * (writing.MOST_BYTES - 2000),)})
    memory.write([big], operation="1")
    (outcome,) = memory.write([SPLIT.model_copy(update={"implementation": ("y" * 4000,)})], operation="2")
    assert outcome.outcome == "refused" and "bytes" in outcome.reason
    assert memory.get("c1").version == 1


def test_names_are_found_as_of_a_version_and_case_aside(memory: Memory) -> None:
    memory.write([SPLIT], operation="1")
    version = memory.version()
    memory.write([MORE], operation="2")
    found = memory.named(["SPLIT in proportion", "split", 'x" OR name : *', "..."])
    assert list(found) == ["SPLIT in proportion"] and found["SPLIT in proportion"].typing == "list of amounts"
    assert memory.named(["split in proportion"], version=version)["split in proportion"] == SPLIT
    assert memory.named(["split in proportion"], version=0) == {}


def test_the_vocabulary_lists_names_with_cues_under_a_budget(memory: Memory) -> None:
    ratio = Concept(name="ratio", kind="structure", suggestion="two amounts in a fixed relation")
    memory.add([SPLIT, ratio, Concept(suggestion="a lesson is not listed")])
    text = memory.vocabulary(token_budget=800)
    assert text.splitlines() == [
        "Structures:",
        "- ratio: two amounts in a fixed relation",
        "Routines:",
        "- split in proportion(total: amount): shares a total by given parts "
        "[look for: a total is shared in unequal parts]",
    ]
    for budget in range(0, 60, 3):
        assert len(memory.vocabulary(token_budget=budget)) <= budget * 3.5
    assert memory.vocabulary(token_budget=30).endswith("fixed relation\nAlso known by name: split in proportion")
    assert memory.vocabulary(token_budget=800, version=0) == ""


class Interrupting(HashEmbedder):
    """Lets somebody else write while vectors are made, as often as asked."""

    def __init__(self) -> None:
        super().__init__()
        self.interrupt: list[Concept] = []
        self.other: Memory | None = None

    def embed_documents(self, texts: Sequence[str]) -> Vectors:
        if self.interrupt and self.other is not None:
            concept = self.interrupt.pop()
            self.other.write([concept], operation=f"other/{len(self.interrupt)}")
        return super().embed_documents(texts)


@pytest.mark.parametrize("times", [1, 3, 9])
def test_an_update_that_another_was_faster_than_is_planned_again(settings: Settings, times: int) -> None:
    embedder = Interrupting()
    with Memory.open("m", settings=settings, embedder=embedder) as ours, Memory.open("m", settings=settings) as other:
        ours.write([SPLIT], operation="1")
        embedder.other = other
        embedder.interrupt = [SPLIT.model_copy(update={"cues": (f"cue {number}",)}) for number in range(times)]
        (outcome,) = ours.write([MORE], operation="2")
        assert outcome.outcome == "updated"
        embedder.interrupt = []
        cues = ours.get("c1").concept.cues
        assert "a ratio is given" in cues and len(set(cues)) == len(cues)
        # Some of the others' writes may be left over when ours was through before them; none of those made is lost.
        made = {f"cue {number}" for number in range(times)} & set(cues)
        assert made and ours.search("a ratio is given", k=1)[0].id == "c1"


def test_many_threads_extend_one_concept_and_nothing_is_lost(settings: Settings) -> None:
    with Memory.open("m", settings=settings) as memory:
        memory.write([SPLIT], operation="0")

        def work(number: int) -> None:
            for turn in range(5):
                cue = f"sign {number} {turn}"
                memory.write([SPLIT.model_copy(update={"cues": (cue,)})], operation=f"{number}/{turn}")

        threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        cues = memory.get("c1").concept.cues
        assert {f"sign {number} {turn}" for number in range(4) for turn in range(5)} <= set(cues)
        assert memory.stats().count == 1 and memory.search("sign 3 4", k=1)[0].id == "c1"


def test_saved_and_opened_again_it_reads_the_same(settings: Settings) -> None:
    """Specification invariant 10."""
    with Memory.open("m", settings=settings) as memory:
        memory.write([SPLIT, MORE.model_copy(update={"name": "ratio"})], operation="1")
        memory.write([MORE], operation="2")
        before = (memory.vocabulary(token_budget=800), memory.list(), memory.search("a ratio is given", k=2))
    with Memory.open("m", settings=settings) as memory:
        assert (memory.vocabulary(token_budget=800), memory.list(), memory.search("a ratio is given", k=2)) == before
