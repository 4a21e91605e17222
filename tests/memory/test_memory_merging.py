"""How concepts become one, and what a concept is worth."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from phronesis.core.concept import Concept, Parameter, StoredConcept
from phronesis.memory.merging import best_first, compressed, idle_days, merged, retirement, reworded, united, utility

WORDS = st.sampled_from(["", "rates", "add the rates", "two pumps", "Über", "加速度", " spaced  out "])
SAID = st.sampled_from(["rates", "add the rates", "two pumps", "Über", "加速度"])
LINES = st.lists(WORDS, max_size=4).map(tuple)
PARAMETERS = st.lists(
    st.builds(Parameter, name=st.sampled_from(["x", "y", "z"]), typing=WORDS, description=WORDS), max_size=4
).map(tuple)
CONCEPTS = st.builds(
    Concept,
    suggestion=SAID,
    situation=WORDS,
    name=WORDS,
    kind=st.sampled_from(["lesson", "structure", "routine", "pitfall"]),
    subtype=WORDS,
    typing=WORDS,
    parameters=PARAMETERS,
    cues=LINES,
    avoid=LINES,
    parts=LINES,
    implementation=LINES,
    source=WORDS,
)
NOW = datetime(2026, 6, 1, tzinfo=UTC)
KNOBS = {"half_life": 180.0, "below": 0.15, "recalled": 5, "probation_days": 90.0}
LISTS = ("cues", "avoid", "parts", "implementation")


def stored(id: str = "c1", *, helped: int = 0, harmed: int = 0, age: float = 0, **fields: object) -> StoredConcept:
    created = (NOW - timedelta(days=age)).isoformat()
    values = {"version": 1, "concept": Concept(suggestion="x"), "status": "active", "created": created, **fields}
    return StoredConcept.model_validate(
        {"id": id, "recalled": helped + harmed, "helped": helped, "harmed": harmed, **values}
    )


@given(CONCEPTS, CONCEPTS)
def test_merging_again_changes_nothing(one: Concept, two: Concept) -> None:
    once = merged(one, two)
    assert merged(once, two) == once
    assert merged(once, one).content_hash == merged(once, merged(one, one)).content_hash
    assert merged(once, once) == once


@given(CONCEPTS, CONCEPTS)
def test_the_first_that_says_something_stands(one: Concept, two: Concept) -> None:
    both = merged(one, two)
    assert (both.kind, both.suggestion) == (one.kind, one.suggestion)
    for name in ("situation", "name", "subtype", "typing", "source"):
        assert getattr(both, name) == getattr(one, name) or (not getattr(one, name) and getattr(both, name))
        assert getattr(both, name) in (getattr(one, name), getattr(two, name))


@given(CONCEPTS, CONCEPTS)
def test_lists_are_appended_in_order_without_repeats(one: Concept, two: Concept) -> None:
    both = merged(one, two)
    for name in LISTS:
        items = getattr(both, name)
        assert items == tuple(dict.fromkeys((*getattr(one, name), *getattr(two, name))))


@given(CONCEPTS, CONCEPTS)
def test_a_repeated_parameter_replaces_and_blanks_nothing(one: Concept, two: Concept) -> None:
    both = {parameter.name: parameter for parameter in merged(one, two).parameters}
    assert set(both) == {parameter.name for parameter in (*one.parameters, *two.parameters)}
    for name, parameter in both.items():
        for field in ("typing", "description"):
            said = [getattr(p, field) for p in (*one.parameters, *two.parameters) if p.name == name]
            assert getattr(parameter, field) == next((text for text in reversed(said) if text), "")


@given(st.lists(CONCEPTS, min_size=1, max_size=4))
def test_several_are_merged_in_order_and_a_list_keeps_every_item(concepts: list[Concept]) -> None:
    both = united(concepts)
    assert both.suggestion == concepts[0].suggestion
    for name in LISTS:
        assert set(getattr(both, name)) == {item for concept in concepts for item in getattr(concept, name)}


def test_rewording_and_compressing_change_their_own_fields_alone() -> None:
    concept = Concept(suggestion="a", situation="b", cues=("c", "d"), implementation=("e",), parts=("f",), name="g")
    assert reworded(concept, situation="", suggestion="new") == concept.model_copy(update={"suggestion": "new"})
    assert compressed(concept, cues=["c", " c "], implementation=[]) == concept.model_copy(
        update={"cues": ("c",), "implementation": ()}
    )


def test_utility_is_the_share_that_helped_halved_with_every_half_life() -> None:
    assert utility(0, 0, 0, 180) == 0.5
    assert utility(3, 1, 0, 180) == pytest.approx(4 / 6)
    assert utility(3, 1, 180, 180) == pytest.approx(4 / 12)
    assert utility(3, 1, 360, 180) == pytest.approx(4 / 24)
    assert utility(0, 0, -5, 180) == 0.5
    assert utility(0, 0, 180 / math.log(2), 180) == pytest.approx(0.5 / math.e)


def test_age_counts_from_the_last_use_or_from_the_start() -> None:
    assert idle_days(stored(age=30), NOW) == pytest.approx(30)
    assert idle_days(stored(age=30, last_used=(NOW - timedelta(days=2)).isoformat()), NOW) == pytest.approx(2)


def test_what_harms_or_never_helps_retires() -> None:
    assert retirement(stored(harmed=4), now=NOW, **KNOBS) is None
    assert "harmed 5 times" in (retirement(stored(harmed=5), now=NOW, **KNOBS) or "")
    assert retirement(stored(helped=1, harmed=5), now=NOW, **KNOBS) is None
    assert "utility" in (retirement(stored(helped=5, age=500), now=NOW, **KNOBS) or "")
    assert retirement(stored(age=500), now=NOW, **KNOBS) is None
    assert "91 days" in (retirement(stored(age=91, status="probation"), now=NOW, **KNOBS) or "")
    assert retirement(stored(age=90, status="probation"), now=NOW, **KNOBS) is None
    assert retirement(stored(age=91, helped=1, status="probation"), now=NOW, **KNOBS) is None
    assert retirement(stored(harmed=9, age=500, status="invalid"), now=NOW, **KNOBS) is None


def test_the_most_useful_comes_first_and_ties_go_to_the_oldest() -> None:
    concepts = [stored("c10"), stored("c9"), stored("c11", helped=3), stored("c2", harmed=1)]
    assert [item.id for item in best_first(concepts, now=NOW, half_life=180)] == ["c11", "c9", "c10", "c2"]
