"""Pairwise judge: the two orders of a pair, held against each other."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st
from panel_runs import TASK, attempts

from phronesis.agents.scorers.pairwise import Pairwise
from phronesis.core.budget import Account, Branch
from phronesis.core.chat import ChatRequest, LabelProbabilities
from phronesis.core.ports import ChatClient
from phronesis.core.site import Site


@dataclass
class Places:
    """A judge whose probability for the solution shown first depends on both."""

    first: Mapping[tuple[str, str], float]
    calls: int = 0

    async def label_probabilities(
        self, request: ChatRequest, labels: Sequence[str], *, site: Site
    ) -> LabelProbabilities:
        self.calls += 1
        shown = request.messages[0].content
        (share,) = [
            share
            for (one, other), share in self.first.items()
            if f"A:\nIt is {one}." in shown and f"B:\nIt is {other}." in shown
        ]
        return LabelProbabilities(probabilities={"A": share, "B": 1 - share})


def compared(judge: Places, *answers: str, **options: Any) -> tuple[dict[str, float | None], list[Mapping[str, Any]]]:
    """Figure of each answer, and what was noted."""
    noted: dict[str, Mapping[str, Any]] = {}
    scorer = Pairwise(client=cast(ChatClient, judge), note=noted.__setitem__, **options)
    of = attempts(*answers)
    figures = asyncio.run(scorer.score(TASK, of, site=Site(Branch("", Account()), "pairwise")))
    assert judge.calls == scorer.calls_for(of) == len(answers) * (len(answers) - 1)
    return dict(zip(answers, figures, strict=True)), list(noted.values())


@given(st.floats(0, 1), st.floats(0, 1))
def test_swapped_attempts_bring_the_mirrored_verdict_or_are_inconsistent(one: float, other: float) -> None:
    judge = {("41", "42"): one, ("42", "41"): other}
    there, noted = compared(Places(judge), "41", "42")
    back, again = compared(Places(judge), "42", "41")
    assert there == {name: None if share is None else pytest.approx(share) for name, share in back.items()}
    assert len(noted) == len(again) <= 1
    if noted:
        assert there == {"41": None, "42": None}
        assert (noted[0]["consistent"], noted[0]["first"], noted[0]["swapped"]) == (False, one, 1 - other)
    else:
        assert sum(share for share in there.values() if share is not None) == pytest.approx(1)


@pytest.mark.parametrize(("first", "swapped"), [(0.5, 0.7), (0.5, 0.3), (0.7, 0.5), (0.3, 0.5), (0.5, 0.5)])
def test_no_preference_in_one_order_contradicts_nothing(first: float, swapped: float) -> None:
    found, noted = compared(Places({("41", "42"): first, ("42", "41"): 1 - swapped}), "41", "42")
    assert noted == [] and found["41"] == pytest.approx((first + swapped) / 2)


@pytest.mark.parametrize(("flipped", "figures"), [("unknown", (0.8, 0.2, None)), ("half", (0.65, 0.35, 0.5))])
def test_an_answer_keeps_its_consistent_pairs_only(flipped: str, figures: tuple[float | None, ...]) -> None:
    pairs = {("41", "42"): 0.8, ("42", "41"): 0.2}
    flips = {pair: 0.9 for pair in [("41", "43"), ("43", "41"), ("42", "43"), ("43", "42")]}
    found, noted = compared(Places({**pairs, **flips}), "41", "42", "43", flipped=flipped)
    assert tuple(found.values()) == tuple(None if share is None else pytest.approx(share) for share in figures)
    assert [item["of"] for item in noted] == [["c0", "c2"], ["c1", "c2"]]
