"""The figures of an ablation and what its control memories say."""

from __future__ import annotations

import math
import random

import pytest

from phronesis.bench.ablation.controls import donors, exchanged, neutral, placebo
from phronesis.bench.ablation.figures import Reading, mean_over, windows
from phronesis.core.concept import Concept, Parameter, StoredConcept


def test_the_interval_knows_of_orders_and_clusters() -> None:
    assert math.isnan(mean_over([]).value)
    flat = mean_over([Reading(order, task, 1.0) for order in range(3) for task in range(5)])
    assert (flat.value, flat.low, flat.high) == (1, 1, 1)
    by_order = [Reading(order, task, float(order == 0)) for order in range(2) for task in range(50)]
    assert mean_over(by_order).low == 0 and mean_over(by_order).high == 1, "orders differ, tasks do not"
    by_cluster = [Reading(0, task // 25, float(task < 25)) for task in range(50)]
    assert mean_over(by_cluster).low == 0 and mean_over(by_cluster).high == 1, "two clusters are two draws"
    mixed = mean_over([Reading(0, "a", 1.0), Reading(0, "b", 0.0), Reading(1, "a", 1.0)])
    assert mixed.value == pytest.approx(2 / 3)


def test_the_interval_covers_the_mean() -> None:
    rng, covered = random.Random(3), 0
    for _ in range(200):
        rows = [Reading(0, task, float(rng.random() < 0.4)) for task in range(60)]
        found = mean_over(rows)
        covered += found.low <= 0.4 <= found.high
    assert covered >= 180


def test_the_curve_averages_orders() -> None:
    rows = [(position, False, position >= 10) for position in range(20) for _ in range(3)]
    found = windows(rows, 4)
    assert [(item.first, item.last, item.write) for item in found] == [(1, 5, 0), (6, 10, 0), (11, 15, 1), (16, 20, 1)]
    assert all(item.tasks == 15 and item.off == 0 for item in found)
    assert windows([]) == [] and [item.first for item in windows([(0, True, True)])] == [1]


def test_neutral_text_has_the_very_length() -> None:
    for length in (1, 2, 30, 500):
        for start in range(50):
            text = neutral(length, start)
            assert len(text) == length == len(Concept(suggestion=text).suggestion)
    assert neutral(0) == ""


def test_a_placebo_keeps_what_finds_it_and_its_size() -> None:
    routine = Concept(
        situation="rates are shared",
        suggestion="add the rates, never the times",
        name="shared rates",
        kind="routine",
        parameters=(Parameter(name="r", typing="list of rates", description="one per worker"),),
        cues=("work done together",),
        implementation=("sum first", "divide then"),
    )
    made = placebo(routine, 3)
    assert made.situation == routine.situation and made.cues == routine.cues and made.kind == routine.kind
    assert len(made.model_dump_json()) == len(routine.model_dump_json())
    for said in ("rates", "divide", "worker"):
        assert said not in made.model_dump_json(exclude={"situation", "cues"})


def held(*families: str) -> tuple[list[StoredConcept], dict[str, str]]:
    concepts = [
        StoredConcept(id=f"c{n}", version=1, concept=Concept(suggestion=f"do {n}"), status="active", created="")
        for n in range(1, len(families) + 1)
    ]
    return concepts, {f"c{n}": family for n, family in enumerate(families, start=1)}


def test_advice_goes_to_another_family() -> None:
    concepts, family = held("a", "a", "a", "b", "b", "c", "", "")
    for seed in range(20):
        pairs = donors(concepts, family, seed)
        assert sorted(pairs) == sorted(pairs.values()) == sorted(item.id for item in concepts)
        for taker, donor in pairs.items():
            assert taker != donor and (not family[taker] or family[taker] != family[donor])
    assert donors(concepts[:1], family, 0) == {}
    alone, one = held("a", "a", "a")
    assert all(taker != donor for taker, donor in donors(alone, one, 0).items())


def test_exchanged_advice_is_found_as_before() -> None:
    one = Concept(situation="s1", suggestion="do 1", source="t1", cues=("x",))
    two = Concept(situation="s2", suggestion="do 2", source="t2")
    made = exchanged(one, two)
    assert (made.situation, made.cues, made.suggestion, made.source) == ("s1", ("x",), "do 2", "t2")
