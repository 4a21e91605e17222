"""A name that people gave twice, and a memory with a long history of endings that is opened anew."""

from __future__ import annotations

import pytest

from phronesis.core.concept import Concept
from phronesis.core.settings import Settings
from phronesis.memory.session import Memory


def named(*cues: str) -> Concept:
    return Concept(name="share", kind="routine", suggestion="divide by the parts", cues=cues)


@pytest.mark.parametrize("embedder", ["hash", "none"])
def test_an_update_that_the_other_of_the_name_says_already_is_evidence(settings: Settings, embedder: str) -> None:
    with Memory.open("m", settings=settings.model_copy(update={"embedder": embedder})) as memory:
        memory.add([named("a ratio"), named("a ratio", "unequal parts")])
        (outcome,) = memory.write([named("unequal parts")], operation="run/1")
        assert (outcome.outcome, outcome.id) == ("evidence", "c2")
        assert memory.history("c2")[-1].kind == "evidence"
        assert [item.version for item in memory.list()] == [1, 1]


def test_endings_before_and_after_the_first_search_hold(settings: Settings) -> None:
    hashed = settings.model_copy(update={"embedder": "hash"})
    with Memory.open("m", settings=hashed) as writer:
        ids = writer.add([Concept(situation=f"case {number}", suggestion=f"do {number}") for number in range(6)])
        before = writer.version()
        writer.forget(ids[:2], reason="wrong")
        with Memory.open("m", settings=hashed) as reader:
            assert {hit.id for hit in reader.search("case", k=9)} == set(ids[2:])
            assert {hit.id for hit in reader.search("case", k=9, version=before)} == set(ids)
            writer.forget(ids[2:3], reason="wrong")
            writer.revive(ids[0], "right after all")
            assert {hit.id for hit in reader.search("case", k=9)} == {ids[0], *ids[3:]}
            assert {hit.id for hit in reader.search("case", k=9, version=before)} == set(ids)
