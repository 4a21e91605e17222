"""What a run's prompt said is no news: by vectors and by words, of our own concepts, mounted ones and withdrawn ones."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from phronesis.core.concept import Concept, Evidence
from phronesis.core.result import MemoryRecall
from phronesis.core.settings import Settings
from phronesis.graphs.policies.provenance import LEFT_OUT, without
from phronesis.memory.repeats import shared
from phronesis.memory.session import Memory

PUMPS = Concept(situation="two pumps fill a tank together", suggestion="add the rates of the pumps")
ELSEWHERE = Concept(situation="several workers paint one wall", suggestion="add the rates of the workers")


def prompted(id: str, concept: Concept) -> MemoryRecall:
    return MemoryRecall(id=id, score=0.9, rendered=True, text=concept.suggestion, situation=concept.situation)


@pytest.fixture(params=["hash", "none"])
def memory(settings: Settings, request: pytest.FixtureRequest) -> Iterator[Memory]:
    with Memory.open("m", settings=settings.model_copy(update={"embedder": request.param})) as opened:
        yield opened


def test_text_of_the_prompt_is_evidence_for_it_and_never_a_concept(memory: Memory) -> None:
    memory.add([PUMPS])
    turned = Concept(situation="the rates of two pumps", suggestion="the pumps together fill a tank: add")
    (outcome,) = memory.write([turned], operation="1", recalled=["c1"], prompted=[prompted("c1", PUMPS)])
    assert (outcome.outcome, outcome.id) == ("evidence", "c1")
    assert "stood in the run's prompt" in outcome.reason
    assert memory.stats().count == 1
    assert memory.history("c1")[-1].kind == "evidence"


def test_something_else_is_written(memory: Memory) -> None:
    memory.add([PUMPS])
    (outcome,) = memory.write([ELSEWHERE], operation="1", recalled=["c1"], prompted=[prompted("c1", PUMPS)])
    assert outcome.outcome == "written"


def test_a_mounted_concept_is_not_copied(memory: Memory) -> None:
    seen = [prompted("other/c3", PUMPS)]
    (same,) = memory.write([PUMPS], operation="1", recalled=["other/c3"], prompted=seen)
    assert (same.outcome, same.id) == ("duplicate", "other/c3")
    assert memory.version() == 0
    (again,) = memory.write([PUMPS], operation="1", recalled=["other/c3"], prompted=seen)
    assert again == same


def test_the_situation_of_a_mounted_concept_counts_as_our_own_ones_do(settings: Settings) -> None:
    reworded = PUMPS.model_copy(update={"suggestion": "work out how much both bring in an hour"})
    with Memory.open("m", settings=settings) as memory:
        (near,) = memory.write([reworded], operation="1", prompted=[prompted("other/c3", PUMPS)])
        assert (near.outcome, near.id) == ("duplicate", "other/c3")


def test_what_was_withdrawn_does_not_come_back_through_a_prompt(memory: Memory) -> None:
    memory.add([PUMPS])
    with memory._ledger.writing() as transaction:
        transaction.change_status(1, "invalid", kind="forgotten", operation="", reason="wrong")
    version = memory.version()
    (outcome,) = memory.write([PUMPS], operation="1", recalled=["c1"], prompted=[prompted("c1", PUMPS)])
    assert outcome.outcome == "refused" and "withdrawn" in outcome.reason
    assert memory.version() == version and memory.stats().count == 0


def test_evidence_goes_to_the_concept_and_not_to_a_mounted_one(memory: Memory) -> None:
    memory.add([PUMPS])
    proof = Evidence(run="r", task="t", verdict="accepted", verifier="agreement+arithmetic/1", score=0.97)
    memory.write([PUMPS], operation="1", evidence=proof, prompted=[prompted("c1", PUMPS)])
    memory.write([ELSEWHERE], operation="2", evidence=proof, prompted=[prompted("other/c1", ELSEWHERE)])
    assert memory.get("c1").evidence == (proof,)


def test_word_shares() -> None:
    assert shared("Add the rates!", "the RATES are to be added: add them") == 1.0
    assert shared("add the prices", "add the rates") == pytest.approx(2 / 3)
    assert shared("...", "add") == 0.0


def test_quotations_are_left_out_word_for_word() -> None:
    text = "First, ADD the rates\n of the pumps. Then divide."
    assert without(text, ["add the rates of the pumps"]) == f"First, {LEFT_OUT}. Then divide."
    assert without(text, ["divide", "add rates", ""]) == text
    assert without("a (b) c d* e", ["(b) c d* e"]) == f"a {LEFT_OUT}"
